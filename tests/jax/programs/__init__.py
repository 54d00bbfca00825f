"""Programs as users of JAX write them, each a function with a maker of its seeded arguments."""
import importlib
import zlib

import jax
import jax.numpy as jnp
import numpy as np

PROGRAMS = {}
THEMES = ["vision", "sequences", "training", "probability", "linear", "loops", "arrays", "science", "functions"]


class Maker:
    """Seeded arrays for the arguments of one program."""

    def __init__(self, name):
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))

    def f(self, *shape, dtype="float32", scale=1.0):
        return jnp.asarray(scale * self.rng.standard_normal(shape), dtype)

    def u(self, *shape, low=0.0, high=1.0, dtype="float32"):
        return jnp.asarray(self.rng.uniform(low, high, shape), dtype)

    def i(self, high, *shape, low=0, dtype="int32"):
        return jnp.asarray(self.rng.integers(low, high, shape), dtype)

    def b(self, *shape):
        return jnp.asarray(self.rng.integers(0, 2, shape), bool)

    def c(self, *shape, dtype="complex64"):
        return jnp.asarray(self.rng.standard_normal(shape) + 1j * self.rng.standard_normal(shape), dtype)

    def w(self, *shape, dtype="float32"):
        """Weights: scaled by the fan in, all axes but the last."""
        return self.f(*shape, dtype=dtype, scale=float(np.prod(shape[:-1])) ** -0.5)

    def spd(self, *shape, dtype="float32"):
        a = self.rng.standard_normal(shape)
        return jnp.asarray(a @ a.swapaxes(-1, -2) / shape[-1] + np.eye(shape[-1]), dtype)

    def key(self, seed=0):
        return jax.random.PRNGKey(seed)


class Program:
    def __init__(self, f, args, x64, narrow, jit):
        self.f, self.args, self.x64, self.narrow, self.jit = f, args, x64, narrow, jit


def program(args, x64=False, narrow=None, **jit):
    """Registers a function under its name; `args` makes its arguments from a `Maker`, `narrow` is the dtype it is as
    accurate as where its results have a wider one, `jit` are options of `jax.jit`."""

    def add(f):
        if f.__name__ in PROGRAMS:
            raise ValueError(f"two programs named {f.__name__}")
        PROGRAMS[f.__name__] = Program(f, args, x64, narrow, jit)
        return f

    return add


def load():
    for theme in THEMES:
        importlib.import_module(f"{__name__}.{theme}")
    return PROGRAMS

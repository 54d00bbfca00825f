"""Cases for the tests in Rust: a function of parameters and inputs, its value, and the gradients of sum(value * c),
c_i = sin(i + 1) over the flattened value. All is computed in f64 from numbers that are f32, and stored as f32."""

import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import numpy as np

rng = np.random.default_rng(0)
arrays = {}


def draw(*shape, scale=1.0, shift=0.0):
    return (rng.standard_normal(shape) * scale + shift).astype(np.float32)


def is_float(a):
    return np.issubdtype(np.asarray(a).dtype, np.floating)


def wide(a):
    a = np.asarray(a)
    return a.astype(np.float64) if is_float(a) else a


def put(name, value, params, inputs, dparams, dinputs):
    assert not any(k.startswith(name + "/") for k in arrays), name
    narrow = lambda a: np.asarray(a).astype(np.float32) if is_float(a) else np.asarray(a)
    arrays[f"{name}/y"] = narrow(value)
    for path, a in params.items():
        arrays[f"{name}/p/{path}"] = narrow(a)
        arrays[f"{name}/dp/{path}"] = narrow(dparams[path])
    for i, a in enumerate(inputs):
        arrays[f"{name}/x/{i}"] = narrow(a)
        if is_float(a):
            arrays[f"{name}/dx/{i}"] = narrow(dinputs[i])


def jax_case(name, f, params, *inputs):
    """f(params, *inputs) with arrays of JAX."""
    p = {k: jnp.asarray(wide(v)) for k, v in params.items()}
    floats = [i for i, a in enumerate(inputs) if is_float(a)]
    x = [jnp.asarray(wide(a)) for a in inputs]

    def loss(p, xs):
        full = list(x)
        for i, a in zip(floats, xs):
            full[i] = a
        y = f(p, *full)
        return (y.ravel() * jnp.sin(jnp.arange(y.size) + 1.0)).sum(), y

    (_, y), (dp, dx) = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(p, [x[i] for i in floats])
    put(name, y, params, inputs, dp, dict(zip(floats, dx)))


def torch_case(name, f, params, *inputs):
    """f(params, *inputs) with tensors of PyTorch."""
    import torch

    p = {k: torch.tensor(wide(v), requires_grad=True) for k, v in params.items()}
    x = [torch.tensor(wide(a), requires_grad=is_float(a)) for a in inputs]
    y = f(p, *x)
    (y.reshape(-1) * torch.sin(torch.arange(y.numel(), dtype=torch.float64) + 1.0)).sum().backward()
    grad = lambda t: np.zeros(t.shape) if t.grad is None else t.grad.numpy()
    dx = {i: grad(t) for i, t in enumerate(x) if t.requires_grad}
    put(name, y.detach().numpy(), params, inputs, {k: grad(t) for k, t in p.items()}, dx)


def save(path):
    np.savez_compressed(path, **arrays)
    print(path, len(arrays), "arrays")

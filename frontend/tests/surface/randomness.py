"""Writes samples of jax.random for randomness.rs:

    python randomness.py > randomness.txt        (needs jax)

A line: distribution, dtype, seed, parameters; samples. Shapes are in randomness.rs.
"""

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
R = jax.random


def line(name, dtype, seed, values, *params):
    is_float = dtype[0] in "fbc"
    values = np.asarray(values).astype(np.float64 if is_float else object).ravel()
    values = [repr(float(v) if is_float else v) for v in values]
    print(name, dtype, seed, *[repr(float(p)) for p in params], "=", *values)


def both(name, f, *params):
    """f(key, dtype, parameters) in f32 and f64."""
    for seed, (short, dtype) in enumerate([("f32", jnp.float32), ("f64", jnp.float64)]):
        seed = seed + len(name)
        line(name, short, seed, f(R.key(seed), dtype, *[jnp.asarray(p, dtype) for p in params]), *params)


for dtype in ["uint8", "uint16", "uint32", "uint64"]:
    line("bits", dtype.replace("uint", "u"), 7, R.bits(R.key(7), (5,), dtype))
for dtype in ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]:
    for lo, hi in [(3, 100), (-5 if dtype[0] == "i" else 0, 120)]:
        line("randint", dtype.replace("uint", "u").replace("int", "i"), 8, R.randint(R.key(8), (6,), lo, hi, dtype), lo, hi)
line("randint", "u8", 9, R.randint(R.key(9), (6,), 0, 256, "uint8"), 0, 256)
line("randint", "i16", 9, R.randint(R.key(9), (6,), -40000, 40000, "int16"), -40000, 40000)
n = (6,)
for short, dtype in [("f16", jnp.float16), ("bf16", jnp.bfloat16), ("f32", jnp.float32), ("f64", jnp.float64)]:
    line("uniform", short, 2, R.uniform(R.key(2), n, dtype))
    line("normal", short, 2, R.normal(R.key(2), n, dtype))
both("exponential", lambda k, d: R.exponential(k, n, d))
both("gumbel", lambda k, d: R.gumbel(k, n, d))
both("laplace", lambda k, d: R.laplace(k, n, d))
both("logistic", lambda k, d: R.logistic(k, n, d))
both("cauchy", lambda k, d: R.cauchy(k, n, d))
both("maxwell", lambda k, d: R.maxwell(k, n, d))
both("truncated_normal", lambda k, d, a, b: R.truncated_normal(k, a, b, n, d), -0.5, 1.75)
both("lognormal", lambda k, d, s: R.lognormal(k, s, n, d), 0.7)
both("wald", lambda k, d, m: R.wald(k, m, n, d), 1.3)
both("triangular", lambda k, d, a, b, c: R.triangular(k, a, b, c, n, d), -1, 0.5, 3)
both("pareto", lambda k, d, b: R.pareto(k, b, n, d), 2.5)
both("rayleigh", lambda k, d, s: R.rayleigh(k, s, n, d), 1.5)
both("weibull_min", lambda k, d, s, c: R.weibull_min(k, s, c, n, d), 1.5, 0.8)
for a in [0.05, 0.7, 1.0, 3.5, 40.0]:
    both("gamma", lambda k, d, a: R.gamma(k, a, n, d), a)
    both("loggamma", lambda k, d, a: R.loggamma(k, a, n, d), a)
for a, b in [(0.3, 0.6), (2.0, 5.0)]:
    both("beta", lambda k, d, a, b: R.beta(k, a, b, n, d), a, b)
both("dirichlet", lambda k, d, a, b, c: R.dirichlet(k, jnp.stack([a, b, c]), (2,), d), 0.3, 2.0, 1.0)
both("chisquare", lambda k, d, f: R.chisquare(k, f, n, d), 3.0)
both("student_t", lambda k, d, f: R.t(k, f, n, d), 4.0)
both("f_ratio", lambda k, d, a, b: R.f(k, a, b, n, d), 3.0, 8.0)
# what depends on the default dtypes
with jax.enable_x64(False):
    line("rademacher", "f32", 10, R.rademacher(R.key(10), n, jnp.float32))
    line("generalized_normal", "f32", 3, R.generalized_normal(R.key(3), 1.5, n, jnp.float32), 1.5)
    line("ball", "f32", 3, R.ball(R.key(3), 3, 2.0, (2,), jnp.float32), 2.0)
    line("choice", "i32", 5, R.choice(R.key(5), 9, (4,)), 9)
    for p in [0.1, 0.7]:
        line("geometric", "f32", 9, R.geometric(R.key(9), jnp.float32(p), n), p)
for rate in [0.0, 0.4, 5.0, 30.0, 4000.0]:
    line("poisson", "f32", 4, R.poisson(R.key(4), jnp.float32(rate), n), rate)
for p in [0.1, 0.7]:
    both("geometric", lambda k, d, p: R.geometric(k, p, n), p)
for count, p in [(5.0, 0.3), (12.0, 0.8), (100.0, 0.4), (5000.0, 0.9)]:
    both("binomial", lambda k, d, c, p: R.binomial(k, c, p, n, d), count, p)
line("permutation", "i32", 5, R.permutation(R.key(5), 9), 9)
line("choice_once", "i32", 5, R.choice(R.key(5), 9, (4,), replace=False), 9)
weights = jnp.array([0.5, 0.0, 2.0, 1.0, 0.25, 1.25], jnp.float32)
line("choice_weighted", "f32", 6, R.choice(R.key(6), 6, (8,), p=weights), *weights)
line("choice_weighted_once", "f32", 6, R.choice(R.key(6), 6, (4,), replace=False, p=weights), *weights)
logits = jnp.array([0.1, -1.0, 2.0, 0.5], jnp.float32)
line("categorical", "f32", 6, R.categorical(R.key(6), logits, shape=(8,)), *logits)
mean, cov = jnp.array([1.0, -2.0]), jnp.array([[2.0, 0.6], [0.6, 0.5]])
for seed, (short, dtype) in enumerate([("f32", jnp.float32), ("f64", jnp.float64)]):
    # eigenvectors have their signs, so samples by them are those of JAX only up to these
    x = R.multivariate_normal(R.key(seed + 6), mean.astype(dtype), cov.astype(dtype), (3,))
    line("multivariate_normal", short, seed + 6, x, *mean, *cov.ravel())
line("multivariate_normal_of_factor", "f64", 6, R.multivariate_normal(R.key(6), mean, cov, (3,)), *mean,
     *np.linalg.cholesky(np.asarray(cov)).ravel())


def parts(x):
    return np.stack([np.real(x), np.imag(x)], -1) if np.iscomplexobj(x) else x


kinds = [("f16", jnp.float16), ("bf16", jnp.bfloat16)]
for short, dtype in kinds:
    for a, b in [(-0.5, 1.75), (-3.0, -1.0), (0.25, 0.375)]:
        line("truncated_normal", short, 16, R.truncated_normal(R.key(16), dtype(a), dtype(b), n, dtype), a, b)
    steps = [0.0, 1.0, -1.0, 0.1, 65504.0, -6e-8, 2.0**-14]
    for to in [3.0, -3.0, 0.0, np.inf]:
        line("next_after", short, 0, jnp.nextafter(jnp.array(steps, dtype), dtype(to)), *[float(dtype(s)) for s in steps], to)
kinds = [("f32", jnp.float32), ("f64", jnp.float64), ("c64", jnp.complex64), ("c128", jnp.complex128)]
for seed, (short, dtype) in enumerate(kinds):
    if short[0] == "c":
        line("normal", short, 2, parts(R.normal(R.key(2), n, dtype)))
    for rows, columns, shape in [(3, 3, ()), (4, 2, ()), (2, 4, ()), (1, 1, (3,)), (2, 2, (2,)), (0, 2, ())]:
        x = R.orthogonal(R.key(seed + 40), rows, shape, dtype, columns)
        line("orthogonal", short, seed + 40, parts(x), rows, columns, *shape)

"""Optimizers by optax (SOAP and Shampoo by loops over numpy, whole minimisations by scipy), for tests/optim.rs.

    python optim.py optim.npz

Writes parameters, gradients of each step, and the parameters after each step of each case, all f64.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import scipy.optimize

jax.config.update("jax_enable_x64", True)

STEPS = 8
rng = np.random.default_rng(0)
PARAMS = {"b": rng.normal(size=3), "s": rng.normal(size=()), "w": rng.normal(size=(4, 4))}
GRADS = [{k: rng.normal(size=v.shape) * 10 ** rng.uniform(-1, 0.5) for k, v in PARAMS.items()} for _ in range(STEPS)]

out = {f"start.{k}": v for k, v in PARAMS.items()}
for k in PARAMS:
    out[f"grads.{k}"] = np.stack([g[k] for g in GRADS])


def keep(name, path):
    """The parameters after each step."""
    for k in PARAMS:
        out[f"{name}.{k}"] = np.stack([p[k] for p in path])


def run(name, tx, grads=None, params=PARAMS):
    params = jax.tree.map(jnp.asarray, params)
    state = tx.init(params)
    path = []
    for g in grads or GRADS:
        updates, state = tx.update(jax.tree.map(jnp.asarray, g), state, params)
        params = optax.apply_updates(params, updates)
        path.append(jax.tree.map(np.asarray, params))
    keep(name, path)


lr = optax.scale_by_learning_rate
cases = {
    "sgd": optax.sgd(0.1),
    "momentum": optax.sgd(0.1, momentum=0.9),
    "nesterov": optax.sgd(0.1, momentum=0.9, nesterov=True),
    "adam": optax.adam(0.1),
    "adam_constants": optax.adam(0.1, b1=0.5, b2=0.9, eps=1e-2, eps_root=1e-3),
    "nadam": optax.adam(0.1, nesterov=True),
    "adamw": optax.adamw(0.1, weight_decay=0.3),
    "adabelief": optax.adabelief(0.1),
    "rmsprop": optax.rmsprop(0.1),
    "rmsprop_centered": optax.rmsprop(0.1, centered=True, eps=1e-2),
    "adagrad": optax.adagrad(0.1),
    "lion": optax.lion(0.1, weight_decay=0.2),
    "lamb": optax.lamb(0.1, weight_decay=0.2),
    "radam": optax.radam(0.1),
    "radam_short": optax.radam(0.1, b2=0.9),
    "adafactor": optax.adafactor(0.1, min_dim_size_to_factor=2),
    "adafactor_whole": optax.adafactor(0.1),
    "muon": optax.contrib.muon(0.1, weight_decay=0.2),
    "prodigy": optax.contrib.prodigy(1.0, estim_lr0=1e-3),
    "prodigy_decay": optax.contrib.prodigy(optax.linear_schedule(1.0, 0.2, 6), estim_lr0=1e-2, weight_decay=0.1),
    "lbfgs": optax.chain(optax.scale_by_lbfgs(memory_size=3), lr(0.1)),
    "clip": optax.chain(optax.clip(0.5), lr(0.1)),
    "clip_by_global_norm": optax.chain(optax.clip_by_global_norm(2.0), lr(0.1)),
    "adaptive_grad_clip": optax.chain(optax.adaptive_grad_clip(0.1), lr(0.1)),
    "clip_by_rms": optax.chain(optax.clip_by_block_rms(0.5), lr(0.1)),
    "ema": optax.chain(optax.ema(0.8), lr(0.1)),
    "ema_biased": optax.chain(optax.ema(0.8, debias=False), lr(0.1)),
    "decay_then_adam": optax.chain(optax.add_decayed_weights(0.3), optax.scale_by_adam(), lr(0.1)),
    "accumulate": optax.MultiSteps(optax.adam(0.1), 3, accumulator_dtype=jnp.float64),
    "masked": optax.masked(optax.adam(0.1), {"b": False, "s": True, "w": True}),
    "masked_norm": optax.chain(optax.masked(optax.clip_by_global_norm(0.5), {"b": True, "s": True, "w": False}), lr(0.1)),
    "freeze": optax.chain(optax.adam(0.1), optax.masked(optax.set_to_zero(), {"b": True, "s": False, "w": False})),
    "adam_cosine": optax.adam(optax.cosine_decay_schedule(0.1, 6, alpha=0.1)),
    "sgd_decay_schedule": optax.chain(optax.add_decayed_weights(optax.linear_schedule(0.0, 0.5, 5)), lr(0.1)),
}


def quadratic(p):
    """Gradients for a method that needs positive curvature."""
    return {k: (1.0 + np.arange(v.size).reshape(v.shape)) * 0.3 * v for k, v in p.items()}


for name, tx in cases.items():
    if name == "lbfgs":
        # gradients that depend on the point; stored so that the test need not know the function
        params, state, path, grads = PARAMS, tx.init(PARAMS), [], []
        for _ in range(STEPS):
            g = quadratic(params)
            updates, state = tx.update(g, state, params)
            params = jax.tree.map(np.asarray, optax.apply_updates(params, updates))
            grads.append(g)
            path.append(params)
        keep(name, path)
        keep(name + "_grads", grads)
    elif name == "accumulate":
        run(name, tx.gradient_transformation())
    else:
        run(name, tx)


# complex parameters: gradients as jax.grad gives them, conjugated as optax asks for
complex_rng = np.random.default_rng(1)
draw = lambda *shape: complex_rng.normal(size=shape) + 1j * complex_rng.normal(size=shape)
COMPLEX = {"s": draw(), "z": draw(4, 4)}
COMPLEX_GRADS = [{k: draw(*v.shape) * 10 ** complex_rng.uniform(-1, 0.5) for k, v in COMPLEX.items()} for _ in range(STEPS)]


def keep_complex(name, path):
    for k in COMPLEX:
        x = np.stack([np.asarray(p[k]) for p in path])
        out[f"{name}.{k}.re"], out[f"{name}.{k}.im"] = x.real, x.imag


keep_complex("complex_start", [COMPLEX])
keep_complex("complex_grads", COMPLEX_GRADS)
for name in [
    "sgd", "nesterov", "adam", "adam_constants", "nadam", "adamw", "adabelief", "rmsprop", "rmsprop_centered", "adagrad", "lion",
    "lamb", "radam_short", "adafactor", "clip_by_global_norm", "adaptive_grad_clip", "clip_by_rms", "ema", "accumulate", "adam_cosine",
]:
    # the mean of gradients has a dtype of its own
    accumulate = optax.MultiSteps(optax.adam(0.1), 3, accumulator_dtype=jnp.complex128)
    tx = accumulate.gradient_transformation() if name == "accumulate" else cases[name]
    params = jax.tree.map(jnp.asarray, COMPLEX)
    state, path = tx.init(params), []
    for g in COMPLEX_GRADS:
        updates, state = tx.update(jax.tree.map(lambda g: jnp.conj(jnp.asarray(g)), g), state, params)
        params = optax.apply_updates(params, updates)
        path.append(params)
    keep_complex(f"complex_{name}", path)


# the average of parameters
average, params, path = PARAMS, PARAMS, []
for g in GRADS:
    params = jax.tree.map(lambda p, g: p - 0.1 * g, params, g)
    average = optax.incremental_update(params, average, 1 - 0.7)
    path.append(jax.tree.map(np.asarray, average))
keep("average", path)


# SOAP (Vyas et al. 2025, algorithm 3, with the debiasing of Adam): a loop as the paper writes it
def soap(eta, b1, b2, beta, eps, f):
    w, b, s = (PARAMS[k].copy() for k in ("w", "b", "s"))
    m, v, l, r = (np.zeros((4, 4)) for _ in range(4))
    flat_m, flat_v = [np.zeros(3), np.zeros(())], [np.zeros(3), np.zeros(())]
    path = []
    for t, g in enumerate(GRADS):
        if t == 0:
            l, r = (1 - beta) * g["w"] @ g["w"].T, (1 - beta) * g["w"].T @ g["w"]
            ql, qr = np.linalg.eigh(l)[1], np.linalg.eigh(r)[1]
        else:
            debias1, debias2 = 1 - b1**t, 1 - b2**t
            gp = ql.T @ g["w"] @ qr
            m = b1 * m + (1 - b1) * g["w"]
            mp = ql.T @ m @ qr
            v = b2 * v + (1 - b2) * gp**2
            n = ql @ (mp / debias1 / (np.sqrt(v / debias2) + eps)) @ qr.T
            w = w - eta * n
            for i, (x, key) in enumerate([(b, "b"), (s, "s")]):
                flat_m[i] = b1 * flat_m[i] + (1 - b1) * g[key]
                flat_v[i] = b2 * flat_v[i] + (1 - b2) * g[key] ** 2
                step = eta * flat_m[i] / debias1 / (np.sqrt(flat_v[i] / debias2) + eps)
                if key == "b":
                    b = b - step
                else:
                    s = s - step
            l = beta * l + (1 - beta) * g["w"] @ g["w"].T
            r = beta * r + (1 - beta) * g["w"].T @ g["w"]
            if t % f == 0:
                ql, qr = np.linalg.qr(l @ ql)[0], np.linalg.qr(r @ qr)[0]
        path.append({"w": w, "b": b, "s": s})
    return path


keep("soap", soap(0.1, 0.95, 0.9, 0.8, 1e-8, 2))


# Shampoo (Gupta et al. 2018, algorithm 1); vectors by the diagonal form
def shampoo(eta, eps, decay, every):
    w, b, s = (PARAMS[k].copy() for k in ("w", "b", "s"))
    l, r = eps * np.eye(4), eps * np.eye(4)
    vb, vs = np.full(3, eps), np.full((), eps)
    into = (lambda old, new: old + new) if decay is None else (lambda old, new: decay * old + (1 - decay) * new)

    def power(a, p):
        e, q = np.linalg.eigh(a)
        return (q * e**p) @ q.T

    path = []
    for t, g in enumerate(GRADS):
        l, r = into(l, g["w"] @ g["w"].T), into(r, g["w"].T @ g["w"])
        vb, vs = into(vb, g["b"] ** 2), into(vs, g["s"] ** 2)
        if t % every == 0:
            left, right = power(l, -0.25), power(r, -0.25)
        w = w - eta * left @ g["w"] @ right
        b, s = b - eta * g["b"] / np.sqrt(vb), s - eta * g["s"] / np.sqrt(vs)
        path.append({"w": w, "b": b, "s": s})
    return path


keep("shampoo", shampoo(0.1, 1e-4, None, 1))
keep("shampoo_decay", shampoo(0.1, 1e-2, 0.9, 3))


# schedules: values at steps 0..19
schedules = {
    "linear": optax.linear_schedule(0.1, 0.7, 7),
    "polynomial": optax.polynomial_schedule(1.0, 0.2, 2.5, 9),
    "exponential": optax.exponential_decay(0.5, 4, 0.7),
    "cosine": optax.cosine_decay_schedule(0.5, 12, alpha=0.1),
    "warmup_cosine": optax.warmup_cosine_decay_schedule(0.05, 0.9, 5, 15, 0.01),
    "piecewise": optax.piecewise_constant_schedule(0.8, {4: 0.5, 11: 0.25}),
    "one_cycle": optax.cosine_onecycle_schedule(16, 0.6),
}
for name, f in schedules.items():
    out[f"schedule.{name}"] = np.array([float(f(t)) for t in range(20)])

# scipy: a fit whose residuals do not vanish, and how often L-BFGS-B evaluates
t, y = np.arange(5.0), np.array([1.0, 2.2, 2.9, 4.8, 9.1])
fit = scipy.optimize.least_squares(
    lambda p: p[0] * np.exp(p[1] * t) - y, [1.0, 0.0], method="lm", xtol=1e-15, ftol=1e-15, gtol=1e-15
)
out["fit"] = np.append(fit.x, fit.cost)


def beale(x):
    a, b = x
    return (1.5 - a + a * b) ** 2 + (2.25 - a + a * b**2) ** 2 + (2.625 - a + a * b**3) ** 2


def valley(x):
    return (x**2 * jnp.exp(0.7 * jnp.arange(x.size))).sum() * 0.5 + jnp.log(1 + x**2).sum()


for name, f, start in [
    ("rosenbrock2", scipy.optimize.rosen, [-1.2, 1.0]),
    ("rosenbrock6", scipy.optimize.rosen, [0.0] * 6),
    ("beale", beale, [1.0, 1.0]),
    ("valley", valley, [1.0, -2.0, 3.0, -1.0, 0.5]),
]:
    jac = scipy.optimize.rosen_der if f is scipy.optimize.rosen else jax.grad(f)
    options = {"gtol": 1e-9, "ftol": 0, "maxcor": 10}
    end = scipy.optimize.minimize(lambda x: float(f(x)), start, jac=lambda x: np.asarray(jac(x)), method="L-BFGS-B", options=options)
    assert np.abs(end.jac).max() < 1e-8, end
    out[f"minimum.{name}"], out[f"evaluations.{name}"] = end.x, np.array(float(end.nfev))

np.savez_compressed(sys.argv[1], **out)

#!/usr/bin/env python3
"""The op families of `ladder --ops`, beside JAX on this machine's CPU.

    pip install "jax[cpu]"
    cargo build --release --bin ladder
    python tests/jax/ops.py --ours "target/release/ladder --ops" [--seconds S] [--only NAME ...]

Runs both in turn, row by row, and prints: name, our milliseconds, JAX's, their ratio (above 1: we are faster), and
whether the check values agree to 1e-3. Inputs are those of the ladder, from its integer hash.
"""
import argparse
import json
import shlex
import subprocess
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def u(shape, k, lo=-1.0, hi=1.0):
    z = (np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(1_000_003 * k)) * np.uint64(0x9E3779B97F4A7C15)
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    unit = (z >> np.uint64(32)).astype(np.float64) / 2.0**32
    return jnp.asarray((lo + (hi - lo) * unit).reshape(shape), jnp.float32)


def spd(batch, n):
    a = u((batch, n, n), 1)
    return a @ a.swapaxes(-1, -2) + n * jnp.eye(n)


def scattered(rows, n):
    return jnp.asarray(np.arange(rows) * 7919 % n, jnp.int32)


def complex_of(shape):
    return lax.complex(u(shape, 1), u(shape, 2))


MIXED = lambda x: jnp.sqrt(x * x + 1) * jnp.tanh(x)
SQUARE = (2048, 2048)
OPS = {
    "op_elementwise": (MIXED, lambda: (u(SQUARE, 1),)),
    "op_elementwise_bf16": (MIXED, lambda: (u(SQUARE, 1).astype(jnp.bfloat16),)),
    "op_elementwise_complex": (lambda z: jnp.exp(z * z), lambda: (complex_of((1024, 1024)),)),
    "op_reduce_rows": (lambda x: x.sum(1), lambda: (u(SQUARE, 1),)),
    "op_reduce_columns": (lambda x: x.sum(0), lambda: (u(SQUARE, 1),)),
    "op_reduce_all": (lambda x: x.max(), lambda: (u(SQUARE, 1),)),
    "op_transpose": (lambda x: x.T, lambda: (u(SQUARE, 1),)),
    "op_gather": (lambda x, i: x[i], lambda: (u((65536, 64), 1), scattered(65536, 65536))),
    "op_scatter_add": (lambda x, i: jnp.zeros((4096, 64)).at[i].add(x), lambda: (u((65536, 64), 1), scattered(65536, 4096))),
    "op_sort": (lambda x: jnp.sort(x, -1), lambda: (u((256, 4096), 1),)),
    "op_top_k": (lambda x: lax.top_k(x, 16)[0], lambda: (u((256, 4096), 1),)),
    "op_cumsum": (lambda x: jnp.cumsum(x, -1), lambda: (u((1024, 4096), 1),)),
    "op_fft": (jnp.fft.fft, lambda: (complex_of((256, 4096)),)),
    "op_rfft2": (jnp.fft.rfft2, lambda: (u((64, 128, 128), 1),)),
    "op_fft_prime": (jnp.fft.fft, lambda: (complex_of((64, 4093)),)),
    "op_cholesky": (jnp.linalg.cholesky, lambda: (spd(64, 64),)),
    "op_eigh": (lambda a: jnp.linalg.eigh(a)[0], lambda: (spd(16, 64),)),
    "op_svd": (lambda a: jnp.linalg.svd(a, full_matrices=False)[1], lambda: (u((16, 64, 48), 1),)),
    "op_qr": (lambda a: jnp.abs(jnp.linalg.qr(a)[1]), lambda: (u((64, 64, 48), 1),)),
    "op_solve": (jnp.linalg.solve, lambda: (spd(64, 64), u((64, 64, 8), 2))),
    "op_uniform": (lambda k: jax.random.uniform(k, (1 << 20,)), lambda: (jax.random.PRNGKey(0),)),
    "op_lgamma": (lax.lgamma, lambda: (u((1 << 20,), 1, 0.5, 20.0),)),
}


def measure(name, seconds):
    f, args = OPS[name]
    f, args = jax.jit(f), args()
    y = np.asarray(jax.block_until_ready(f(*args)))
    check = float((np.abs(y) if np.iscomplexobj(y) else y).astype(np.float64).sum())
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or (time.perf_counter() < end and len(times) < 20000):
        t = time.perf_counter()
        jax.block_until_ready(f(*args))
        times.append(time.perf_counter() - t)
    return float(np.median(times)) * 1e3, check


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ours", required=True, help="the command that runs our rows")
    p.add_argument("--seconds", type=float, default=1.0)
    p.add_argument("--only", nargs="*", default=[])
    options = p.parse_args()
    print(f"{'op':24} {'ours ms':>10} {'JAX ms':>10} {'ratio':>7}  check")
    for name in options.only or OPS:
        command = shlex.split(options.ours) + ["--seconds", str(options.seconds), "--only", name]
        line = subprocess.run(command, capture_output=True, text=True)
        if line.returncode:
            print(f"{name:24} failed: {line.stderr.strip()}")
            continue
        ours = json.loads(line.stdout)
        ms, check = measure(name, options.seconds)
        agree = abs(ours["check"] - check) <= 1e-3 * max(1.0, abs(check))
        print(f"{name:24} {ours['step_ms']:10.3f} {ms:10.3f} {ms / ours['step_ms']:7.2f}  {'ok' if agree else (ours['check'], check)}")


if __name__ == "__main__":
    main()

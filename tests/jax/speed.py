#!/usr/bin/env python3
"""Programs off the ladder (`workloads.py`), beside JAX on this machine's CPU.

    pip install "jax[cpu]"
    cargo build --release --bin ladder
    python tests/jax/speed.py --ours target/release/ladder [--seconds S] [--only NAME ...] [--keep DIR]

JAX's lowering writes each function as StableHLO text, `ladder --program` reads it and makes the step of it by its own
derivatives. Both run in turn; a line a program: our milliseconds of a step, JAX's, their ratio (above 1: we are faster),
the same of compiling, and whether the results (the loss, and sums of squares of all others) agree to 1e-3. The exit status is
how many failed or disagree.
"""
import argparse
import json
import math
import os
import shlex
import subprocess
import sys
import tempfile
import time

# as compare.py of the ladder: JAX is at its best when freed pages are kept
KEPT = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592"}
if any(k not in os.environ for k in KEPT):
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **KEPT})

import jax
import numpy as np

from models import storable
from workloads import WORKLOADS

jax.config.update("jax_platforms", "cpu")


def stepping(f, differentiated):
    def run(p, *data):
        value, grads = jax.value_and_grad(f)(p, *data)
        return value, jax.tree.map(lambda a, g: a - 1e-3 * g, p, grads)

    return run if differentiated else f


def write(folder, name):
    """The program and its inputs as files; how many of the inputs are differentiated."""
    f, args, differentiated = WORKLOADS[name]
    args = args()
    lowered = jax.jit(f, keep_unused=True).lower(*args)
    with open(os.path.join(folder, name + ".mlir"), "w") as file:
        file.write(lowered.as_text())
    np.savez(os.path.join(folder, name + ".npz"), **{str(i): storable(x) for i, x in enumerate(jax.tree.leaves(args))})
    return len(jax.tree.leaves(args[0])) if differentiated else 0


def check_of(out):
    return sum(float((np.abs(np.asarray(x)).astype(np.float64) ** 2).sum()) for x in jax.tree.leaves(out))


def jax_measure(name, seconds):
    f, args, differentiated = WORKLOADS[name]
    args = args()
    start = time.perf_counter()
    compiled = jax.jit(stepping(f, differentiated)).lower(*args).compile()
    compile_ms = (time.perf_counter() - start) * 1e3
    check = check_of(compiled(*args))
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or (time.perf_counter() < end and len(times) < 20000):
        t = time.perf_counter()
        jax.block_until_ready(compiled(*args))
        times.append(time.perf_counter() - t)
    return {"step_ms": float(np.median(times)) * 1e3, "compile_ms": compile_ms, "check": check}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ours", help="the command that runs our side; without it programs are only written (with --keep)")
    p.add_argument("--seconds", type=float, default=1.0)
    p.add_argument("--only", nargs="*", default=[])
    p.add_argument("--keep", help="a folder to keep programs and inputs in")
    p.add_argument("--peer", help="run one workload by JAX and print its line")
    options = p.parse_args()
    if options.peer:
        print(json.dumps(jax_measure(options.peer, options.seconds)))
        return
    with tempfile.TemporaryDirectory() as spare:
        folder = options.keep or spare
        os.makedirs(folder, exist_ok=True)
        sys.exit(compare(folder, options))


def compare(folder, options):
    """Writes and times the programs; how many failed or disagree."""
    print(f"{'program':20} {'ours ms':>10} {'JAX ms':>10} {'ratio':>7} {'compile':>8}  check")
    ratios, wrong = [], 0
    for name in options.only or WORKLOADS:
        gradient = write(folder, name)
        if not options.ours:
            continue
        path = os.path.join(folder, name)
        command = shlex.split(options.ours) + ["--seconds", str(options.seconds), "--program", path + ".mlir", "--inputs", path + ".npz", "--gradient", str(gradient)]
        line = subprocess.run(command, capture_output=True, text=True)
        peer = subprocess.run([sys.executable, __file__, "--peer", name, "--seconds", str(options.seconds)], capture_output=True, text=True)
        if line.returncode or peer.returncode:
            print(f"{name:20} failed: {(line.stderr if line.returncode else peer.stderr).strip()[-400:]}", flush=True)
            wrong += 1
            continue
        ours, peer = json.loads(line.stdout), json.loads(peer.stdout)
        agree = abs(ours["check"] - peer["check"]) <= 1e-3 * max(1e-6, abs(peer["check"]))
        ratio = peer["step_ms"] / ours["step_ms"]
        if agree:
            ratios.append(ratio)
        wrong += not agree
        compiling = peer["compile_ms"] / ours["compile_ms"]
        print(f"{name:20} {ours['step_ms']:10.3f} {peer['step_ms']:10.3f} {ratio:7.2f} {compiling:7.0f}x  {'ok' if agree else (ours['check'], peer['check'])}", flush=True)
    if ratios:
        print(f"geometric mean {math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f}, lowest {min(ratios):.2f}")
    return wrong


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Runs all tests and benchmarks on this machine's GPU, and writes report.json.

Everything is in the folder of this script, which `tests/gpu/build.sh` made: `gradloom-gpu`, and, if they were named then,
`stablehlo/` (StableHLO's own tests) and `peer_jax.py` (the workloads in JAX). A step that fails or takes too long is in the report
with what it said; the others run all the same.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.join(HERE, "gradloom-gpu")
WORKLOADS = """mlp_train cnn_train transformer_train fno2d_train pinn_burgers egnn_train kan_train lstm_train rk4_loop ntk
softmax_norm knn random_normal matmul_1024 linalg ssm_fft matmul_bf16 dispatch""".split()
SAID = 4000  # characters of a step's output that are kept


def run(command, seconds, environment=None):
    """What a command said: exit code (None: it took too long), seconds, output, errors."""
    start = time.time()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, cwd=HERE, env={**os.environ, **(environment or {})}
        )
        code, out, err = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as e:
        text = lambda b: b.decode(errors="replace") if isinstance(b, bytes) else b or ""
        code, out, err = None, text(e.stdout), text(e.stderr)
    return {"code": code, "seconds": round(time.time() - start, 2), "out": out, "err": err}


def step(name, command, seconds, environment=None):
    print(f"{name} ..", end=" ", flush=True)
    said = run(command, seconds, environment)
    verdict = "took too long" if said["code"] is None else "ok" if said["code"] == 0 else f"exit {said['code']}"
    print(f"{verdict}, {said['seconds']} s", flush=True)
    return said


def lines(said):
    """The JSON objects among the lines of an output, by name."""
    found = {}
    for line in said["out"].splitlines():
        if line.startswith("{"):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            found[row.get("name", "")] = row
    return found


def short(said):
    return {k: v[-SAID:] if isinstance(v, str) else v for k, v in said.items()}


def ladder(options, report):
    """Each workload alone, so that none takes another's memory: ours, and JAX in turn."""
    size = ["--large"] if options.large else []
    peer = os.path.join(HERE, "peer_jax.py")
    rows = {}
    for name in WORKLOADS if options.only is None else options.only:
        ours = step(f"ladder {name}", [PROGRAM, "ladder", "--device", options.device, "--only", name, *size], options.seconds)
        row = {"ours": lines(ours).get(name) or short(ours)}
        if os.path.exists(peer) and options.peer:
            theirs = step(f"  jax {name}", [sys.executable, peer, "--only", name, *size], options.seconds)
            row["jax"] = lines(theirs).get(name) or short(theirs)
            try:
                row["ratio"] = row["jax"]["step_ms"] / row["ours"]["step_ms"]
                a, b = row["jax"]["check"], row["ours"]["check"]
                row["agree"] = abs(a - b) <= 1e-3 * max(abs(a), abs(b), 1e-9)
            except (KeyError, TypeError, ZeroDivisionError):
                pass
        rows[name] = row
    ratios = [r["ratio"] for r in rows.values() if "ratio" in r]
    if ratios:
        product = 1.0
        for r in ratios:
            product *= r
        report["ladder_geometric_mean"] = product ** (1 / len(ratios))
    report["ladder"] = rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--out", default=os.path.join(HERE, "report.json"), help="where the report goes")
    parser.add_argument("--small", dest="large", action="store_false", help="the workloads' sizes for a processor")
    parser.add_argument("--no-peer", dest="peer", action="store_false", help="without JAX")
    parser.add_argument("--each", type=int, default=1, help="of the table of ops every so many rows")
    parser.add_argument("--only", nargs="*", help="these workloads only; none: no workloads")
    parser.add_argument("--seconds", type=float, default=300, help="the most that a step may take")
    parser.add_argument("--steps", nargs="*", default=["device", "conformance", "stablehlo", "papers", "digits", "twice", "ladder", "sanitizer"])
    options = parser.parse_args()
    report = {"date": time.strftime("%Y-%m-%d %H:%M:%S")}

    def save():
        with open(options.out + ".part", "w") as f:
            json.dump(report, f, indent=1)
        os.replace(options.out + ".part", options.out)

    steps = {}

    def kept(name, *command, seconds=None, environment=None):
        said = step(name, [PROGRAM, *command], seconds or options.seconds, environment)
        report[name] = short(said)
        save()
        return said

    def device():
        report["gpu"] = next(iter(lines(kept("device", "device")).values()), None)

    def conformance():
        kept("conformance", "conformance", str(options.each), seconds=4 * options.seconds)

    def stablehlo():
        if os.path.isdir(os.path.join(HERE, "stablehlo")):
            kept("stablehlo", "gradloom", "check", "--device", options.device, "-q", "stablehlo", seconds=4 * options.seconds)

    def papers():
        kept("papers", "papers", "--device", options.device, "check", "all")

    def digits():
        # the second time kernels are on disk
        for turn in ["digits", "digits again"]:
            kept(turn, "digits", "--device", options.device, "--out", os.path.join(HERE, "out"))

    def twice():
        """Two runs must give the same bits: the checks of two workloads that add in many orders."""
        checks = []
        for _ in range(2):
            said = kept("twice", "ladder", "--device", options.device, "--seconds", "0.1", "--only", "egnn_train", "lstm_train", "softmax_norm")
            checks.append({k: v["check"] for k, v in lines(said).items()})
        report["same_bits"] = bool(checks[0]) and checks[0] == checks[1]

    def sanitizer():
        tool = shutil.which("compute-sanitizer")
        for what in ["memcheck", "racecheck"] if tool else []:
            name = f"compute-sanitizer {what}"
            said = step(name, [tool, "--tool", what, PROGRAM, "conformance", "40"], 4 * options.seconds)
            report[name] = short(said)

    for f in [device, conformance, stablehlo, papers, digits, twice, sanitizer]:
        steps[f.__name__] = f
    steps["ladder"] = lambda: ladder(options, report)
    for name in options.steps:
        if name not in steps:
            parser.error(f"there is no step {name}: {', '.join(steps)}")
        steps[name]()
        save()
    print(f"wrote {options.out}")
    failed = [k for k, v in report.items() if isinstance(v, dict) and v.get("code", 0) != 0]
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

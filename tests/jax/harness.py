#!/usr/bin/env python3
"""JAX's own test cases as StableHLO text with JAX's results, for `gradloom harness DIR`.

    pip install "jax[cpu]" absl-py
    python harness.py DIR [--per-group N] [--seed S] [--groups a,b] [--list]

For each sampled case DIR gets NAME.mlir and NAME.npz, and a line in index.jsonl. Keys of the npz:
  in0, in1, ..      inputs                          out0, ..   results
  dx0, ..           tangents of the float inputs    dy0, ..    tangents of the float results   (if "jvp" is listed)
  ct0, ..           cotangents of float results     g0, ..     cotangents of float inputs      (if "vjp" is listed)
  vin0, ..          a batch of inputs, axis 0       vout0, ..  results mapped over it          (if "vmap" is listed)
Halves are stored as f32. What JAX itself cannot do (a derivative it refuses) is not listed and not judged.
"""
import argparse
import json
import os
import re
import zlib

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")

import jax.numpy as jnp  # noqa: E402  (after the configuration)
from jax import dtypes  # noqa: E402
from jax._src.internal_test_util import test_harnesses  # noqa: E402

BATCH = 3
NUMPY = {np.dtype(t) for t in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
                               "float32", "float64", "complex64", "complex128")}
HALVES = {np.dtype(jnp.float16), np.dtype(jnp.bfloat16)}


def storable(x):
    """The array as numpy can store it."""
    x = np.asarray(x)
    if x.dtype in HALVES:
        return x.astype(np.float32)
    if x.dtype not in NUMPY:
        raise TypeError(f"dtype {x.dtype} is not stored")
    return x


def unspecified(case):
    """Whether JAX leaves the result open: the order of equal keys in a sort that is not stable."""
    if case.group_name != "sort" or case.params.get("is_stable", True):
        return False
    return case.params.get("num_keys", 1) < len(case.arg_descriptors) - 1 or "multiple" in case.name


def is_float(x):
    return dtypes.issubdtype(x.dtype, np.inexact)


def noise(rng, x):
    """A seeded array of the type of x, for tangents and cotangents."""
    v = rng.standard_normal(x.shape)
    if dtypes.issubdtype(x.dtype, np.complexfloating):
        v = v + 1j * rng.standard_normal(x.shape)
    return jnp.asarray(v, x.dtype)


def forward(f, args, rng):
    """Tangents of the float arguments, and those of the float results."""
    tangents = [noise(rng, a) if is_float(a) else np.zeros(a.shape, dtypes.float0) for a in args]
    ys, dys = jax.jvp(f, tuple(args), tuple(tangents))
    given = [t for t, a in zip(tangents, args) if is_float(a)]
    return given, [dy for dy, y in zip(dys, ys) if is_float(y)]


def out_of_bounds(case, args):
    """Whether indices promised to be inside the array are not: what JAX's gather clamps, its transpose drops."""
    return case.group_name == "gather" and any(not is_float(a) and a.size and jnp.abs(a).max() > 1000 for a in args[1:])


def backward(f, args, rng):
    """Cotangents of the float results, and those of the float arguments."""
    ys, pull = jax.vjp(f, *args)
    cts = [noise(rng, y) if is_float(y) else np.zeros(y.shape, dtypes.float0) for y in ys]
    gs = pull(cts)
    return [c for c, y in zip(cts, ys) if is_float(y)], [g for g, a in zip(gs, args) if is_float(a)]


def record(case, out, seed):
    """Writes one case; what was written."""
    number = zlib.crc32(f"{case.fullname}/{seed}".encode())
    args = [jnp.asarray(a) for a in case.dyn_args_maker(np.random.RandomState(number))]
    f = lambda *a: jax.tree.leaves(case.dyn_fun(*a))
    lowered = jax.jit(f).lower(*args)
    text = lowered.as_text()
    outs = lowered.compile()(*args)
    arrays = {f"in{i}": storable(a) for i, a in enumerate(args)}
    arrays |= {f"out{i}": storable(y) for i, y in enumerate(outs)}
    has = ["value"]
    rng = np.random.default_rng(number)
    differentiable = any(map(is_float, args)) and any(map(is_float, outs))
    for what, run, given, got in (("jvp", forward, "dx", "dy"), ("vjp", backward, "ct", "g")):
        if not differentiable or (what == "vjp" and out_of_bounds(case, args)):
            continue
        try:
            before, after = run(f, args, rng)
        except Exception:  # whatever JAX refuses is not judged
            continue
        arrays |= {f"{given}{i}": storable(a) for i, a in enumerate(before)}
        arrays |= {f"{got}{i}": storable(a) for i, a in enumerate(after)}
        has.append(what)
    if args:
        try:
            draws = [case.dyn_args_maker(np.random.RandomState(number + i)) for i in range(BATCH)]
            batch = [jnp.stack([jnp.asarray(d[i], a.dtype) for d in draws]) for i, a in enumerate(args)]
            mapped = jax.jit(jax.vmap(f))(*batch)
            arrays |= {f"vin{i}": storable(a) for i, a in enumerate(batch)}
            arrays |= {f"vout{i}": storable(y) for i, y in enumerate(mapped)}
            has.append("vmap")
        except Exception:
            pass
    name = re.sub(r"[^A-Za-z0-9_.=-]", "_", case.fullname)[:180]
    with open(os.path.join(out, name + ".mlir"), "w") as file:
        file.write(text)
    np.savez(os.path.join(out, name + ".npz"), **arrays)
    return {"name": name, "group": case.group_name, "dtype": np.dtype(case.dtype).name, "has": has,
            "inputs": len(args), "outputs": len(outs)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", nargs="?", help="folder to write to")
    parser.add_argument("--per-group", type=int, default=2, help="cases of each group (default 2; 0 for all)")
    parser.add_argument("--seed", type=int, default=0, help="which cases, and their inputs")
    parser.add_argument("--groups", help="only these groups, separated by commas")
    parser.add_argument("--list", action="store_true", help="print the groups with their sizes")
    options = parser.parse_args()
    groups = {}
    for case in test_harnesses.all_harnesses:
        groups.setdefault(case.group_name, []).append(case)
    if options.list or not options.out:
        for name in sorted(groups):
            print(f"{len(groups[name]):5} {name}")
        print(f"{sum(map(len, groups.values())):5} cases in {len(groups)} groups")
        return
    if options.groups:
        groups = {g: groups[g] for g in options.groups.split(",")}
    os.makedirs(options.out, exist_ok=True)
    written, left_out = 0, {}
    with open(os.path.join(options.out, "index.jsonl"), "w") as index:
        for name in sorted(groups):
            cases = [c for c in groups[name] if c.filter("cpu") and not unspecified(c)]
            order = np.random.default_rng(zlib.crc32(f"{name}/{options.seed}".encode())).permutation(len(cases))
            wanted = options.per_group or len(cases)
            done = 0
            for i in order:
                if done == wanted:
                    break
                try:
                    line = record(cases[i], options.out, options.seed)
                except Exception as e:
                    left_out[cases[i].fullname] = f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"
                    continue
                finally:
                    jax.clear_caches()  # hundreds of compiled programs
                index.write(json.dumps(line) + "\n")
                index.flush()
                done += 1
                written += 1
    for case, why in left_out.items():
        print(f"left out {case}: {why}")
    print(f"{written} cases of {len(groups)} groups, {len(left_out)} left out")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""JAX's own test cases as StableHLO text with JAX's results, for `gradloom harness DIR`.

    pip install "jax[cpu]" absl-py
    python harness.py DIR [--per-group N] [--first I] [--seed S] [--groups a,b] [--list]

For each sampled case DIR gets NAME.mlir and NAME.npz, and a line in index.jsonl. Keys of the npz:
  in0, in1, ..      inputs                          out0, ..   results
  dx0, ..           tangents of the float inputs    dy0, ..    tangents of the float results   (if "jvp" is listed)
  ct0, ..           cotangents of float results     g0, ..     cotangents of float inputs      (if "vjp" is listed)
  vin0, ..          a batch of inputs, axis 0       vout0, ..  results mapped over it          (if "vmap" is listed)
Halves are stored as f32. What JAX itself cannot do (a derivative it refuses) is not listed and not judged; the line says
why under "refused".
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
jax.config.update("jax_disable_most_optimizations", True)  # a program runs once

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


def complete(args, given):
    """The tangents or cotangents given for the float arrays, with those of the others."""
    given = iter(given)
    return [next(given) if is_float(a) else np.zeros(a.shape, dtypes.float0) for a in args]


def adjoint(x):
    return jnp.conj(jnp.swapaxes(x, -1, -2))


class Contradiction(Exception):
    """JAX's derivative comes with another value than the function has, or its vjp is not the transpose of its jvp."""


def agree(ys, outs):
    """Whether two runs of one function gave the same, roughly."""
    same = lambda y, o: np.allclose(storable(y), storable(o), rtol=0.05, atol=0.05, equal_nan=True)
    return all(same(y, o) for y, o in zip(ys, outs) if is_float(y))


def forward(case, f, args, outs, rng):
    """Tangents of the float arguments, and those of the float results."""
    given = [noise(rng, a) for a in args if is_float(a)]
    if case.group_name == "cholesky":
        given = [(t + adjoint(t)) / 2 for t in given]  # a matrix of which one triangle is read stays Hermitian
    ys, dys = jax.jit(lambda args, given: jax.jvp(f, args, tuple(complete(args, given))))(tuple(args), given)
    if not agree(ys, outs):
        raise Contradiction
    return given, [dy for dy, y in zip(dys, ys) if is_float(y)]


def is_transpose(pull, dx, dy):
    """Whether a vjp is the transpose of the jvp, by the cotangents that leave nothing to chance: the conjugate tangents.
    It is not where indices promised to be inside the array are not: what JAX's gather clamps, its transpose drops."""
    wide = lambda x: np.asarray(storable(x), np.complex128)
    with np.errstate(all="ignore"):
        pushed = sum((abs(wide(y)) ** 2).sum() for y in dy)
        pulled = [(wide(g) * wide(x)).real for g, x in zip(pull([jnp.conj(y) for y in dy]), dx)]
        total, size = sum(p.sum() for p in pulled), sum(abs(p).sum() for p in pulled)
    close = 3e-2 if any(x.dtype in HALVES for x in dx + dy) else 1e-2
    return not np.isfinite(pushed + total) or abs(pushed - total) <= close * (pushed + size)


def without_phase(case, outs, cts):
    """Complex singular vectors have an open phase, on which no function may depend: cotangents have no part along it."""
    if case.group_name != "svd" or len(outs) < 3 or not dtypes.issubdtype(outs[1].dtype, np.complexfloating):
        return cts
    (_, u, vt), (cs, cu, cv) = outs, cts
    k = vt.shape[-2]
    along = (u[..., :k] * cu[..., :k]).sum(-2).imag[..., : cs.shape[-1]] - (vt * cv).sum(-1).imag[..., : cs.shape[-1]]
    n = cs.shape[-1]
    cu = cu.at[..., :n].add(-1j * along[..., None, :] * jnp.conj(u[..., :n]))
    return [cs, cu, cv]


def backward(case, f, args, outs, rng, tangents=None):
    """Cotangents of the float results, and those of the float arguments."""
    given = without_phase(case, outs, [noise(rng, y) for y in outs if is_float(y)])

    def pulled(args, given):
        ys, pull = jax.vjp(f, *args)
        return ys, [g for g, a in zip(pull(complete(ys, given)), args) if is_float(a)]

    pulled = jax.jit(pulled)
    ys, gs = pulled(tuple(args), given)
    if not agree(ys, outs):
        raise Contradiction
    if tangents and not is_transpose(lambda ct: pulled(tuple(args), ct)[1], *tangents):
        raise Contradiction
    return given, gs


def reason(e):
    text = str(e) or e.__doc__ or ""
    return f"{type(e).__name__}: {text.splitlines()[0] if text else ''}"[:200]


def file_name(name):
    """The case's name as a file's, cut where it is long."""
    plain = re.sub(r"[^A-Za-z0-9_.=-]", "_", name)
    return plain if len(plain) <= 100 else f"{plain[:91]}_{zlib.crc32(name.encode()):08x}"


def record(case, out, seed):
    """Writes one case; what was written."""
    number = zlib.crc32(f"{case.fullname}/{seed}".encode())
    args = [jnp.asarray(a) for a in case.dyn_args_maker(np.random.RandomState(number))]
    f = lambda *a: jax.tree.leaves(case.dyn_fun(*a))
    if case.group_name == "cholesky":
        f = lambda *a: [jnp.tril(case.dyn_fun(*a))]  # as `jax.lax.linalg.cholesky`: the primitive leaves the rest as it was
    lowered = jax.jit(f).lower(*args)
    text = lowered.as_text()
    outs = lowered.compile()(*args)
    arrays = {f"in{i}": storable(a) for i, a in enumerate(args)}
    arrays |= {f"out{i}": storable(y) for i, y in enumerate(outs)}
    has, refused = ["value"], {}
    rng = np.random.default_rng(number)
    differentiable = any(map(is_float, args)) and any(map(is_float, outs))
    tangents = None
    for what, given, got in (("jvp", "dx", "dy"), ("vjp", "ct", "g")):
        if not differentiable:
            continue
        try:
            if what == "jvp":
                before, after = tangents = forward(case, f, args, outs, rng)
            else:
                before, after = backward(case, f, args, outs, rng, tangents)
        except Exception as e:  # whatever JAX refuses is not judged
            refused[what] = reason(e)
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
        except Exception as e:
            refused["vmap"] = reason(e)
    name = file_name(case.fullname)
    with open(os.path.join(out, name + ".mlir"), "w") as file:
        file.write(text)
    np.savez(os.path.join(out, name + ".npz"), **arrays)
    return {"name": name, "group": case.group_name, "dtype": np.dtype(case.dtype).name, "has": has,
            "inputs": len(args), "outputs": len(outs), "refused": refused}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", nargs="?", help="folder to write to")
    parser.add_argument("--per-group", type=int, default=2, help="cases of each group (default 2; 0 for all)")
    parser.add_argument("--first", type=int, default=0, help="pass over this many cases of each group")
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
            for i in order[options.first :]:
                if done == wanted:
                    break
                try:
                    line = record(cases[i], options.out, options.seed)
                except Exception as e:
                    left_out[cases[i].fullname] = reason(e)
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

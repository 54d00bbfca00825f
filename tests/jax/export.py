"""Runs exported programs in JAX's own client and compares with what gradloom computes.

    python export.py FOLDER

`FOLDER` holds `cases.json` and `cases.bin`, as `frontend/tests/export/` writes them (GRADLOOM_EXPORT_CASES=folder keeps them).
Integers and bools are equal. Floats are at most `ulps` units in the last place apart: of each element (or of `floor`, if
that is greater), or, for `scaled` cases, where sums may cancel, of the greatest element of the array. Any NaN equals any other, and
differences below the least normal number do not count, as XLA makes such numbers 0; but with 0 `ulps` (programs that only
move elements) bits are equal.
"""

import json
import os
import pathlib
import sys

import numpy as np

# what is rounded to 16 bits is rounded, as it is in gradloom
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_allow_excess_precision=false"

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import ml_dtypes
from jax._src.lib import xla_client as xc

DTYPES = {
    "bool": np.bool_, "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64, "u8": np.uint8, "u16": np.uint16,
    "u32": np.uint32, "u64": np.uint64, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64,
    "c64": np.complex64, "c128": np.complex128,
}
EPSILON = {"f16": 2.0**-10, "bf16": 2.0**-7, "f32": 2.0**-23, "f64": 2.0**-52, "c64": 2.0**-23, "c128": 2.0**-52}

DEVICE = jax.devices("cpu")[0]


def compiled(text):
    return DEVICE.client.compile_and_load(text, xc.DeviceList((DEVICE,)), xc.CompileOptions())


def run(text, inputs):
    results = compiled(text).execute_sharded([jax.device_put(x, DEVICE) for x in inputs])
    return [np.asarray(x[0]) for x in results.disassemble_into_single_device_arrays()]


def array(blob, spec):
    name, shape, at = spec
    dtype = np.dtype(DTYPES[name])
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(blob, dtype, count, at).reshape(shape)


def difference(got, want, name, ulps, scaled, floor):
    """What differs, or None."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"{got.dtype}{got.shape} instead of {want.dtype}{want.shape}"
    if name not in EPSILON or ulps == 0:
        bits = lambda x: np.ascontiguousarray(x).reshape(-1).view(np.uint8)
        if np.array_equal(bits(got), bits(want)):
            return None
        if name not in EPSILON:
            bad = np.argwhere((got != want).reshape(-1))[:, 0]
            i = bad[0]
            return f"{len(bad)} of {got.size}: element {i} is {got.reshape(-1)[i]}, should be {want.reshape(-1)[i]}"
    wide = np.complex128 if name in ("c64", "c128") else np.float64
    g, w = got.reshape(-1).astype(wide), want.reshape(-1).astype(wide)
    magnitude = np.abs(w)
    finite = magnitude[np.isfinite(magnitude)]
    top = finite.max() if finite.size else 0.0
    unit = EPSILON[name] * (np.full_like(magnitude, top) if scaled else np.maximum(magnitude, floor))
    with np.errstate(all="ignore"):
        apart = np.abs(g - w)
        ok = (g == w) | (np.isnan(g) & np.isnan(w)) | (apart <= ulps * unit)
        # what is so small XLA makes 0; 16-bit floats are computed in f32
        ok |= apart < 2 * (2.0**-1022 if name in ("f64", "c128") else 2.0**-126)
        if ok.all():
            return None
        excess = np.where(ok, 0, np.where(np.isfinite(apart), apart / np.where(unit == 0, 1e-300, unit), np.inf))
    i = int(np.argmax(excess))
    return f"{(~ok).sum()} of {g.size}: element {i} is {got.reshape(-1)[i]}, should be {want.reshape(-1)[i]} ({excess[i]:.1f} units)"


def main():
    folder = pathlib.Path(sys.argv[1])
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    cases = json.loads((folder / "cases.json").read_text())
    blob = (folder / "cases.bin").read_bytes()
    jnp.linalg.cholesky(jnp.ones((1, 1))).block_until_ready()  # loads LAPACK, which texts may call
    passed = failed = 0
    for case in cases:
        if only not in case["name"]:
            continue
        try:
            outs = run(case["text"], [array(blob, x) for x in case["inputs"]])
            want = case["expected"]
            found = f"{len(outs)} results for {len(want)}" if len(outs) != len(want) else None
            for i, (got, spec) in enumerate(zip(outs, want)):
                why = difference(got, array(blob, spec), spec[0], case["ulps"], case["scaled"], case["floor"])
                if why:
                    found = found or f"result {i}: {why}"
        except Exception as e:  # the other cases are to be run
            found = str(e).replace("\n", " ")[:300]
        if found:
            failed += 1
            print(f"{case['name']}: {found}", flush=True)
        else:
            passed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

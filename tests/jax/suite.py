#!/usr/bin/env python3
"""XLA's score on test programs that check themselves, by the rules of `gradloom check`.

    pip install "jax[cpu]"
    python suite.py FOLDER [--misses]

Inputs are passed to the compiled program as arguments, so that XLA does not fold it away.
"""
import argparse
import glob
import os

import jax
import numpy as np

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_enable_x64", True)

from jax._src.interpreters import mlir  # noqa: E402  (after the configuration)
from jax._src.lib import xla_client  # noqa: E402
from jaxlib.mlir import ir  # noqa: E402
from jaxlib.mlir.dialects import func  # noqa: E402

LOOSE = {"float64": 1e-6, "complex128": 1e-6, "float32": 1e-4, "complex64": 1e-4, "float16": 2e-3, "bfloat16": 2e-2}


def execute(module, args):
    device = jax.devices()[0]
    exe = device.client.compile_and_load(module, xla_client.DeviceList((device,)), xla_client.CompileOptions())
    out = exe.execute_sharded([jax.device_put(a, device) for a in args])
    return [np.asarray(x[0]) for x in out.disassemble_into_single_device_arrays()]


def functions(module):
    return {op.attributes["sym_name"].value: op for op in module.body.operations}


def inputs(text):
    """What `@inputs` returns."""
    module = ir.Module.parse(text)
    for name, op in functions(module).items():
        if name != "inputs":
            op.erase()
    only = functions(module)["inputs"].operation
    only.attributes["sym_name"] = ir.StringAttr.get("main")
    only.attributes["sym_visibility"] = ir.StringAttr.get("public")
    return execute(module, [])


def run(text):
    """What was computed and what should come out, with the rule, of each check."""
    with mlir.make_ir_context() as context, ir.Location.unknown(context) as loc:
        module = ir.Module.parse(text)
        main = functions(module)["main"].operation
        block = main.regions[0].blocks[0]
        args, rules, results = [], [], []
        for op in list(block.operations):
            name, attributes = op.operation.name, op.operation.attributes
            if name == "func.call" and attributes["callee"].value == "inputs":
                args = inputs(text)
                for value in op.operation.results:
                    value.replace_all_uses_with(block.add_argument(value.type, loc))
                op.operation.erase()
            elif name == "stablehlo.custom_call" and attributes["call_target_name"].value.startswith("check."):
                rules.append(attributes["call_target_name"].value.removeprefix("check."))
                results += list(op.operation.operands)
                op.operation.erase()
        block.operations[len(block.operations) - 1].operation.erase()
        with ir.InsertionPoint(block):
            func.ReturnOp(results)
        kinds = [a.type for a in block.arguments], [v.type for v in results]
        main.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(*kinds))
        for extra in ("arg_attrs", "res_attrs"):
            if extra in main.attributes:
                del main.attributes[extra]
        outs = execute(module, args)
    return list(zip(rules, outs[::2], outs[1::2]))


def parts(x):
    return np.stack([x.real, x.imag]) if np.iscomplexobj(x) else x


def places(x):
    """Positions in the order of all floats of the format; both zeros have 0."""
    bits = x.view(f"int{8 * x.dtype.itemsize}")
    top = np.iinfo(bits.dtype).min
    return np.where(bits < 0, -(bits ^ top).astype(object), bits.astype(object))


def strict(rule, got, want):
    got, want = parts(got), parts(want)
    if got.dtype.kind in "biu":
        return np.array_equal(got, want)
    nan = np.isnan(want)
    if not np.array_equal(np.isnan(got), nan):
        return False
    got, want = np.where(nan, 0, got).astype(got.dtype), np.where(nan, 0, want).astype(want.dtype)
    if rule == "expect_almost_eq":
        return bool(np.all((got == want) | (np.abs(got - want) <= 1e-3)))
    same = got.view(f"uint{8 * got.dtype.itemsize}") == want.view(f"uint{8 * want.dtype.itemsize}")
    if rule == "expect_eq":
        return bool(np.all(same))
    finite = np.isfinite(got) & np.isfinite(want)
    return bool(np.all(same | (finite & (np.abs(places(got) - places(want)) <= 3))))


def loose(got, want):
    if got.dtype.kind in "biu":
        return np.array_equal(got, want)
    t = LOOSE[want.dtype.name]
    got, want = (parts(x).astype(np.float64) for x in (got, want))
    with np.errstate(invalid="ignore"):
        return bool(np.all((got == want) | (np.isnan(got) & np.isnan(want)) | (np.abs(got - want) <= t + t * np.abs(want))))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--misses", action="store_true", help="name the programs that are not met")
    options = parser.parse_args()
    files = sorted(glob.glob(os.path.join(options.folder, "*.mlir")))
    counts = [0, 0]
    for path in files:
        with open(path) as file:
            text = file.read()
        try:
            pairs = run(text)
            met = [all(strict(r, g, w) for r, g, w in pairs), all(loose(g, w) for _, g, w in pairs)]
            why = ""
        except Exception as e:
            met, why = [False, False], str(e).splitlines()[0][:150]
        counts = [c + m for c, m in zip(counts, met)]
        if options.misses and not all(met):
            print(f"{os.path.basename(path)}: {'loose only' if met[1] else 'neither'} {why}", flush=True)
    print(f"XLA: strict {counts[0]}, loose {counts[1]} of {len(files)}")


if __name__ == "__main__":
    main()

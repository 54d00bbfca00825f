#!/usr/bin/env python3
"""Whole programs as users of JAX write them (folder programs/), for `gradloom harness DIR`.

    pip install "jax[cpu]"
    python models.py DIR [--only NAME ..] [--text plain|debug|export]

DIR gets NAME.mlir, NAME.npz (in0, .. and JAX's results out0, ..; halves as f32) and a line each in index.jsonl. `--text`
says how the text is written: `jax.jit(f).lower(..).as_text()`, the same with positions, or `jax.export`'s.
"""
import argparse
import json
import os

import jax
import numpy as np

jax.config.update("jax_platforms", "cpu")

from programs import Maker, load  # noqa: E402  (after the configuration)


def storable(x):
    x = np.asarray(x)
    return x.astype(np.float32) if x.dtype.name in ("bfloat16", "float16") else x


def record(name, program, out, text):
    """Writes one program; its line of the index."""
    with jax.enable_x64(program.x64):
        args = program.args(Maker(name))
        leaves = jax.tree.leaves(args)
        jitted = jax.jit(program.f, **program.jit)
        lowered = jitted.lower(*args)
        kept = sorted(lowered._lowering.compile_args["kept_var_idx"])
        if text == "export":
            exported = jax.export.export(jitted)(*args)
            written, kept = exported.mlir_module(), list(exported.module_kept_var_idx)
        else:
            written = lowered.as_text(debug_info=text == "debug")
        arrays = {f"in{i}": storable(leaves[k]) for i, k in enumerate(kept)}
        outs = [storable(y) for y in jax.tree.leaves(lowered.compile()(*args))]
    arrays |= {f"out{i}": y for i, y in enumerate(outs)}
    with open(os.path.join(out, name + ".mlir"), "w") as file:
        file.write(written)
    np.savez(os.path.join(out, name + ".npz"), **arrays)
    return {"name": name, "group": f"model_{program.narrow}" if program.narrow else "model", "has": ["value"], "inputs": len(kept), "outputs": len(outs)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", help="folder to write to")
    parser.add_argument("--only", nargs="*", help="only these programs")
    parser.add_argument("--text", choices=["plain", "debug", "export"], default="plain")
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    with open(os.path.join(options.out, "index.jsonl"), "w") as index:
        for name, program in sorted(load().items()):
            if options.only and name not in options.only:
                continue
            try:
                line = record(name, program, options.out, options.text)
            except Exception as e:
                print(f"left out {name}: {type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"[:300])
                continue
            index.write(json.dumps(line) + "\n")
            index.flush()


if __name__ == "__main__":
    main()

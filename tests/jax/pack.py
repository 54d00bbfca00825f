#!/usr/bin/env python3
"""A small sample of what harness.py wrote, as one file that the tests read.

    python pack.py DIR FILE.zip [--bytes N] [--largest N]

Every group gives its first case (in the order of the index, which is seeded) that is not large, then, while there is room,
the next ones in turn. The file is the same for the same cases.
"""
import argparse
import io
import json
import os
import zipfile


def packed(name, data):
    """The entry and its size in the file."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(io.BytesIO(), "w") as z:
        z.writestr(entry, data, compresslevel=9)
        return z.infolist()[0].compress_size


def entries(folder, name):
    for suffix in (".mlir", ".npz"):
        with open(os.path.join(folder, name + suffix), "rb") as file:
            data = file.read()
        if suffix == ".npz":  # as numpy wrote it, without its own dates
            with zipfile.ZipFile(io.BytesIO(data)) as old:
                stored = io.BytesIO()
                with zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as new:
                    for part in old.namelist():
                        new.writestr(zipfile.ZipInfo(part, date_time=(1980, 1, 1, 0, 0, 0)), old.read(part))
                data = stored.getvalue()
        yield name + suffix, data


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("out")
    parser.add_argument("--bytes", type=int, default=2_200_000, help="most bytes of the file")
    parser.add_argument("--largest", type=int, default=24_000, help="most bytes of a case, unless its group has no smaller")
    options = parser.parse_args()
    groups = {}
    with open(os.path.join(options.folder, "index.jsonl")) as index:
        for line in index:
            case = json.loads(line)
            data = dict(entries(options.folder, case["name"]))
            case["size"] = sum(packed(name, d) + 2 * len(name) + 100 for name, d in data.items()) + 60
            groups.setdefault(case["group"], []).append((case, line))
    for cases in groups.values():
        small = [c for c in cases if c[0]["size"] <= options.largest]
        cases[:] = small or [min(cases, key=lambda c: c[0]["size"])]
    chosen, total = [], 0
    for turn in range(max(map(len, groups.values()))):
        for cases in groups.values():
            if turn < len(cases) and total + cases[turn][0]["size"] <= options.bytes:
                chosen.append(cases[turn])
                total += cases[turn][0]["size"]
    chosen.sort(key=lambda c: c[0]["name"])
    with zipfile.ZipFile(options.out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        files = [("index.jsonl", "".join(line for _, line in chosen).encode())]
        for case, _ in chosen:
            files.extend(entries(options.folder, case["name"]))
        for name, data in files:
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(entry, data, compresslevel=9)
    missing = [g for g in groups if not any(c["group"] == g for c, _ in chosen)]
    size = os.path.getsize(options.out)
    print(f"{len(chosen)} cases of {len(groups)} groups, {size} bytes; groups left out: {missing}")


if __name__ == "__main__":
    main()

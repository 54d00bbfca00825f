#!/bin/sh
# build.sh OUT [--stablehlo FOLDER] [--peer peer_jax.py]: a folder that a machine with a GPU and without Rust can run: one program
# of tests and benchmarks, the script that runs them, StableHLO's tests and the peer's workloads if they are named.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
usage="build.sh OUT [--stablehlo FOLDER] [--peer peer_jax.py]"
out=${1:?$usage}
shift
mkdir -p "$out"
out=$(cd "$out" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
cargo build --release --manifest-path "$here/../Cargo.toml" --bin gradloom-gpu
cp "$target/release/gradloom-gpu" "$out/gradloom-gpu.new"
strip "$out/gradloom-gpu.new"
mv "$out/gradloom-gpu.new" "$out/gradloom-gpu"
cp "$here/run.py" "$out/run.py"
while [ $# -gt 0 ]; do
    case $1 in
    --stablehlo)
        rm -rf "$out/stablehlo"
        mkdir "$out/stablehlo"
        find "${2:?$usage}" -name '*.mlir' -exec cp {} "$out/stablehlo" \;
        ;;
    --peer) cp "${2:?$usage}" "$out/peer_jax.py" ;;
    *)
        echo "$usage" >&2
        exit 2
        ;;
    esac
    shift 2
done
du -sk "$out" | awk '{ printf "%.1f MiB in %s; there: python3 run.py\n", $1 / 1024, $2 }'

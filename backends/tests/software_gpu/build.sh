#!/bin/sh
# build.sh OUT_FOLDER [--check]: compiles the libraries into a folder, those that are older than their sources; with --check the
# test program too, and runs it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?the folder to build in}
mkdir -p "$out"
out=$(cd "$out" && pwd)
compiler=${CXX:-c++}
flags="-std=c++17 -O1 -fPIC -fvisibility=hidden -fno-strict-aliasing -Wall -Wextra -Wno-unused-parameter"

# whether the file $1 is older than one of the others, or not there
older() {
    target=$1
    shift
    [ -e "$target" ] || return 0
    for source; do
        [ "$source" -nt "$target" ] && return 0
    done
    return 1
}

# object NAME FLAGS..: compiles a source; link NAME OBJECTS.. -FLAGS..: makes a library
object() {
    name=$1
    shift
    if older "$out/$name.o" "$here/$name.cpp" "$here"/*.h "$here"/*.cuh; then
        $compiler $flags "$@" -c "$here/$name.cpp" -o "$out/$name.o.new" && mv "$out/$name.o.new" "$out/$name.o"
    fi
}
link() {
    name=$1
    shift
    if older "$out/$name" $(for o; do case $o in -*) ;; *) echo "$out/$o.o" ;; esac; done); then
        # not over the old one, which may be in use
        $compiler -shared -Wl,-soname,"$name" -Wl,--version-script="$here/exports.map" -o "$out/$name.new" \
            $(for o; do case $o in -*) echo "$o" ;; *) echo "$out/$o.o" ;; esac; done) -ldl -lpthread
        mv "$out/$name.new" "$out/$name"
    fi
}

pids=
start() {
    "$@" &
    pids="$pids $!"
}
finish() {
    for pid in $pids; do wait "$pid"; done
    pids=
}

for name in device memory host_memory streams graphs modules source; do start object "$name"; done
start object fibres -O2
start object nvrtc "-DSOURCE_FOLDER=\"$here\""
for name in matmul fft cudnn triangular solver solver_batched; do start object "$name" -O2; done
finish
start link libcuda.so.1 device memory host_memory streams graphs modules fibres
start link libnvrtc.so.12 nvrtc source
finish
# where the driver lies, if it is not loaded already
driver="-L$out -l:libcuda.so.1 -Wl,-rpath,\$ORIGIN"
start link libcublasLt.so.12 matmul $driver
start link libcufft.so.11 fft $driver
start link libcudnn.so.9 cudnn $driver
start link libcublas.so.12 triangular $driver
start link libcusolver.so.11 solver solver_batched $driver
finish

if [ "${2:-}" = --check ]; then
    parts=
    for source in "$here"/check*.cpp; do
        name=$(basename "$source" .cpp)
        parts="$parts $out/$name.o"
        start object "$name" "-DSOURCE_FOLDER=\"$here\"" -O0
    done
    finish
    $compiler -o "$out/check" $parts -ldl -lpthread
    "$out/check" "$out"
fi

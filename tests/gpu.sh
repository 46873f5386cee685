#!/usr/bin/env bash
# Checks landscope on a GPU against the CPU and against PyTorch, then times it beside PyTorch; tests/README.md says what
# is checked. It needs a built (or copied) binary and a Python with PyTorch 2.11: no network, no other package, no compiler
# (torch.compile alone wants one).
set -euo pipefail

usage="usage: tests/gpu.sh [--device cuda|cuda:N|cpu] [--binary PATH] [--python PATH] [--out DIR] [--only PART,...] [--patience N]"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
device=cuda:0
binary=${LANDSCOPE:-}
python=${PYTHON:-python3}
out=${OUT:-}
only=
patience=1

# Could not be run: 2, one line that says why.
refuse() { echo "tests/gpu.sh: $1" >&2; exit 2; }

while [ $# -gt 0 ]; do
    case $1 in
        --device | --binary | --python | --out | --only | --patience)
            [ $# -ge 2 ] || refuse "$1: expected a value; $usage"
            printf -v "${1#--}" %s "$2"
            shift 2 ;;
        -h | --help) echo "$usage"; exit 0 ;;
        *) refuse "$1: unknown; $usage" ;;
    esac
done

[[ $device =~ ^(cpu|cuda(:[0-9]+)?)$ ]] || refuse "--device $device: expected cpu, cuda or cuda:N"
[[ $patience =~ ^[1-9][0-9]*$ ]] || refuse "--patience $patience: expected a whole number from 1"
[ "$device" != cuda ] || device=cuda:0

if [ -z "$binary" ]; then
    for binary in "$here/../target/debug/landscope" "$here/../landscope" ""; do
        [ ! -x "$binary" ] || break
    done
fi
[ -n "$binary" ] || refuse "no target/debug/landscope: build it, or name one with --binary"
[ -x "$binary" ] || refuse "--binary $binary: no such program"
binary=$(realpath "$binary")

command -v "$python" > /dev/null || refuse "--python $python: no such program"
# The binary finds libtorch there, and libtorch_cuda.so beside it.
found=$("$python" -c 'import os, torch; print(torch.__version__, os.path.join(os.path.dirname(torch.__file__), "lib"))' \
    2> /dev/null) || refuse "--python $python: it has no PyTorch"
version=${found%% *}
[[ $version == 2.11.* ]] || refuse "--python $python: it has PyTorch $version, and the binary wants 2.11"
export LD_LIBRARY_PATH="${found#* }${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
said=$("$binary" --version 2>&1) || refuse "$binary does not start: $(head -n 1 <<< "$said")"

out=${out:-$(mktemp -d "${TMPDIR:-/tmp}/landscope-gpu.XXXXXX")}
mkdir -p "$out" || refuse "--out $out: it cannot be made"
exec "$python" "$here/gpu_check.py" --device "$device" --binary "$binary" --out "$(realpath "$out")" \
    --patience "$patience" ${only:+--only "$only"}

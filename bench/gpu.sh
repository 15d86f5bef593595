#!/bin/sh
# Stages, images/s, side by side and memory on a GPU machine, in one command and under eight minutes.
#   bench/gpu.sh                                     ViT-B, then ViT-H, on cuda
#   bench/gpu.sh --device cpu --size sam_tiny        the same trip where there is no GPU
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
[ -x "$python" ] || python=python3
if [ $# -gt 0 ]; then
    exec "$python" -m bench.model "$@"
fi
"$python" -m bench.model --device cuda --size sam_vit_b --batches 1,4,16
"$python" -m bench.model --device cuda --size sam_vit_h --batches 1,4,8 --parts stages,rates,memory

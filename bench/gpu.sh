#!/bin/sh
# Measure stages, images a second, memory and comparisons on a GPU, in under eight minutes. Tables go to the terminal, JSON
# to bench/results/model-NAME-DEVICE.json.
#   bench/gpu.sh                                  ViT-B, then ViT-H, on CUDA; random weights, about 100 masks an image
#   bench/gpu.sh --device cpu --size tiny         the same without a GPU, with fewer points
# The second form takes any argument of bench.model. No row begins after --budget seconds.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
[ -x "$python" ] || python=python3
if [ $# -gt 0 ]; then
    exec "$python" -m bench.model --budget 300 --points 16 --step-points 8 --memory-points 8 "$@"
fi
run() {
    size=$1
    shift
    "$python" -m bench.model --device cuda --size "$size" "$@"
}
run vit_b --budget 100 --batches 1,4,16 --parts stages,rates,memory,compare
run vit_h --budget 120 --batches 1,4,8 --parts stages,rates,memory
run vit_b --budget 60 --parts peers,steps
run vit_h --budget 120 --batches 8 --parts rates --compile --out bench/results/model-sam_vit_h-cuda-compiled.json

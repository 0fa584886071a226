#!/bin/sh
# ResNet-50 training step and inference beside PyTorch, ONNX Runtime and OpenVINO, each in its best setting, in turns:
# benches/resnet50_side_by_side.sh [THREADS [ROUNDS]]
# Needs a python3 with torch (or PYTHON=...); onnxruntime with onnx, and openvino, are left out where they are missing.
set -eu
cd "$(dirname "$0")/.."
cargo bench --bench resnet50 --no-run
binary=$(ls -t target/release/deps/resnet50-* | grep -v '\.d$' | head -n 1)
exec "${PYTHON:-python3}" benches/resnet50_side_by_side.py "$binary" "$@"

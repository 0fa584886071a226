#!/bin/sh
# ResNet-50's training step and inference beside PyTorch's: benches/resnet50_side_by_side.sh [THREADS [ROUNDS]]
# Needs a python3 with torch (or PYTHON=...).
set -eu
cd "$(dirname "$0")/.."
cargo bench --bench resnet50 --no-run
binary=$(ls -t target/release/deps/resnet50-* | grep -v '\.d$' | head -n 1)
exec "${PYTHON:-python3}" benches/resnet50_torch.py "$binary" "$@"

#!/bin/sh
# Our convolutions beside those of PyTorch, channels last, in turns on the same machine:
# benches/conv2d_side_by_side.sh [THREADS [ROUNDS]]
# Needs a python3 with torch (or PYTHON=...).
set -eu
cd "$(dirname "$0")/.."
cargo bench --bench conv2d --no-run
binary=$(ls -t target/release/deps/conv2d-* | grep -v '\.d$' | head -n 1)
exec "${PYTHON:-python3}" benches/conv2d_torch.py "$binary" "$@"

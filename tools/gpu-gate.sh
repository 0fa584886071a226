#!/bin/sh
# What a GPU must show before this program is said to run on one: see docs/gpu.md, and --help.
exec "${PYTHON:-python3}" "$(dirname "$0")/gpu_gate.py" "$@"

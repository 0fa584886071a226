#!/usr/bin/env bash
# Runs a small demo of the program under AddressSanitizer. See --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "${1-}" in
-h | --help)
    cat <<TEXT
Usage: tools/asan.sh

Builds bcreid with -Zsanitizer=address and runs a small demo with it on the CPU: synthesis, two trainings, evaluation
and report. AddressSanitizer ends the program at the first access of memory outside of what was allocated, or that was
freed, also in the crates that the program uses.

Needs a nightly toolchain (rustup toolchain install nightly); TOOLCHAIN names another one. The build takes about
ten minutes and 2 GB in target/asan (or CARGO_TARGET_DIR), the runs a minute.
TEXT
    exit 0
    ;;
"") ;;
*)
    echo "asan.sh: unknown argument $1; see tools/asan.sh --help" >&2
    exit 1
    ;;
esac

toolchain=+${TOOLCHAIN-nightly}
cargo "$toolchain" --version >/dev/null 2>&1 || {
    echo "asan.sh: no toolchain ${toolchain#+}; rustup toolchain install nightly" >&2
    exit 1
}
target=x86_64-unknown-linux-gnu
export BCREID_CUDA_ARCHS=none CARGO_TARGET_DIR=${CARGO_TARGET_DIR-target/asan}
# With --target the flags are for the program alone and not for build scripts. Line tables name the source in a report.
RUSTFLAGS="-Zsanitizer=address -Cdebuginfo=line-tables-only" \
    cargo "$toolchain" build --release --target $target -p bcreid --bin bcreid
program=$CARGO_TARGET_DIR/$target/release/bcreid
grep -q __asan_report_load "$program" || {
    echo "asan.sh: $program has no checks of AddressSanitizer" >&2
    exit 1
}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# Libraries and pools stay until the process ends, which counts as a leak.
export ASAN_OPTIONS=halt_on_error=1:detect_leaks=0:detect_stack_use_after_return=1
"$program" demo --out "$folder/demo" --train-ids 8 --test-ids 6 --set solver.iterations=5 --set solver.batch=8 \
    --set input.height=64 --set input.width=32 --set model.width=8
echo "== no access outside of memory"

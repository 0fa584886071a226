#!/usr/bin/env bash
# Runs the index arithmetic of the CPU's loops under Miri, which checks each access of memory. See --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "${1-}" in
-h | --help)
    cat <<TEXT
Usage: tools/miri.sh

Runs under Miri: the unit tests of the CPU's micro-kernel, of its matrix products and of shapes, and
tests/cpu_index.rs (convolutions by implicit products and by Winograd's tiles, moments, pooling windows, distances,
reused memory).
Twice: in plain loops, and with AVX2 and FMA, whose unsafe micro-kernel Miri interprets instruction by instruction.

Not run: the micro-kernel for AVX-512, whose tile the plain loops have too; and, because Miri interprets Rust alone, files that are mapped into memory, and CUDA.

Needs a nightly toolchain with Miri (rustup +nightly component add miri rust-src). TOOLCHAIN names another one.
Takes about half an hour on two cores.
TEXT
    exit 0
    ;;
"") ;;
*)
    echo "miri.sh: unknown argument $1; see tools/miri.sh --help" >&2
    exit 1
    ;;
esac

toolchain=+${TOOLCHAIN-nightly}
cargo "$toolchain" miri --version >/dev/null 2>&1 || {
    echo "miri.sh: no Miri; rustup $toolchain component add miri rust-src" >&2
    exit 1
}
# One thread; the tests ask for the number of cores and the time. Threads of rayon's pool live until the process ends,
# which counts as a leak. Its queues do not keep the rules of stacked borrows, those of tree borrows they do.
# Miri unwinds for a backtrace of each expected panic, which takes minutes.
export RUST_BACKTRACE=0 RAYON_NUM_THREADS=1 BCREID_CUDA_ARCHS=none
export MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-ignore-leaks -Zmiri-tree-borrows"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR-target/miri}
for features in -avx2,-fma +avx2,+fma; do
    echo "== target features $features"
    RUSTFLAGS="-C target-feature=$features" cargo "$toolchain" miri test -p bcreid --no-default-features --lib -- \
        device::cpu:: element::
    RUSTFLAGS="-C target-feature=$features" cargo "$toolchain" miri test -p bcreid --no-default-features \
        --test cpu_index
done

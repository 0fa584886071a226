#!/usr/bin/env bash
# Fetches NVIDIA's headers and libraries from PyPI into tools/cuda_headers/files, for the test that compares the
# program's declarations of their functions with them. See --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

wheels=tools/cuda_headers/wheels.ini
files=tools/cuda_headers/files
stamp=$files/wheels.sha256

fail() {
    echo "get-cuda-headers.sh: $1" >&2
    exit 1
}

case "${1-}" in
-h | --help)
    cat <<EOF_HELP
Usage: tools/get-cuda-headers.sh

Fetches cuda.h, and the headers and libraries of cuDNN and cuBLAS, from PyPI into $files: of the oldest
and of the newest versions that this program supports. The tests of src/device/cuda/headers.rs compare the program's
declarations with them. The wheels have 2 GB; only the members that are needed are fetched (125 MB, ten seconds; 170 MB
on disk), unless the index offers no ranges of a file. Nothing outside that folder changes; to undo it, delete the
folder. A second run fetches nothing. Versions and hashes are those of $wheels.

Needs python3 (3.9 or newer) with pip, which takes its index and proxy from its own configuration. Nothing that is
fetched is run.
EOF_HELP
    exit 0
    ;;
"") ;;
*) fail "unknown argument $1; see tools/get-cuda-headers.sh --help" ;;
esac

wanted=$(sha256sum <$wheels)
if [ -e $stamp ] && [ "$(cat $stamp)" = "$wanted" ]; then
    echo "$files is there already"
    exit 0
fi

pip_packages="Debian, Ubuntu: apt install python3-pip; Fedora: dnf install python3-pip"
command -v python3 >/dev/null || fail "python3 is missing; install it with pip ($pip_packages)"
python3 -m pip --version >/dev/null 2>&1 ||
    fail "$(command -v python3) has no pip; install it ($pip_packages; others: python3 -m ensurepip --user)"

# The folder gets its name when all is in it, so that an interrupted run leaves no half of one.
temporary=$(mktemp -d tools/cuda_headers/fetching.XXXXXX)
trap 'rm -rf "$temporary"' EXIT
mkdir "$temporary/files"
echo "fetching from $(grep -c '^\[' $wheels) wheels on PyPI ..."
python3 tools/cuda_headers/fetch.py $wheels "$temporary/files" ||
    fail "they were not fetched (the words above say why), so nothing has changed; is there a network, or an index in
pip's configuration?"
echo "$wanted" >"$temporary/files/$(basename $stamp)"
[ ! -e $files ] || mv -T $files "$temporary/old"
mv -T "$temporary/files" $files
echo "$files: $(du -sh $files | cut -f 1)"
echo "Next: cargo test --release --lib device::cuda::headers"

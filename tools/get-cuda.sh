#!/usr/bin/env bash
# Fetches NVIDIA's CUDA compiler from PyPI into tools/cuda/toolkit, for machines without a toolkit. See --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

requirements=tools/cuda/requirements.txt
toolkit=tools/cuda/toolkit
stamp=$toolkit/requirements.sha256

fail() {
    echo "get-cuda.sh: $1" >&2
    exit 1
}

case "${1-}" in
-h | --help)
    cat <<EOF
Usage: tools/get-cuda.sh

Fetches NVIDIA's CUDA compiler (nvcc 13.0: about 100 MB to download, 270 MB on disk) from PyPI into $toolkit,
where the build finds it. Nothing outside that folder changes; to undo it, delete the folder. A second run finds it
there and fetches nothing. Versions and hashes are those of $requirements.

Needs Linux on x86-64 or AArch64, and python3 with pip, which takes its index and proxy from its own configuration.
To compile kernels, the build also needs g++. A toolkit that is already installed needs none of this: the build looks
at NVCC (the path of nvcc), then CUDA_HOME, then PATH.
EOF
    exit 0
    ;;
"") ;;
*) fail "unknown argument $1; see tools/get-cuda.sh --help" ;;
esac

elsewhere="install CUDA 13.0 from developer.nvidia.com/cuda-downloads and set CUDA_HOME to it"
[ "$(uname -s)" = Linux ] || fail "the compiler on PyPI is for Linux, this is $(uname -s); $elsewhere"
case "$(uname -m)" in
x86_64 | aarch64) ;;
*) fail "the compiler on PyPI is for x86_64 and aarch64, this is $(uname -m); $elsewhere" ;;
esac

wanted=$(sha256sum <$requirements)
if [ -x $toolkit/bin/nvcc ] && [ -e $stamp ] && [ "$(cat $stamp)" = "$wanted" ]; then
    echo "$toolkit is there already: $($toolkit/bin/nvcc --version | grep release)"
    exit 0
fi

pip_packages="Debian, Ubuntu: apt install python3-pip; Fedora: dnf install python3-pip"
command -v python3 >/dev/null || fail "python3 is missing; install it with pip ($pip_packages)"
python3 -m pip --version >/dev/null 2>&1 ||
    fail "$(command -v python3) has no pip; install it ($pip_packages; others: python3 -m ensurepip --user)"

# What is fetched becomes the toolkit by renaming, so that an interrupted run leaves no half of one.
temporary=$(mktemp -d tools/cuda/fetching.XXXXXX)
trap 'rm -rf "$temporary"' EXIT

# --target installs into a folder of our own, which pip therefore allows in a Python that the system manages (PEP 668).
# The variables overrule settings of a person's pip that --target does not go with, or only quieten it.
echo "fetching $(grep -c == $requirements) packages of nvcc from PyPI ..."
PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 \
    python3 -m pip install --quiet --no-input --target "$temporary/wheels" \
    --require-hashes --no-deps --only-binary :all: --requirement $requirements ||
    fail "pip could not fetch the compiler (its own words are above), so nothing has changed; is there a network,
or an index in pip's configuration?"

fetched=$temporary/wheels/nvidia/cu13
mkdir "$fetched/licences"
for licence in "$temporary"/wheels/*.dist-info/licenses/License.txt; do
    package=$(basename "${licence%%.dist-info/*}")
    cp "$licence" "$fetched/licences/$package.txt"
done
version=$("$fetched/bin/nvcc" --version | grep release) ||
    fail "the fetched nvcc does not run on this machine; $elsewhere"
echo "$wanted" >"$fetched/$(basename $stamp)"

[ ! -e $toolkit ] || mv -T $toolkit "$temporary/old"
mv -T "$fetched" $toolkit

grep -o '^[a-z-]*==[0-9.]*' $requirements
echo "$toolkit: $(du -sh $toolkit | cut -f 1), $version"
echo "Next: cargo build --release, then target/release/bcreid doctor lists the kernels."

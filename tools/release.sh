#!/usr/bin/env bash
# Builds the programs for release: an archive for each target, and their checksums. See --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

known="x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu x86_64-unknown-linux-musl aarch64-unknown-linux-musl"
out=dist
limit=20000000

fail() {
    echo "release.sh: $1" >&2
    exit 1
}

targets=
while [ $# -gt 0 ]; do
    case "$1" in
    -h | --help)
        cat <<EOT
Usage: tools/release.sh [--out DIR] [TARGET...]

Writes DIR/bcreid-VERSION-TARGET.tar.gz for each target, with bcreid, bcreid-convert, licences and documentation, and
DIR/SHA256SUMS, of all archives of this version there. DIR is $out by default; archives of the same name are replaced.
Without TARGET all are built:

  x86_64-unknown-linux-gnu, aarch64-unknown-linux-gnu
      Linked with the system's C library, of this machine's version or newer. CUDA's libraries are loaded while the
      program runs, which a static program cannot do, so this is the program for GPUs. The kernels are in it if nvcc is
      there (tools/get-cuda.sh); without, it computes on the CPU.
  x86_64-unknown-linux-musl, aarch64-unknown-linux-musl
      Static: it runs on any Linux, and computes on the CPU.

A program has no symbols, and at most $limit bytes. A target needs Rust's standard library for it (rustup target add
TARGET), and the GNU target of the other processor a linker (Debian, Ubuntu: apt install gcc-aarch64-linux-gnu or
gcc-x86-64-linux-gnu).
EOT
        exit 0
        ;;
    --out)
        [ $# -gt 1 ] || fail "--out needs a folder"
        out=$2
        shift
        ;;
    -*) fail "unknown option $1; see tools/release.sh --help" ;;
    *)
        case " $known " in
        *" $1 "*) targets="$targets $1" ;;
        *) fail "unknown target $1; choose of $known" ;;
        esac
        ;;
    esac
    shift
done
targets=${targets:-$known}

# All requirements before the first build, which takes minutes.
sysroot=$(rustc --print sysroot) || fail "rustc does not run; install Rust (rustup.rs)"
own=$(uname -m)
for target in $targets; do
    [ -d "$sysroot/lib/rustlib/$target/lib" ] ||
        fail "Rust's standard library for $target is not installed; run: rustup target add $target
(or name the targets to build: tools/release.sh TARGET...)"
    upper=$(echo "$target" | tr 'a-z-' 'A-Z_')
    linker=CARGO_TARGET_${upper}_LINKER
    case $target in
    "$own"-*) continue ;;
    *-gnu) default=${target%%-*}-linux-gnu-gcc ;;
    # It comes with Rust, as the C library does.
    *-musl) default=rust-lld ;;
    esac
    export "$linker=${!linker:-$default}"
    [ "${!linker}" = rust-lld ] || command -v "${!linker}" >/dev/null ||
        fail "the linker ${!linker} of $target is missing (Debian, Ubuntu: apt install gcc-$(echo "${target%%-*}" |
            tr _ -)-linux-gnu); install it, or name another one in $linker"
done

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
[ -n "$version" ] || fail "Cargo.toml states no version"
mkdir -p "$out"
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

# The builder's folders do not belong into the messages of panics.
remap="--remap-path-prefix=$PWD=bcreid --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"

for target in $targets; do
    echo "== $target"
    flags="${RUSTFLAGS-} $remap"
    archs=${BCREID_CUDA_ARCHS-}
    case $target in
    *-musl)
        flags="$flags -C target-feature=+crt-static"
        archs=none
        ;;
    esac
    (
        # Empty, it stands for the chips of the build's own list.
        export BCREID_CUDA_ARCHS=$archs
        # Optimised as a whole: slower to build, and smaller.
        export CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 CARGO_PROFILE_RELEASE_STRIP=symbols
        RUSTFLAGS=$flags cargo build --release --locked --target "$target" \
            -p bcreid -p bcreid-convert
    )
    name=bcreid-$version-$target
    folder=$temporary/$name
    mkdir "$folder"
    for program in bcreid bcreid-convert; do
        file=${CARGO_TARGET_DIR:-target}/$target/release/$program
        size=$(stat -c %s "$file")
        [ "$size" -le $limit ] || fail "$file has $size bytes, and at most $limit are released"
        interpreter=$(LC_ALL=C readelf -lW "$file" | grep -c INTERP || true)
        case $target in
        *-musl) [ "$interpreter" = 0 ] || fail "$file is not static" ;;
        *) [ "$interpreter" = 1 ] || fail "$file is static, so it could not load CUDA's libraries" ;;
        esac
        echo "$program: $size bytes"
        install -m 755 "$file" "$folder/"
    done
    case $target in
    *-gnu)
        glibc=$(LC_ALL=C readelf -VW "$folder/bcreid" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1)
        echo "needs ${glibc//_/ } or newer"
        ;;
    esac
    case $target in
    "$own"-*)
        said=$("$folder/bcreid" --version) || fail "$target: the program does not run on this machine"
        [ "$said" = "bcreid $version" ] || fail "$target: the program is $said, and not bcreid $version"
        "$folder/bcreid" doctor | grep -i kernels || true
        ;;
    *) echo "not run: this machine is $own" ;;
    esac
    cp -r LICENSE-APACHE LICENSE-MIT README.md CHANGELOG.md docs configs "$folder/"
    # The same files give the same archive.
    tar --create --directory "$temporary" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner "$name" |
        gzip -9n >"$temporary/$name.tar.gz"
    mv "$temporary/$name.tar.gz" "$out/"
done

# Targets may be built by several calls: the list is of all archives of this version.
archives=()
for target in $known; do
    [ ! -e "$out/bcreid-$version-$target.tar.gz" ] || archives+=("bcreid-$version-$target.tar.gz")
done
(cd "$out" && sha256sum "${archives[@]}" >SHA256SUMS)
cat "$out/SHA256SUMS"

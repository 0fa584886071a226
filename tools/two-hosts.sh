#!/usr/bin/env bash
# Trains with ranks on two made-up hosts, and compares with ranks on one. See --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "${1-}" in
-h | --help)
    cat <<TEXT
Usage: tools/two-hosts.sh [PROGRAM]

Makes two network namespaces with host names of their own, joined by a virtual cable, and starts two ranks of PROGRAM
(default: target/release/bcreid), one on each, by the mpirun of tools/peers/mpich. Checks that the weights and losses have
the bits of two ranks on one host, and that at least as many bytes crossed the cable as the sums of the gradients need. The
namespaces share the files of this machine, which stand for a shared file system. Everything is removed at the end.

Needs root, ip (iproute2), unshare and nsenter (util-linux), and tools/get-peers.sh before.
TEXT
    exit 0
    ;;
-*)
    echo "two-hosts.sh: unknown option $1; see tools/two-hosts.sh --help" >&2
    exit 1
    ;;
esac

program=$(realpath "${1-target/release/bcreid}")
mpirun=$PWD/tools/peers/mpich/bin/mpirun
fail() {
    echo "two-hosts.sh: $1" >&2
    exit 1
}
[ "$(id -u)" = 0 ] || fail "network namespaces need root"
for tool in ip unshare; do command -v $tool >/dev/null || fail "$tool is missing; install iproute2 and util-linux"; done
[ -x "$program" ] || fail "$program is no program; build it with: cargo build --release"
[ -x "$mpirun" ] || fail "$mpirun is missing; run tools/get-peers.sh"

work=$(mktemp -d)
hosts=(bcreid-one-$$ bcreid-two-$$)
cleanup() {
    for host in "${hosts[@]}"; do ip netns del "$host" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT

# Two hosts at the ends of a cable.
ip netns add ${hosts[0]}
ip netns add ${hosts[1]}
ip link add cable netns ${hosts[0]} type veth peer name cable netns ${hosts[1]}
for i in 0 1; do
    # An address of IPv6 is not usable in its first second, and the transport would take it.
    ip netns exec ${hosts[$i]} sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6' 2>/dev/null || true
    ip -n ${hosts[$i]} address add 10.217.0.$((i + 1))/24 dev cable
    ip -n ${hosts[$i]} link set cable up
    ip -n ${hosts[$i]} link set lo up
done
for host in "${hosts[@]}"; do
    for _ in $(seq 50); do
        if ip -n $host -brief link show cable | grep -q UP; then break; fi
        sleep 0.1
    done
done

# The launcher's way to another host: enter its namespace instead of ssh. Arguments: options, the host, the command.
cat >"$work/enter" <<TEXT
#!/usr/bin/env bash
while [[ \$1 == -* ]]; do shift; done
case \$1 in
10.217.0.1) host=${hosts[0]} ;;
10.217.0.2) host=${hosts[1]} ;;
esac
shift
exec ip netns exec \$host unshare --uts bash -c "hostname \$host; \$*"
TEXT
chmod +x "$work/enter"

"$program" --quiet synth --out "$work/set" --train-ids 10 --test-ids 4 --cameras 2
train() {
    local out=$1
    shift
    "$@" "$program" --threads 1 --quiet train --device cpu --data "$work/set" --out "$out" --set model.arch=slim \
        --set model.width=16 --set input.height=64 --set input.width=32 --set solver.batch=8 --set solver.iterations=20 \
        --set solver.lr=0.0001 --set "solver.lr_milestones=[]" --set run.checkpoint_every=1000
}
train "$work/one-host" "$mpirun" -n 2
bytes() { cat_in ${hosts[0]} /sys/class/net/cable/statistics/tx_bytes; }
cat_in() { ip netns exec "$1" cat "$2"; }
before=$(bytes)
# TCP alone: ranks that share a machine would meet in its memory.
train "$work/two-hosts" env UCX_TLS=tcp,self UCX_NET_DEVICES=cable MPIR_CVAR_NOLOCAL=1 \
    ip netns exec ${hosts[0]} unshare --uts bash -c 'hostname bcreid-one; exec "$0" "$@"' \
    "$mpirun" -launcher ssh -launcher-exec "$work/enter" -iface cable -hosts 10.217.0.1,10.217.0.2 -ppn 1 -n 2
sent=$(($(bytes) - before))

for file in weights.safetensors metrics.jsonl; do
    cmp "$work/one-host/$file" "$work/two-hosts/$file" || fail "$file differs between one host and two"
done
# 2 (N - 1) / N of the gradients in each of 20 steps. The weights' file has them and little more, f32.
weights=$(stat -c %s "$work/two-hosts/weights.safetensors")
least=$((20 * weights * 8 / 10))
[ "$sent" -ge "$least" ] || fail "$sent bytes crossed the cable, fewer than the $least of the gradients"
echo "two hosts: the bits of one; $sent bytes crossed the cable, the gradients are $((20 * weights))"

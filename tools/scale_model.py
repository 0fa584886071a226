"""A model of data-parallel training on many GPUs: the share of the speed of one GPU that each of N GPUs keeps.

python3 tools/scale_model.py [--step-ms 2.0] [--gpus 2 8 16 64 256 1024] [...]; --help lists the constants. It is a model:
this program has not trained on several GPUs. Replace the constants by measurements of a real machine (`bcreid bench` for
the step, `all_reduce_perf` and `all_gather_perf` of nccl-tests for bandwidth and latency).

The time of a step on N GPUs, n of them on each node:

- computing: the step of one GPU on the same number of images for each GPU; collectives that run beside it take a share of
  the multiprocessors;
- gradients: a sum over all GPUs moves 2 (N - 1) / N of their bytes through each GPU, first inside the nodes, at the
  bandwidth of NVLink, then between them, at the bandwidth of the network cards of a node; each bucket has a latency that
  grows with the logarithm of the number of nodes. Buckets but the last are hidden behind the backward pass as long as it
  lasts;
- synchronised batch norm: two small gathers for each layer, which nothing hides.
"""

import argparse
import math
import os
import sys


def options():
    parser = argparse.ArgumentParser(
        description="The share of one GPU's speed that each of N GPUs keeps, by a model.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    number = {"type": float, "metavar": "X"}
    parser.add_argument("--gpus", type=int, nargs="+", default=[2, 8, 16, 64, 256, 1024], metavar="N", help="numbers of GPUs")
    parser.add_argument("--gpus-of-node", type=int, default=8, metavar="N", help="GPUs of a node")
    parser.add_argument("--step-ms", default=2.0, help="step of one GPU, ms", **number)
    parser.add_argument("--backward-share", default=0.6, help="share of the backward pass in the step", **number)
    parser.add_argument("--parameters", default=25.6e6, help="parameters of the network", **number)
    parser.add_argument("--bucket-mb", default=25.0, help="bytes of a bucket of gradients, MB", **number)
    parser.add_argument("--node-gb-s", default=370.0, help="bandwidth of a sum inside a node, GB/s for each GPU", **number)
    parser.add_argument("--network-gb-s", default=330.0, help="bandwidth between nodes, GB/s for each node", **number)
    parser.add_argument("--launch-us", default=5.0, help="latency of a collective of one GPU, microseconds", **number)
    parser.add_argument("--gpu-us", default=1.5, help="further latency of each other GPU of a node, microseconds", **number)
    parser.add_argument("--hop-us", default=11.0, help="latency of each doubling of the nodes, microseconds", **number)
    parser.add_argument("--collective-share", default=0.03, help="multiprocessors of collectives beside the step", **number)
    parser.add_argument("--batchnorm-layers", type=int, default=53, metavar="N", help="layers of batch norm")
    chosen = parser.parse_args()
    for name, value in vars(chosen).items():
        for one in value if isinstance(value, list) else [value]:
            if not (math.isfinite(one) and one > 0):
                parser.error(f"--{name.replace('_', '-')} {one}: give a number above 0")
    if chosen.backward_share > 1 or chosen.collective_share >= 1:
        parser.error("--backward-share is at most 1, --collective-share below 1")
    return chosen


def latency(o, gpus):
    """Seconds of a collective without bytes."""
    nodes, inside = math.ceil(gpus / o.gpus_of_node), min(gpus, o.gpus_of_node)
    return (o.launch_us + o.gpu_us * (inside - 1) + o.hop_us * math.log2(nodes)) * 1e-6


def transfer(o, gpus, bytes_):
    """Seconds in which the bytes of a sum over all GPUs move."""
    inside = min(gpus, o.gpus_of_node)
    nodes = math.ceil(gpus / o.gpus_of_node)
    seconds = 2 * (inside - 1) / inside * bytes_ / (o.node_gb_s * 1e9)
    # The GPUs of a node have each summed a part of the gradients, so that a node sends them once.
    return seconds + 2 * (nodes - 1) / nodes * bytes_ / (o.network_gb_s * 1e9)


def efficiency(o, gpus, bytes_of_value, overlapped, synchronised):
    """The share of the speed of one GPU that each of `gpus` keeps."""
    if gpus == 1:
        return 1.0
    step = o.step_ms * 1e-3
    bytes_ = o.parameters * bytes_of_value
    buckets = max(1, math.ceil(bytes_ / (o.bucket_mb * 1e6)))
    gradients = transfer(o, gpus, bytes_) + buckets * latency(o, gpus)
    statistics = 2 * o.batchnorm_layers * latency(o, gpus) if synchronised else 0.0
    if not overlapped:
        return step / (step + gradients + statistics)
    computing = step / (1 - o.collective_share)
    # The last bucket is complete when the backward pass ends.
    last = gradients / buckets
    hidden = o.backward_share * computing + (statistics / 2 if synchronised else 0.0)
    seen = last + max(0.0, gradients - last - hidden)
    return step / (computing + seen + statistics)


ROWS = (
    ("bf16 gradients, overlapped", 2, True, False),
    ("f32 gradients, overlapped", 4, True, False),
    ("f32 gradients, not overlapped", 4, False, False),
    ("bf16 gradients, overlapped, synchronised batch norm", 2, True, True),
)


def main():
    o = options()
    print("| GPUs | " + " | ".join(f"{gpus:,}" for gpus in o.gpus) + " |")
    print("|---" * (len(o.gpus) + 1) + "|")
    for name, bytes_of_value, overlapped, synchronised in ROWS:
        cells = (f"{100 * efficiency(o, gpus, bytes_of_value, overlapped, synchronised):.0f} %" for gpus in o.gpus)
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:
        # `| head` has all it wants; the interpreter must not flush again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

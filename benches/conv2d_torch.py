"""PyTorch's convolutions (oneDNN on the CPU, float32, channels last) beside ours, layer by layer, in turns.

python3 conv2d_torch.py BENCH_BINARY [THREADS [ROUNDS]]: a ratio is ours / PyTorch's, each the best of all rounds. The
program is `benches/conv2d.rs`; each round asks it first, then PyTorch, so that both see the same machine.
"""
import os
import subprocess
import sys
import time

import torch
import torch.nn.functional as F

BATCH = 16
TIMES = 5
SHAPES = [  # H, W, C, K, R, stride, how often ResNet-50 has it
    (256, 128, 3, 64, 7, 2, 1), (64, 32, 64, 64, 1, 1, 1), (64, 32, 64, 64, 3, 1, 3), (64, 32, 64, 256, 1, 1, 4),
    (64, 32, 256, 64, 1, 1, 2), (64, 32, 256, 128, 1, 1, 1), (64, 32, 128, 128, 3, 2, 1), (32, 16, 128, 512, 1, 1, 4),
    (64, 32, 256, 512, 1, 2, 1), (32, 16, 512, 128, 1, 1, 3), (32, 16, 128, 128, 3, 1, 3), (32, 16, 512, 256, 1, 1, 1),
    (32, 16, 256, 256, 3, 2, 1), (16, 8, 256, 1024, 1, 1, 6), (32, 16, 512, 1024, 1, 2, 1), (16, 8, 1024, 256, 1, 1, 5),
    (16, 8, 256, 256, 3, 1, 5), (16, 8, 1024, 512, 1, 1, 1), (16, 8, 512, 512, 3, 2, 1), (8, 4, 512, 2048, 1, 1, 3),
    (16, 8, 1024, 2048, 1, 2, 1), (8, 4, 2048, 512, 1, 1, 2), (8, 4, 512, 512, 3, 1, 2),
]


def best(f):
    times = []
    for _ in range(TIMES):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def torch_times(h, w, c, k, r, stride):
    last = torch.channels_last
    x = torch.randn(BATCH, c, h, w).contiguous(memory_format=last)
    filters = torch.randn(k, c, r, r).contiguous(memory_format=last)
    pad = r // 2
    with torch.no_grad():
        dy = F.conv2d(x, filters, None, stride, pad)
        fprop = best(lambda: F.conv2d(x, filters, None, stride, pad))

    def backward(mask):
        return best(lambda: torch.ops.aten.convolution_backward(
            dy, x, filters, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1, mask))

    return [fprop, backward([True, False, False]), backward([False, True, False])]


def main():
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    torch.set_num_threads(threads)
    ours = subprocess.Popen(
        [sys.argv[1], "--ask"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "RAYON_NUM_THREADS": str(threads)})
    print(f"{threads} threads; ours / PyTorch {torch.__version__}, channels last")
    print(f"{'H W C K R stride, times':<34} {'fprop':>8} {'dgrad':>8} {'wgrad':>8}")
    totals = [[0.0] * 3, [0.0] * 3]
    for *shape, count in SHAPES:
        results = [[float("inf")] * 3, [float("inf")] * 3]
        for _ in range(rounds):
            ours.stdin.write(" ".join(map(str, shape)) + "\n")
            ours.stdin.flush()
            answers = [list(map(float, ours.stdout.readline().split())), torch_times(*shape)]
            results = [[min(a, b) for a, b in zip(x, y)] for x, y in zip(results, answers)]
        totals = [[t + count * v for t, v in zip(x, y)] for x, y in zip(totals, results)]
        cells = " ".join(f"{a / b:>8.2f}" for a, b in zip(*results))
        print(f"{' '.join(map(str, shape)) + f', {count}':<34} {cells}", flush=True)
    for name, parts in (("training", 3), ("inference", 1)):
        sums = [sum(t[:parts]) for t in totals]
        print(f"all layers, {name}: {sums[0] / sums[1]:.2f}")
    print("by pass: " + ", ".join(f"{n} {a / b:.2f}" for n, a, b in zip(("fprop", "dgrad", "wgrad"), *totals)))


main()

"""A training step and inference of ResNet-50 (16 x 256 x 128, float32) in PyTorch, in turns with ours.

python3 resnet50_torch.py BENCH_BINARY [THREADS [ROUNDS]]. Each round asks our program (benches/resnet50.rs)
for one pass, then PyTorch for one; the ratio is taken round by round and its median reported. PyTorch runs in
a process of its own, so that the two peaks of memory can be told apart.
"""

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

BATCH, HEIGHT, WIDTH, CLASSES = 16, 256, 128, 751


def answer(threads):
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "golden"))
    import torch
    import torch.nn.functional as F

    import resnet

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = resnet.ResNet("resnet50")
    fc = torch.nn.Linear(net.features, CLASSES)
    centers = torch.zeros(CLASSES, net.features)
    sgd = torch.optim.SGD([*net.parameters(), *fc.parameters()], 1e-4, 0.9, weight_decay=5e-4)
    pixels = torch.rand(BATCH, 3, HEIGHT, WIDTH) * 2 - 1
    labels = torch.arange(BATCH) * 40

    def train():
        net.train()
        pool5 = net(pixels)
        x = F.normalize(pool5)
        loss = F.cross_entropy(fc(F.dropout(pool5, 0.9)), labels)
        (loss + resnet.batch_contrastive(x, labels, centers, 1.0)).backward()
        with torch.no_grad():
            resnet.center_step(centers, x.detach(), labels, 0.5)
        sgd.step()
        sgd.zero_grad()
        return loss.item()

    def infer():
        net.eval()
        with torch.no_grad():
            return net(pixels)[0, 0].item()

    for line in sys.stdin:
        if line.strip() == "peak":
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)
            continue
        start = time.perf_counter()
        {"train": train, "infer": infer}[line.strip()]()
        print(time.perf_counter() - start, flush=True)


def start(command, threads):
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def ask(program, question):
    program.stdin.write(question + "\n")
    program.stdin.flush()
    return float(program.stdout.readline())


def main():
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    ours = start([sys.argv[1], "--ask"], threads)
    torch = start([sys.executable, __file__, "--answer", str(threads)], threads)
    print(f"ResNet-50, {BATCH} x {HEIGHT} x {WIDTH}, f32, {threads} threads; ours beside PyTorch, {rounds} rounds")
    for question in ("train", "infer"):
        pairs = [(ask(ours, question), ask(torch, question)) for _ in range(rounds + 1)][1:]
        ratio = statistics.median(a / b for a, b in pairs)
        a, b = (statistics.median(times) for times in zip(*pairs))
        print(f"{question}: ratio {ratio:.3f} (ours {a:.3f} s, PyTorch {b:.3f} s)", flush=True)
        if question == "train":
            a, b = ask(ours, "peak"), ask(torch, "peak")
            print(f"peak memory: ratio {a / b:.3f} (ours {a:.0f} MiB, PyTorch {b:.0f} MiB)", flush=True)


if "--answer" in sys.argv:
    answer(int(sys.argv[-1]))
else:
    main()

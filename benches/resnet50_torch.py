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

BATCH, CLASSES = 16, 751


def answer(threads):
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "golden"))
    import torch
    import torch.nn.functional as F

    import resnet

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    class Bench:
        def __init__(self, width, height, columns):
            self.net = resnet.ResNet("resnet50", width)
            self.fc = torch.nn.Linear(self.net.features, CLASSES)
            self.centers = torch.zeros(CLASSES, self.net.features)
            parameters = [*self.net.parameters(), *self.fc.parameters()]
            self.sgd = torch.optim.SGD(parameters, 1e-4, 0.9, weight_decay=5e-4)
            self.pixels = torch.rand(BATCH, 3, height, columns) * 2 - 1
            self.labels = torch.arange(BATCH) * 40

        def train(self):
            self.net.train()
            pool5 = self.net(self.pixels)
            x = F.normalize(pool5)
            loss = F.cross_entropy(self.fc(F.dropout(pool5, 0.9)), self.labels)
            (loss + resnet.batch_contrastive(x, self.labels, self.centers, 0.3)).backward()
            with torch.no_grad():
                resnet.center_step(self.centers, x.detach(), self.labels, 0.5)
            self.sgd.step()
            self.sgd.zero_grad()
            return loss.item()

        def infer(self):
            self.net.eval()
            with torch.no_grad():
                return self.net(self.pixels)[0, 0].item()

    full, small = Bench(64, 256, 128), Bench(16, 64, 64)
    passes = {"train": full.train, "infer": full.infer, "small": small.train}
    for line in sys.stdin:
        if line.strip() == "peak":
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)
            continue
        start = time.perf_counter()
        passes[line.strip()]()
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
    print(f"ResNet-50, batch {BATCH}, f32, {threads} threads; ours beside PyTorch")
    for question, name, times in (
        ("train", "training step, 256 x 128", rounds),
        ("infer", "inference, 256 x 128", rounds),
        ("small", "training step, width 16, 64 x 64", 10 * rounds),
    ):
        pairs = [(ask(ours, question), ask(torch, question)) for _ in range(times + 1)][1:]
        ratio = statistics.median(a / b for a, b in pairs)
        a, b = (statistics.median(times) for times in zip(*pairs))
        print(f"{name}: median ratio {ratio:.3f} of {times} rounds (ours {a:.3f} s, PyTorch {b:.3f} s)", flush=True)
        if question == "train":
            a, b = ask(ours, "peak"), ask(torch, "peak")
            print(f"peak memory: ratio {a / b:.3f} (ours {a:.0f} MiB, PyTorch {b:.0f} MiB)", flush=True)


if "--answer" in sys.argv:
    answer(int(sys.argv[-1]))
else:
    main()

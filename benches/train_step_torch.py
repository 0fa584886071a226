"""A training step of the paper's network in PyTorch, in the ways one would run it on a GPU, beside `bcreid bench`.

python3 train_step_torch.py [--device cuda] [--steps N] [--small]. Network, losses and solver are those of
resnet50_peers.py; what depends on the labels is written in fixed shapes, so that no step waits for the host and all of
it can be captured. The last line of the output is JSON with the milliseconds of each variant; a variant that fails is
named there. Such a line comes after each variant, so that a run that is ended early has told those before.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "golden"))
import resnet

TAU, LAMBDA, CENTER_RATE = 0.3, 1.0, 0.5
# Name: (TF32, bfloat16 and channels last, compiled).
WAYS = {
    "eager f32": (False, False, False),
    "eager tf32": (True, False, False),
    "eager bf16": (True, True, False),
    "compiled bf16": (True, True, True),
}


def batch_contrastive(x, labels, centers):
    """L_b + L_c as in resnet.py, every shape fixed."""
    d = ((x[:, None] - x.detach()[None]) ** 2).sum(-1)
    same = labels[:, None] == labels[None]
    positive = 0.5 * (d * same).sum()
    hardest = d.masked_fill(same, float("inf")).amin(1)
    hinge = 0.5 * (TAU - hardest).clamp(min=0).sum()
    center = 0.5 * ((x - centers[labels]) ** 2).sum()
    return positive + hinge + center


@torch.no_grad()
def center_step(centers, x, labels):
    """Equations (5) and (6) as in resnet.py, all classes at once."""
    same = (labels[:, None] == labels[None]).to(x.dtype)
    count = same.sum(1, keepdim=True)
    delta = (count * centers[labels] - same @ x) / (1 + count)
    # Images of one class have one delta, which counts once.
    centers.index_add_(0, labels, -CENTER_RATE * delta / count)


class Trainer:
    def __init__(self, options, tf32, bf16, compiled):
        torch.manual_seed(0)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = True
        self.device, self.bf16 = options.device, bf16
        batch, classes, height, columns, width = (8, 10, 64, 32, 16) if options.small else (16, 751, 256, 128, 64)
        self.net = resnet.ResNet("resnet50", width).to(self.device)
        self.fc = torch.nn.Linear(self.net.features, classes).to(self.device)
        self.centers = torch.zeros(classes, self.net.features, device=self.device)
        self.pixels = (torch.rand(batch, 3, height, columns) * 2 - 1).to(self.device)
        self.labels = (torch.arange(batch) * 40 % classes).to(self.device)
        if bf16:
            self.net = self.net.to(memory_format=torch.channels_last)
            self.pixels = self.pixels.contiguous(memory_format=torch.channels_last)
        parameters = [*self.net.parameters(), *self.fc.parameters()]
        on_gpu = self.device == "cuda"
        self.sgd = torch.optim.SGD(parameters, 1e-5, 0.9, weight_decay=5e-4, fused=on_gpu)
        # CUDA graphs are what "reduce-overhead" means.
        self.losses = torch.compile(self.forward, mode="reduce-overhead") if compiled else self.forward
        self.batch = batch

    def forward(self, pixels, labels, centers):
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            pool5 = self.net(pixels)
            logits = self.fc(F.dropout(pool5, 0.9))
        x = F.normalize(pool5.float())
        loss = F.cross_entropy(logits.float(), labels)
        return loss, loss + LAMBDA * batch_contrastive(x, labels, centers), x.detach()

    def step(self):
        loss, total, x = self.losses(self.pixels, self.labels, self.centers)
        total.backward()
        center_step(self.centers, x, self.labels)
        self.sgd.step()
        self.sgd.zero_grad()
        return loss.detach().clone()

    def time(self, steps):
        """Milliseconds of the median and of the fastest of so many steps."""
        on_gpu = self.device == "cuda"
        for _ in range(10 if on_gpu else 1):
            loss = self.step()
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        marks = [self.mark()]
        for _ in range(steps):
            loss = self.step()
            marks.append(self.mark())
        if on_gpu:
            torch.cuda.synchronize()
        assert torch.isfinite(loss), "the loss is not finite"
        pairs = zip(marks, marks[1:])
        ms = [a.elapsed_time(b) if on_gpu else 1e3 * (b - a) for a, b in pairs]
        median = statistics.median(ms)
        return {
            "median_ms": median,
            "fastest_ms": min(ms),
            "images_per_second": 1e3 * self.batch / median,
            "peak_bytes": torch.cuda.max_memory_allocated() if on_gpu else None,
        }

    def mark(self):
        if self.device != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=["cuda", "cpu"], help="default: cuda where there is one")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--small", action="store_true", help="a rehearsal, on the CPU if nothing else is said")
    options = parser.parse_args()
    has_gpu = not options.small and torch.cuda.is_available()
    options.device = options.device or ("cuda" if has_gpu else "cpu")
    steps = options.steps or (100 if options.device == "cuda" and not options.small else 3)
    report = {
        "torch": f"PyTorch {torch.__version__}",
        "device": torch.cuda.get_device_name() if options.device == "cuda" else "cpu",
        "steps": {},
        "failed": {},
    }
    for name, (tf32, bf16, compiled) in WAYS.items():
        try:
            report["steps"][name] = Trainer(options, tf32, bf16, compiled).time(steps)
        except Exception as error:  # The other ways count all the same.
            report["failed"][name] = f"{type(error).__name__}: {error}".splitlines()[0]
        torch.compiler.reset()
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()

"""ResNet-50, 16 x 256 x 128, in turns with each peer's settings: resnet50_side_by_side.py BINARY [THREADS [ROUNDS]].

Each round asks our program (benches/resnet50.rs) for one pass and then each peer for one. A ratio is ours over the
peer's, round by round, and its median is reported. Every peer is a process of its own, and those that do not compute
wait. The last line of a table is the ratio to the best peer: in f32 to the best one in f32, in bf16 to the best one of
all.
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path

# The question, the title, our precision, the factor on the rounds, and the peers.
TABLES = (
    ("train", "training step, 256 x 128", "f32", 1, ("torch", "torch-last")),
    ("train", "training step, 256 x 128", "bf16", 1, ("torch-last", "torch-bf16")),
    ("infer", "inference, 256 x 128", "f32", 2, ("torch", "torch-last", "onnxruntime", "openvino")),
    (
        "infer",
        "inference, 256 x 128",
        "bf16",
        2,
        ("torch-bf16", "onnxruntime", "openvino", "openvino-bf16"),
    ),
    ("small", "training step, width 16, 64 x 64", "f32", 10, ("torch-small", "torch-small-last")),
)


class Program:
    """A program that answers questions, with its name."""

    def __init__(self, command, threads, name=None):
        count = str(threads)
        environment = {**os.environ, "RAYON_NUM_THREADS": count, "OMP_NUM_THREADS": count}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.name = name or self.process.stdout.readline().strip() or "missing: it ended without a line"

    def ask(self, question):
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def table(binary, threads, rounds, question, title, precision, peers):
    print(f"\n{title}, ours in {precision}, {rounds} rounds")
    # Fresh processes, so that the peak of memory is that of these passes.
    ours = Program([binary, "--ask", "--precision", precision], threads, "ours")
    script = Path(__file__).with_name("resnet50_peers.py")
    programs = [ours]
    for peer in peers:
        program = Program([sys.executable, str(script), peer, str(threads)], threads)
        if program.name.startswith("missing:"):
            print(f"  {peer}: not run, {program.name}")
        else:
            programs.append(program)
    times = [[program.ask(question) for program in programs] for _ in range(rounds + 1)][1:]
    peaks = [program.ask("peak") for program in programs]
    best = None
    print(f"  {'':<44}{'median s':>9}{'ours / it':>11}{'lowest':>8}{'highest':>8}{'MiB':>7}{'ours / it':>11}")
    for i, program in enumerate(programs):
        ratios = [row[0] / row[i] for row in times]
        ratio = statistics.median(ratios)
        line = f"  {program.name:<44}{statistics.median(row[i] for row in times):>9.3f}"
        if i > 0:
            line += f"{ratio:>11.3f}{min(ratios):>8.3f}{max(ratios):>8.3f}{peaks[i]:>7.0f}{peaks[0] / peaks[i]:>11.3f}"
            if best is None or ratio > best[0]:
                best = (ratio, program.name)
        else:
            line += f"{'':>27}{peaks[0]:>7.0f}"
        print(line, flush=True)
        program.close()
    if best:
        print(f"  ours over the best, {best[1]}: {best[0]:.3f}", flush=True)


def main():
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    print(f"ResNet-50, batch 16, {threads} threads")
    for question, title, precision, factor, peers in TABLES:
        table(sys.argv[1], threads, factor * rounds, question, title, precision, peers)


main()

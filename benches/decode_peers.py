"""Decoding and resizing of JPEG files by bcreid and by other libraries, on one thread, in turns in one run,
by CPU time.

python3 benches/decode_peers.py BENCH [ROUNDS], where BENCH is the program of `cargo bench --bench decode --no-run`. Peers
are those that this Python has: Pillow, torchvision (its build of libjpeg-turbo), PyTurboJPEG (the system's). A missing
one is named. Sets: 64 x 128 and 480 x 960 as the generator writes them (4:4:4), and both as Pillow writes them (4:2:0,
quality 90). Prints the median over the rounds of ours / peer, below 1 where ours takes less, with the lowest and highest.
"""

import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZE = (128, 256)


def pillow():
    from PIL import Image, __version__, features

    def decode(data):
        return Image.open(io.BytesIO(data)).convert("RGB")

    def resize(picture):
        return picture.resize(SIZE, Image.Resampling.BILINEAR)

    name = f"Pillow {__version__} (libjpeg-turbo {features.version('libjpeg_turbo')})"
    return name, decode, resize, lambda path: resize(Image.open(path).convert("RGB"))


def torchvision():
    import torch
    import torchvision
    from torchvision.transforms.v2 import functional

    torch.set_num_threads(1)

    def bytes_of(data):
        return torch.frombuffer(bytearray(data), dtype=torch.uint8)

    def decode(data):
        return torchvision.io.decode_jpeg(bytes_of(data), mode=torchvision.io.ImageReadMode.RGB)

    def resize(picture):
        return functional.resize(picture, SIZE[::-1], antialias=True)

    return f"torchvision {torchvision.__version__}", decode, resize, lambda path: resize(decode(path.read_bytes()))


def turbojpeg():
    import numpy  # noqa: F401  (PyTurboJPEG needs it)
    import turbojpeg as module

    # The path of the library, where the module does not find it.
    jpeg = module.TurboJPEG(os.environ.get("TURBOJPEG_LIBRARY"))
    version = getattr(module, "__version__", "")
    return f"PyTurboJPEG {version}".strip(), lambda data: jpeg.decode(data, pixel_format=module.TJPF_RGB), None, None


def peers():
    for make in (pillow, torchvision, turbojpeg):
        try:
            yield make()
        except Exception as why:  # a missing package or library
            print(f"missing: {make.__name__}: {why}")


def seconds(work, items):
    # CPU time, as the program of the benchmark measures: other programs may use the cores.
    start = time.thread_time()
    for item in items:
        work(item)
    return (time.thread_time() - start) / len(items)


class Ours:
    def __init__(self, program):
        pipe = subprocess.PIPE
        self.program = subprocess.Popen([program, "--ask"], stdin=pipe, stdout=pipe, text=True)

    def line(self):
        text = self.program.stdout.readline()
        if not text:
            sys.exit("decode_peers.py: the program of the benchmark ended; run it alone to see why")
        return text.strip()

    def ask(self, task, folder):
        self.program.stdin.write(f"{task} {folder}\n")
        self.program.stdin.flush()
        return float(self.line())


def subsampled(folder, out):
    """The pictures of a folder as JPEG files with half the colour resolution."""
    from PIL import Image

    out.mkdir()
    for path in sorted(folder.iterdir()):
        Image.open(path).save(out / path.name, quality=90, subsampling="4:2:0")
    return out


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    rounds = int(sys.argv[2]) if len(sys.argv) == 3 else 9
    others = list(peers())
    ours = Ours(sys.argv[1])
    small, large = Path(ours.line()), Path(ours.line())
    with tempfile.TemporaryDirectory() as folder:
        sets = {"64 x 128, 4:4:4": small, "480 x 960, 4:4:4": large}
        if any(name.startswith("Pillow") for name, *_ in others):
            sets["64 x 128, 4:2:0"] = subsampled(small, Path(folder) / "small")
            sets["480 x 960, 4:2:0"] = subsampled(large, Path(folder) / "large")
        for name, path in sets.items():
            compare(name, path, ours, others, rounds)


def compare(name, folder, ours, others, rounds):
    paths = sorted(folder.glob("*.jpg"))
    files = [path.read_bytes() for path in paths]
    decoded = {peer: [decode(data) for data in files] for peer, decode, *_ in others}
    ratios = {}
    for _ in range(rounds):
        for task in ("decode", "resize", "read"):
            own = ours.ask(task, folder)
            for peer, decode, resize, read in others:
                work, items = {
                    "decode": (decode, files),
                    "resize": (resize, decoded[peer]),
                    "read": (read, paths),
                }[task]
                if work is not None:
                    ratios.setdefault((task, peer), []).append(own / seconds(work, items))
    print(f"{name}, {len(paths)} files: ours / peer, median of {rounds} (lowest, highest)")
    for (task, peer), values in sorted(ratios.items()):
        low, high = min(values), max(values)
        print(f"  {task:<7} {peer:<46} {statistics.median(values):.2f} ({low:.2f}, {high:.2f})", flush=True)


main()

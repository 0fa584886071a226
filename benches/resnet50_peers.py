"""One peer of resnet50_side_by_side.py: a program that answers each line of standard input with seconds.

python3 resnet50_peers.py PEER THREADS. The first line that it prints is its name with its version; if the peer cannot
run, `missing:` and the reason. Questions: `train` and `infer` (16 x 256 x 128), `small` (a training step at width 16 on
64 x 64), `peak` (mebibytes of peak memory).
"""

import os
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

BATCH, CLASSES = 16, 751
FULL, SMALL = (64, 256, 128), (16, 64, 64)

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "golden"))


class Torch:
    """PyTorch in eager mode."""

    def __init__(self, threads, width=64, height=256, columns=128, channels_last=False, bf16=False):
        import resnet
        import torch

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.torch, self.resnet = torch, resnet
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.net = resnet.ResNet("resnet50", width).to(memory_format=layout)
        self.fc = torch.nn.Linear(self.net.features, CLASSES)
        self.centers = torch.zeros(CLASSES, self.net.features)
        parameters = [*self.net.parameters(), *self.fc.parameters()]
        self.sgd = torch.optim.SGD(parameters, 1e-4, 0.9, weight_decay=5e-4)
        self.pixels = (torch.rand(BATCH, 3, height, columns) * 2 - 1).contiguous(memory_format=layout)
        self.labels = torch.arange(BATCH) * 40
        self.autocast = torch.autocast("cpu", torch.bfloat16, enabled=bf16)
        settings = "channels last" if channels_last else "NCHW"
        self.name = f"PyTorch {torch.__version__}, {settings}{', bf16 autocast' if bf16 else ''}"

    def train(self):
        functional = self.torch.nn.functional
        self.net.train()
        with self.autocast:
            pool5 = self.net(self.pixels)
            logits = self.fc(functional.dropout(pool5, 0.9))
        pool5, logits = pool5.float(), logits.float()
        x = functional.normalize(pool5)
        loss = functional.cross_entropy(logits, self.labels)
        (loss + self.resnet.batch_contrastive(x, self.labels, self.centers, 0.3)).backward()
        with self.torch.no_grad():
            self.resnet.center_step(self.centers, x.detach(), self.labels, 0.5)
        self.sgd.step()
        self.sgd.zero_grad()
        return loss.item()

    def infer(self):
        self.net.eval()
        with self.torch.inference_mode(), self.autocast:
            return self.net(self.pixels)[0, 0].item()


def exported(network, folder):
    """The network in evaluation mode, as the file of an ONNX model in a folder."""
    file = Path(folder) / "resnet50.onnx"
    network.net.eval()
    # The exporter that needs no further package; it says that it is the older one.
    warnings.simplefilter("ignore")
    network.torch.onnx.export(network.net, network.pixels, str(file), dynamo=False, input_names=["pixels"])
    return file


class OnnxRuntime:
    def __init__(self, threads):
        import onnxruntime

        network = Torch(threads)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        with tempfile.TemporaryDirectory() as folder:
            file = str(exported(network, folder))
            self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.pixels = network.pixels.numpy()
        self.name = f"ONNX Runtime {onnxruntime.__version__}"

    def infer(self):
        return self.session.run(None, {"pixels": self.pixels})[0][0, 0]


class OpenVino:
    def __init__(self, threads, precision):
        import openvino

        network = Torch(threads)
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        with tempfile.TemporaryDirectory() as folder:
            file = str(exported(network, folder))
            self.model = openvino.Core().compile_model(file, "CPU", settings)
        used = str(self.model.get_property("INFERENCE_PRECISION_HINT"))
        if precision not in used.replace("bfloat16", "bf16").replace("float32", "f32").replace("float", "f32"):
            raise RuntimeError(f"it computes in {used}, not in {precision}")
        self.pixels = network.pixels.numpy()
        self.name = f"OpenVINO {openvino.__version__.split('-')[0]}, {precision}"

    def infer(self):
        return self.model([self.pixels])[0][0, 0]


PEERS = {
    "torch": lambda threads: Torch(threads),
    "torch-last": lambda threads: Torch(threads, channels_last=True),
    "torch-bf16": lambda threads: Torch(threads, channels_last=True, bf16=True),
    "torch-small": lambda threads: Torch(threads, *SMALL),
    "torch-small-last": lambda threads: Torch(threads, *SMALL, channels_last=True),
    "onnxruntime": OnnxRuntime,
    "openvino": lambda threads: OpenVino(threads, "f32"),
    "openvino-bf16": lambda threads: OpenVino(threads, "bf16"),
}


def main():
    threads = int(sys.argv[2])
    # What libraries print must not look like an answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    try:
        peer = PEERS[sys.argv[1]](threads)
    except Exception as error:  # any fault of another program is a reason to leave it out
        reason = (str(error).strip().splitlines() or [repr(error)])[0]
        print(f"missing: {type(error).__name__}: {reason[:200]}", file=answers, flush=True)
        return
    print(peer.name, file=answers, flush=True)
    passes = {"train": "train", "infer": "infer", "small": "train"}
    for line in sys.stdin:
        if line.strip() == "peak":
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=answers, flush=True)
            continue
        run = getattr(peer, passes[line.strip()])
        start = time.perf_counter()
        run()
        print(time.perf_counter() - start, file=answers, flush=True)


if __name__ == "__main__":
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    main()

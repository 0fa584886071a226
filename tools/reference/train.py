"""The method of `bcreid train` in PyTorch, from the same weights on the same batches with the same dropout masks.

It begins where a run began, with the checkpoint that `bcreid train` writes before its first step, whose metadata holds
every setting. Two uses:

1. Check a run, step by step. Training amplifies rounding, so keep the run short and its rate small:

       bcreid train --data DATA --out RUN --set solver.iterations=20 --set solver.lr=1e-4 --set run.log_every=1
       cargo run --release --example training_images -- \\
           DATA RUN/checkpoints/step_0000000000.safetensors images.safetensors
       python3 tools/reference/train.py RUN --images images.safetensors --check 1e-4

   prints each step's losses beside those of RUN/metrics.jsonl and fails where they differ by more than a share of 1e-4.

2. Train a network of PyTorch's for our evaluator:

       python3 tools/reference/train.py RUN --images images.safetensors --out torch.safetensors
       bcreid eval --run torch.safetensors --data DATA

The images come from the program (examples/training_images.rs), because JPEG decoders differ by a grey level here and
there; that they are those of the run is checked by the checkpoint's CRC-32. Everything behind them is written here from
its documentation: Philox, samplers, augmentation, normalisation (batches.py), network, losses, schedule and optimisers.

Needs Python 3.11, PyTorch, NumPy and safetensors. Figures differ between PyTorch's builds by rounding only.
"""

import argparse
import csv
import json
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "golden"))
import groups
import optimizers
import philox
import resnet
import rounds
import schedule
from attributes import attributes_loss
from center_loss import center_loss
from circle import circle
from contrastive import contrastive
from triplet import triplet
from verification import verification_loss
from batches import Batches
from fault import Fault, known


OLD_SOLVER = {"rate": "lr", "rate_drops": "lr_milestones", "rate_factor": "lr_gamma", "rate_warmup": "lr_warmup"}
OLD_LOSS = {
    "lambda": "weight",
    "lambda_warmup": "warmup",
    **{key: key for key in ("tau", "gradient", "reduction", "center_rate")},
}


LOSSES = {"softmax", "batch_contrastive", "center", "triplet", "circle", "contrastive", "verification", "attributes"}


class Settings:
    """The settings of a checkpoint, those that are younger than it at the value that it was made with."""

    def __init__(self, text):
        table = tomllib.loads(text)
        self.model, self.input = table["model"], table["input"]
        self.loss, self.solver = table["loss"], table["solver"]
        self.data, self.run = table["data"], table["run"]
        for old, new in OLD_SOLVER.items():
            if old in self.solver:
                self.solver[new] = self.solver.pop(old)
        # Older checkpoints have the settings of the batch-contrastive loss in [loss] itself.
        own = self.loss.get("batch_contrastive", {})
        self.own = {new: self.loss[old] for old, new in OLD_LOSS.items() if old in self.loss} | own
        self.reduction = known(self.own, "loss.batch_contrastive", "reduction", "sum", "mean")
        self.has_neck = known(self.model, "model", "neck", "none", "batchnorm") == "batchnorm"
        self.has_gem = known(self.model, "model", "pooling", "average", "gem") == "gem"
        known(self.own, "loss.batch_contrastive", "gradient", "paper", "exact")
        known(self.solver, "solver", "batchnorm", "batch", "frozen")
        for name in self.loss.keys() - LOSSES - OLD_LOSS.keys():
            raise Fault(f"the settings have loss.{name}, which this program does not know")
        softmax = self.loss.get("softmax", {})
        self.softmax_weight = float(np.float32(softmax.get("weight", 1.0)))
        self.smoothing = float(np.float32(softmax.get("smoothing", 0.0)))

    def scheduled(self, step):
        """Learning rate, lambda and the centers' rate of a step, in f32 as the engine computes them."""
        rate = schedule.rate(self.solver, step)
        center_rate = self.own["center_rate"]
        center_rate = rate if center_rate == "tied" else np.float32(center_rate)
        weight = np.float32(self.own["weight"]) * schedule.ramp(step, self.own["warmup"])
        return rate, weight, center_rate


def read_attributes(path, identities):
    """The number of values of each attribute, and the values of the identities, from a CSV file with commas in which
    persons are numbers."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = [{key.strip(): value.strip() for key, value in row.items()} for row in csv.DictReader(file)]
    person = next(name for name in rows[0] if name.lower() == "identity")
    of_person = {int(row[person]): row for row in rows}
    sizes, columns = [], []
    for name in (name for name in rows[0] if name != person):
        values = [row[name] for row in rows]
        kind = int if all(re.fullmatch(r"[+-]?\d+", value) for value in values) else str
        order = sorted({kind(value) for value in values})
        sizes.append(len(order))
        columns.append([order.index(kind(of_person[identity][name])) for identity in identities])
    return sizes, torch.tensor(columns).T


def embedding_of(model, inputs):
    """The linear layers of `model.embedding`, as a Sequential whose names are those of weight files."""
    widths = model.get("embedding", [])
    modules = []
    for number, width in enumerate(widths, 1):
        last = number == len(widths)
        norm, relu = (model["embedding_batchnorm"], model["embedding_relu"]) if last else (True, True)
        modules.append(torch.nn.Linear(inputs, width, bias=last and model["embedding_bias"] and not norm))
        modules += [torch.nn.BatchNorm1d(width)] if norm else []
        modules += [torch.nn.ReLU()] if relu else []
        inputs = width
    return torch.nn.Sequential(*modules), inputs


class Trainer:
    def __init__(self, file, settings, dtype, identities):
        model = settings.model
        self.settings, self.dtype = settings, dtype
        torch.set_default_dtype(dtype)
        classes, features = file.get_slice("fc.weight").get_shape()
        self.net = resnet.ResNet(
            model["arch"],
            model.get("width"),
            model.get("depths"),
            caffe=model["wiring"] == "caffe",
            last_stride=model["last_stride"],
            stem=model.get("stem"),
            ibn=model.get("ibn", False),
        )
        self.embedding, width = embedding_of(model, self.net.features)
        if width != features:
            raise Fault(f"the network's features have {width} values, fc.weight has {features} columns")
        self.exponent = torch.full((1,), 3.0, requires_grad=True) if settings.has_gem else None
        for _, _, layer in self.net.layers():
            layer.bn.momentum = float(np.float32(settings.solver["batchnorm_momentum"]))
        # Without running statistics, instance normalisation is the same in both modes.
        self.net.train(settings.solver["batchnorm"] == "batch")
        self.fc = torch.nn.Linear(features, classes, bias=not settings.has_neck)
        self.neck = torch.nn.BatchNorm1d(features) if settings.has_neck else None
        for layer in [*self.embedding, self.neck]:
            if isinstance(layer, torch.nn.BatchNorm1d):
                layer.momentum = float(np.float32(settings.solver["batchnorm_momentum"]))
        of_loss = lambda name: settings.loss.get(name, {"weight": 0.0})
        width = lambda own: self.net.features if own.get("feature", "pool5") == "pool5" else features
        self.centers = torch.zeros(classes, width(settings.own))
        center, pairs, attributes = (of_loss(name) for name in ("center", "verification", "attributes"))
        self.own_centers = torch.zeros(classes, width(center)) if center["weight"] != 0 else None
        self.verification = torch.nn.Linear(width(pairs), 2) if pairs["weight"] != 0 else None
        self.attributes = None
        if attributes["weight"] != 0:
            self.sizes, self.table = read_attributes(settings.data["attributes"], identities)
            self.attributes = torch.nn.Linear(width(attributes), sum(self.sizes))
        self.optimizer = optimizers.of(self.named(), settings.solver)
        for name, tensor in self.state():
            self.load(file, name, tensor)
        for name, tensor in self.optimizer.states():
            self.load(file, name, tensor)
        self.optimizer.begin(int(file.metadata()["step"]))

    def named(self):
        """(name, parameter) in the engine's order."""
        neck = [("bottleneck.weight", self.neck.weight)] if self.neck else []
        bias = [] if self.neck else [("fc.bias", self.fc.bias)]
        embedding = [(f"embedding.{name}", parameter) for name, parameter in self.embedding.named_parameters()]
        pooling = [] if self.exponent is None else [("pool.p", self.exponent)]
        own = self.verification
        pairs = [("verification.weight", own.weight), ("verification.bias", own.bias)] if own else []
        own = self.attributes
        attributes = [("attributes.weight", own.weight), ("attributes.bias", own.bias)] if own else []
        network = list(self.net.named()) + pooling + embedding + neck
        return network + [("fc.weight", self.fc.weight)] + bias + pairs + attributes

    def state(self):
        """All that a weight file holds."""
        yield from self.named()
        for _, name, layer in self.net.layers():
            yield f"{name}.running_mean", layer.bn.running_mean
            yield f"{name}.running_var", layer.bn.running_var
        for name, buffer in self.embedding.named_buffers():
            if not name.endswith("num_batches_tracked"):
                yield f"embedding.{name}", buffer
        if self.neck:
            yield "bottleneck.bias", self.neck.bias
            yield "bottleneck.running_mean", self.neck.running_mean
            yield "bottleneck.running_var", self.neck.running_var
        yield "centers", self.centers
        if self.own_centers is not None:
            yield "center_loss.centers", self.own_centers

    def chosen(self, own, features):
        """The feature that a loss with the settings `own` takes."""
        x = features[own["feature"]]
        return F.normalize(x) if own.get("normalise") else x

    def metrics(self, number, dropout, features, labels):
        """(weight, loss) of the losses of other methods."""
        f32 = lambda value: float(np.float32(value))
        for name in ("triplet", "circle", "contrastive"):
            own = self.settings.loss.get(name, {"weight": 0.0})
            if own["weight"] == 0:
                continue
            x = features[own["feature"]]
            if own.get("normalise", name == "circle"):
                x = F.normalize(x)
            if name == "triplet":
                margin = None if own["soft"] else f32(own["margin"])
                value, _ = triplet(x, labels, margin, own["distance"] == "squared", own.get("mining", "hard"))
            elif name == "circle":
                value, _ = circle(x, labels, f32(own["margin"]), f32(own["gamma"]), own["scope"])
            else:
                value, _ = contrastive(x, labels, f32(own["positive"]), f32(own["negative"]))
            yield f32(own["weight"]), value
        if self.own_centers is not None:
            own = self.settings.loss["center"]
            yield f32(own["weight"]), center_loss(self.chosen(own, features), labels, self.own_centers)
        if self.verification:
            own, seed = self.settings.loss["verification"], self.settings.run["seed"]
            x = self.chosen(own, features)
            shape = (len(x) // 2, x.shape[1])
            of_pairs = philox.dropout_mask(seed, number, *shape, own["dropout"], philox.VERIFICATION)
            of_pairs = torch.from_numpy(of_pairs).to(self.dtype)
            yield f32(own["weight"]), verification_loss(x, labels, self.verification, of_pairs)
        if self.attributes:
            own = self.settings.loss["attributes"]
            logits = self.attributes(dropout(self.chosen(own, features)))
            yield f32(own["weight"]), attributes_loss(logits, labels, self.table, self.sizes)

    def gradients(self, loss):
        """Those of the parameters that the step trains, None of the others: they are frozen, or the factor of their
        learning rate is 0."""
        solver = self.settings.solver
        trained = {n: p for n, p in self.named() if n not in self.frozen and groups.factors(solver, n)[0] != 0}
        of_name = dict(zip(trained, torch.autograd.grad(loss, list(trained.values()))))
        return [of_name.get(name) for name, _ in self.named()]

    def freeze(self, number):
        """Freezes the parameters of step `number`, and with its scale a batch normalisation."""
        solver = self.settings.solver
        names = [name for name, _ in self.named()]
        self.frozen = rounds.frozen(self, number) | {n for n in names if groups.is_frozen(solver, number, n)}
        for _, name, layer in self.net.layers():
            layer.bn.train(solver["batchnorm"] == "batch" and f"{name}.weight" not in self.frozen)
        for place, layer in enumerate(self.embedding):
            layer.train(f"embedding.{place}.weight" not in self.frozen)
        if self.neck:
            self.neck.train("bottleneck.weight" not in self.frozen)

    @torch.no_grad()
    def load(self, file, name, tensor):
        try:
            values = file.get_tensor(name)
        except SafetensorError:
            raise Fault(f"the checkpoint has no {name}; give one that bcreid train wrote") from None
        if values.dim() == 4:  # KRSC
            values = values.permute(0, 3, 1, 2)
        if values.shape != tensor.shape:
            raise Fault(f"{name} is {list(values.shape)} in the checkpoint and {list(tensor.shape)} in the network")
        tensor.copy_(values)

    def softmax(self, logits, labels):
        """The mean cross entropy; the target of an image without an identity, -1, is the uniform distribution."""
        smoothing = torch.where(labels < 0, 1.0, self.settings.smoothing).to(logits.dtype)
        logs = F.log_softmax(logits, 1)
        of_class = logs.gather(1, labels.clamp(min=0)[:, None])[:, 0]
        return -((1 - smoothing) * of_class + smoothing * logs.mean(1)).mean()

    def step(self, number, pixels, labels):
        """Algorithm 1. Returns the losses as `metrics.jsonl` has them."""
        settings = self.settings
        rate, weight, center_rate = (float(v) for v in settings.scheduled(number))
        seed, ratio = settings.run["seed"], settings.model["dropout"]
        self.freeze(number)
        pixels = torch.from_numpy(pixels).to(self.dtype).permute(0, 3, 1, 2)
        labels = torch.from_numpy(labels)
        if self.exponent is None:
            pool5 = self.net(pixels)
        else:
            pool5 = resnet.gem(self.net.feature_map(pixels), self.exponent)
        embedded = self.embedding(pool5)
        behind = self.neck(embedded) if self.neck else embedded
        features = {"pool5": pool5, "embedding": embedded, "neck": behind}

        def dropout(x):
            """The dropout of the classifier, on a feature of any width."""
            return x * torch.from_numpy(philox.dropout_mask(seed, number, *x.shape, ratio)).to(self.dtype) if ratio else x

        softmax = self.softmax(self.fc(dropout(behind)), labels)
        own = settings.own
        x = F.normalize(features[own.get("feature", "pool5")])
        tau, exact = float(np.float32(own["tau"])), own["gradient"] == "exact"
        has_unlabelled = "unlabelled" in settings.data
        if has_unlabelled:
            terms = [torch.zeros(())] * 3
        else:
            terms = resnet.batch_contrastive_terms(x, labels, self.centers, tau, exact)
        if settings.reduction == "mean":
            terms = [term / len(labels) for term in terms]
        others = sum(share * value for share, value in self.metrics(number, dropout, features, labels))
        loss = settings.softmax_weight * softmax + weight * sum(terms) + others
        gradients = self.gradients(loss)
        with torch.no_grad():
            if not has_unlabelled:
                resnet.center_step(self.centers, x, labels, center_rate)
            if self.own_centers is not None:
                own = settings.loss["center"]
                own_rate = float(np.float32(own["rate"]))
                resnet.center_step(self.own_centers, self.chosen(own, features), labels, own_rate)
        self.optimizer.step(gradients, rate)
        positive, hinge, center = (term.item() for term in terms)
        contrastive = positive + hinge + center
        return {"softmax": softmax.item(), "contrastive": contrastive, "loss": loss.item()}

    @torch.no_grad()
    def states_off_by(self, checkpoint):
        """The states of the optimiser beside those of the run's checkpoint after the same steps: (name, relative
        difference of the vector), the largest difference of each kind."""
        worst = {}
        with safe_open(checkpoint, "pt") as file:
            for name, tensor in self.optimizer.states():
                own = file.get_tensor(name).to(self.dtype)
                own = own.permute(0, 3, 1, 2) if own.dim() == 4 else own
                length = torch.linalg.vector_norm(tensor).item()
                off = torch.linalg.vector_norm(own - tensor).item() / length if length else float(own.abs().max())
                kind = name.split("/")[0]
                if off >= worst.get(kind, ("", -1.0))[1]:
                    worst[kind] = (name, off)
        return list(worst.values())

    def save(self, path, metadata):
        """A weight file that bcreid reads, of the averages if there are some."""
        averages, tensors = getattr(self.optimizer, "averages", {}), {}
        for name, tensor in self.state():
            tensor = averages.get(name, tensor).detach()
            if tensor.dim() == 4:
                tensor = tensor.permute(0, 2, 3, 1)
            tensors[name] = tensor.to(torch.float32).contiguous().clone()
        kept = ("format", "convolution_layout", "config", "classes", "seed", "images_crc32", "precision")
        metadata = {key: metadata[key] for key in kept if key in metadata}
        save_file(tensors, path, metadata | {"trained_with": f"PyTorch {torch.__version__}"})


def first_checkpoint(run):
    """The earliest checkpoint of a run folder, or the file itself."""
    if run.is_file():
        return run
    found = sorted(run.glob("checkpoints/step_*.safetensors"))
    if not found:
        raise Fault(f"{run}: no checkpoints/step_*.safetensors in it; give a run's folder, or a checkpoint")
    return found[0]


def metrics_of(checkpoint, first, count):
    """The lines of the run's metrics.jsonl of these steps; none where there is no such file."""
    path = checkpoint.parent.parent / "metrics.jsonl"
    if not path.is_file():
        return None
    lines = {}
    for number, text in enumerate(path.read_text().splitlines(), 1):
        try:
            line = json.loads(text)
            lines[line["step"]] = line
        except (json.JSONDecodeError, KeyError, TypeError):
            raise Fault(f"{path}, line {number} is no step's") from None
    return [lines.get(step) for step in range(first, first + count)]


def compare(theirs, ours):
    """A step's losses beside the run's, with the largest relative difference; prints the row."""
    line = {"softmax": ours["softmax"], "loss": ours["loss"]}
    line["contrastive"] = ours["positive"] + ours["hinge"] + ours["center"]
    off = {key: abs(line[key] - theirs[key]) / max(abs(theirs[key]), 1e-30) for key in theirs}
    cells = "".join(f"{line[key]:13.6f}{theirs[key]:13.6f}" for key in theirs)
    print(f"{ours['step']:7d}{cells}{max(off.values()):11.1e}")
    return max(off.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run's folder, or one of its checkpoints; the earliest is taken")
    parser.add_argument("--images", type=Path, required=True, help="what examples/training_images.rs wrote")
    parser.add_argument("--steps", type=int, help="how many steps; as many as the run's settings say if left out")
    parser.add_argument("--dtype", choices=("f32", "f64"), default="f32", help="of weights and arithmetic")
    parser.add_argument("--threads", type=int, help="PyTorch's threads")
    parser.add_argument("--check", type=float, metavar="SHARE",
                        help="fail if a loss differs from the run's by more than this share")
    parser.add_argument("--check-states", type=float, metavar="SHARE",
                        help="fail if a state of the optimiser differs by more than this share of its length from that "
                        "of the run's last checkpoint, which must be of the last step")
    parser.add_argument("--out", type=Path, help="write the weights here, for bcreid eval --run")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)

    checkpoint = first_checkpoint(options.run)
    with safe_open(checkpoint, "pt") as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != "bcreid" or not re.fullmatch(r"\d{1,18}", metadata.get("step", "")):
            raise Fault(f"{checkpoint}: no checkpoint of bcreid train")
        settings = Settings(metadata["config"])
        dtype = torch.float64 if options.dtype == "f64" else torch.float32
        trainer = Trainer(file, settings, dtype, json.loads(metadata["classes"]))
    batches = Batches(options.images, settings, int(metadata["images_crc32"], 16))
    first = int(metadata["step"])
    count = settings.solver["iterations"] - first if options.steps is None else options.steps
    metrics = metrics_of(checkpoint, first, count)
    if options.check is not None and (metrics is None or None in metrics or not metrics):
        raise Fault(f"{checkpoint}: the run has no metrics of all {count} steps from {first} on to be checked with")

    if metrics:
        heads = "".join(f"{key:>13}{'PyTorch':>13}" for key in ("softmax", "contrastive", "loss"))
        print("   step" + heads + "   off by")
    worst = 0.0
    for step in range(first, first + count):
        rounds.begin(trainer, step, step == first)
        losses = trainer.step(step, *batches.batch(step))
        if not all(np.isfinite(value) for value in losses.values()):
            raise Fault(f"step {step}: a loss is no longer finite: {losses}")
        line = metrics[step - first] if metrics else None
        if line:
            worst = max(worst, compare(losses, line))
        elif (step + 1) % 100 == 0:
            print(f"{step + 1} of {first + count} steps, loss {losses['loss']:.4f}", file=sys.stderr)
    if metrics:
        print(f"largest relative difference: {worst:.1e}")
    if options.check_states is not None:
        last = checkpoint.with_name(f"step_{first + count:010d}.safetensors")
        for name, off in trainer.states_off_by(last):
            print(f"{name} differs by {off:.1e} of its length")
            if not off <= options.check_states:
                raise Fault(f"{name} differs by {off:.1e}, more than {options.check_states:.1e}")
    if options.out:
        trainer.save(options.out, metadata)
        print(f"weights after {first + count} steps: {options.out}")
    if options.check is not None and not worst <= options.check:
        raise Fault(f"losses differ by {worst:.1e} of themselves, more than {options.check:.1e}")


if __name__ == "__main__":
    try:
        main()
    except (Fault, OSError, SafetensorError, KeyError, tomllib.TOMLDecodeError) as fault:
        what = f"the settings lack {fault}" if isinstance(fault, KeyError) else fault
        sys.exit(f"train.py: {what}")

"""One step from a trained network in float64, for tests/train/step.rs: python3 tests/golden/step.py

A slim network is trained for 60 steps first, once in each wiring, so that features tell identities apart, centers and
velocities are not 0 and running statistics are those of the data. What it has become is rounded to float32 and stored
as `WIRING.start.NAME`. From there one step is made for each variant below, and stored as `VARIANT.KIND.NAME`: the
losses, the velocity of every parameter (up to SAMPLE values, evenly spaced), the centers and the running statistics.

The script makes the same steps in float32 and prints how far PyTorch itself is off, relative to what the step adds to
the velocity (gradient and decay). That bounds what a test can ask of another float32 program.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

import philox
import resnet
from attributes import attributes_loss
from center_loss import center_loss
from circle import circle
from contrastive import contrastive
from pattern import BATCH, CLASSES, SEED, batch
from triplet import triplet
from verification import verification_loss

MOMENTUM, DECAY, DROPOUT, TAU, CENTER_RATE, RATE, LAMBDA = 0.9, 5e-4, 0.5, 1.3, 0.5, 0.01, 0.1
STEPS, SAMPLE, OTHER = 60, 192, 0.25
# Values of a hat (no, yes), an age and a bag (blue, green, red) of each identity.
SIZES = [2, 4, 3]
TABLE = torch.tensor([[1, 0, 2], [0, 2, 0], [0, 1, 2], [1, 3, 1], [0, 0, 0]])
BASE = {"exact": False, "caffe_momentum": False, "tied": False, "frozen": False, "neck": None, "tau": TAU, "smoothing": 0.0, "other": None, "center": False, "verification": False, "attributes": False}
VARIANTS = {
    "base": {},
    **{key: {key: True} for key in ["exact", "caffe_momentum", "tied", "frozen"]},
    # Batch normalisation in front of the classifier, which has no bias; the other loss takes the feature before or
    # behind it.
    "neck": {"neck": "pool5"},
    # Features behind the neck are centred, so persons are far apart: a larger margin reaches them.
    "neck_behind": {"neck": "neck", "tau": 3.0},
    # Losses of other methods, with the weight OTHER.
    "smoothed": {"smoothing": 0.25},
    "triplet": {"other": lambda pool5, y: triplet(pool5, y, 16.0, False)},
    "triplet_soft": {"other": lambda pool5, y: triplet(F.normalize(pool5), y, None, True)},
    "circle": {"other": lambda pool5, y: circle(F.normalize(pool5), y, 0.5, 8.0, "anchor")},
    "circle_of_batch": {"other": lambda pool5, y: circle(F.normalize(pool5), y, 0.5, 8.0, "batch")},
    "contrastive": {"other": lambda pool5, y: contrastive(F.normalize(pool5), y, 0.25, 1.25)},
    "center": {"center": True},
    "verification": {"verification": True},
    "attributes": {"attributes": True},
    # The classifiers of attributes take pool5, that of identities the feature behind the neck; both have one mask.
    "attributes_behind": {"attributes": True, "neck": "pool5"},
}


class Run:
    """A network with its centers and velocities."""

    def __init__(self, dtype, caffe):
        torch.set_default_dtype(dtype)
        self.net = resnet.ResNet("slim", width=4, depths=(1, 1, 1, 1), caffe=caffe)
        self.fc = torch.nn.Linear(self.net.features, CLASSES)
        self.centers = torch.zeros(CLASSES, self.net.features)
        self.neck = torch.nn.BatchNorm1d(self.net.features)
        with torch.no_grad():
            # A scale that differs from channel to channel, in float32.
            wave = np.sin(np.arange(self.net.features), dtype=np.float64)
            self.neck.weight.copy_(torch.from_numpy((0.2 + 0.05 * wave).astype(np.float32)))
        self.has_neck = False
        # The centers of the separate center loss, of features that are not normalised.
        wave = np.cos(np.arange(CLASSES * self.net.features), dtype=np.float64).astype(np.float32)
        self.own_centers = torch.from_numpy(1 + wave).to(dtype).reshape(CLASSES, -1)
        # A classifier of pairs; it is not trained on the way.
        self.verification = torch.nn.Linear(self.net.features, 2)
        self.has_verification = False
        with torch.no_grad():
            wave = np.sin(0.7 * np.arange(2 * self.net.features), dtype=np.float64)
            self.verification.weight.copy_(torch.from_numpy((0.1 * wave).astype(np.float32)).reshape(2, -1))
            self.verification.bias.copy_(torch.tensor([0.5, -0.25]))
        # Classifiers of attributes; they are not trained on the way either.
        self.attributes = torch.nn.Linear(self.net.features, sum(SIZES))
        self.has_attributes = False
        with torch.no_grad():
            wave = np.sin(0.3 * np.arange(sum(SIZES) * self.net.features), dtype=np.float64)
            self.attributes.weight.copy_(torch.from_numpy((0.1 * wave).astype(np.float32)).reshape(sum(SIZES), -1))
            self.attributes.bias.copy_(0.125 * torch.arange(sum(SIZES)))
        self.velocities = {name: torch.zeros_like(p) for name, p in self.named()}

    def named(self):
        own = ("bottleneck.weight", self.neck.weight) if self.has_neck else ("fc.bias", self.fc.bias)
        named = list(self.net.named()) + [("fc.weight", self.fc.weight), own]
        own = [(self.has_verification, self.of_pairs()), (self.has_attributes, self.of_attributes())]
        return named + [pair for has, pairs in own if has for pair in pairs]

    def of_attributes(self):
        return [("attributes.weight", self.attributes.weight), ("attributes.bias", self.attributes.bias)]

    def of_pairs(self):
        return [("verification.weight", self.verification.weight), ("verification.bias", self.verification.bias)]

    def statistics(self):
        for _, name, layer in self.net.layers():
            yield f"{name}.running_mean", layer.bn.running_mean
            yield f"{name}.running_var", layer.bn.running_var
        if self.has_neck:
            yield "bottleneck.running_mean", self.neck.running_mean
            yield "bottleneck.running_var", self.neck.running_var

    def state(self):
        """Everything by its name: parameters, statistics, centers, momenta."""
        yield from self.named()
        yield from self.statistics()
        yield "centers", self.centers
        for name, velocity in self.velocities.items():
            yield f"momentum/{name}", velocity

    def step(self, number, exact=False, caffe_momentum=False, tied=False, frozen=False, neck=None, tau=TAU, smoothing=0.0, other=None, center=False, verification=False, attributes=False):
        """Softmax loss and the three terms of the other one; the step is made."""
        self.net.train(not frozen)
        pixels, labels = batch(number)
        dtype = self.fc.weight.dtype
        pool5 = self.net(torch.from_numpy(pixels).to(dtype).permute(0, 3, 1, 2))
        mask = torch.from_numpy(philox.dropout_mask(SEED, number, BATCH, self.net.features, DROPOUT)).to(dtype)
        if neck is None:
            softmax = F.cross_entropy(self.fc(pool5 * mask), labels, label_smoothing=smoothing)
            x = F.normalize(pool5)
        else:
            self.neck.train()
            behind = self.neck(pool5)
            softmax = F.cross_entropy(F.linear(behind * mask, self.fc.weight), labels)
            x = F.normalize(behind if neck == "neck" else pool5)
        terms = resnet.batch_contrastive_terms(x, labels, self.centers, tau, exact)
        named = self.named()
        # float32 constants, as the engine has them.
        rate, decay, momentum = (float(np.float32(v)) for v in (RATE, DECAY, MOMENTUM))
        others = [] if other is None else [other(pool5, labels)[0]]
        if center:
            others = [center_loss(pool5, labels, self.own_centers)]
        if attributes:
            others = [attributes_loss(self.attributes(pool5 * mask), labels, TABLE, SIZES)]
        if verification:
            mask = philox.dropout_mask(SEED, number, BATCH // 2, self.net.features, 0.75, philox.VERIFICATION)
            others = [verification_loss(pool5, labels, self.verification, torch.from_numpy(mask).to(dtype))]
        loss = softmax + float(np.float32(LAMBDA)) * sum(terms) + OTHER * sum(others)
        gradients = torch.autograd.grad(loss, [p for _, p in named])
        with torch.no_grad():
            resnet.center_step(self.centers, x, labels, rate if tied else CENTER_RATE)
            if center:
                resnet.center_step(self.own_centers, pool5, labels, 0.25)
            for (name, parameter), gradient in zip(named, gradients):
                own = gradient + decay * parameter
                self.velocities[name] = momentum * self.velocities[name] + (rate * own if caffe_momentum else own)
                parameter -= self.velocities[name] if caffe_momentum else rate * self.velocities[name]
        return np.array([softmax.item(), *(term.item() for term in [*terms, *others])])


def engine(tensor):
    """A tensor in the engine's layout, float64."""
    tensor = tensor.detach()
    if tensor.dim() == 4:
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.double().numpy().copy()


def sample(array):
    flat = array.reshape(-1)
    if len(flat) <= SAMPLE:
        return flat
    return flat[np.arange(SAMPLE) * len(flat) // SAMPLE]


@torch.no_grad()
def start_at(run, start, caffe_momentum):
    for name, tensor in run.state():
        if any(new in name for new in ("bottleneck.", "verification.", "attributes.")):
            continue
        values = torch.from_numpy(start[name])
        if values.dim() == 4:
            values = values.permute(0, 3, 1, 2)
        if caffe_momentum and name.startswith("momentum/"):
            # Caffe's velocity is one of steps, so it has the rate in it.
            values = values * np.float32(RATE)
        tensor.copy_(values)


torch.set_num_threads(1)
golden = {}
for wiring, caffe in {"torchvision": False, "caffe": True}.items():
    trained = Run(torch.float64, caffe)
    resnet.initialise(trained.named(), philox, SEED)
    losses = [trained.step(number) for number in range(STEPS)]
    start = {name: engine(tensor).astype(np.float32) for name, tensor in trained.state()}
    start["bottleneck.weight"] = engine(trained.neck.weight).astype(np.float32)
    start |= {name: engine(tensor).astype(np.float32) for name, tensor in trained.of_pairs() + trained.of_attributes()}
    start["center_loss.centers"] = engine(trained.own_centers).astype(np.float32)
    print(f"{wiring}: trained from {losses[0].round(3)} to {losses[-1].round(3)}")
    for name, values in start.items():
        golden[f"{wiring}.start.{name}"] = values
    for variant, changes in VARIANTS.items():
        settings = BASE | changes
        results = []
        for dtype in (torch.float64, torch.float32):
            run = Run(dtype, caffe)
            if settings["neck"] is not None:
                run.has_neck = True
                del run.velocities["fc.bias"]
                run.velocities["bottleneck.weight"] = torch.zeros_like(run.neck.weight)
            run.has_verification, run.has_attributes = settings["verification"], settings["attributes"]
            run.velocities |= {name: torch.zeros_like(p) for name, p in run.named() if name not in run.velocities}
            start_at(run, start, settings["caffe_momentum"])
            before = {name: engine(velocity) for name, velocity in run.velocities.items()}
            terms = run.step(STEPS, **settings)
            after = {name: engine(velocity) for name, velocity in run.velocities.items()}
            results.append((terms, before, after, run))
        (terms, before, after, run), (rounded_terms, _, rounded, _) = results
        added = {name: np.linalg.norm(after[name] - np.float32(MOMENTUM) * before[name]) for name in after}
        off = {name: np.linalg.norm(rounded[name] - after[name]) / added[name] for name in after}
        worst = max((name for name in off if name != "conv1.bias"), key=off.get)
        print(
            f"  {variant}: losses {terms}, float32 off by {np.abs(rounded_terms / terms - 1).max():.1e}; "
            f"velocities by {off[worst]:.1e} ({worst}), conv1.bias by {off.get('conv1.bias', 0):.1e}"
        )
        # Each term has something to say, or an error in it would go unseen.
        assert (terms > 1e-3).all(), "a term that is 0 tests nothing"
        key = f"{wiring}.{variant}"
        golden[f"{key}.losses"] = terms.astype(np.float32)
        for name, values in after.items():
            golden[f"{key}.velocity.{name}"] = sample(values).astype(np.float32)
        golden[f"{key}.state.centers"] = engine(run.centers).astype(np.float32)
        if settings["center"]:
            golden[f"{key}.state.center_loss.centers"] = engine(run.own_centers).astype(np.float32)
        if not settings["frozen"]:
            for name, values in run.statistics():
                golden[f"{key}.state.{name}"] = engine(values).astype(np.float32)
file = Path(__file__).with_suffix(".safetensors")
save_file(golden, file)
print(f"{file.name}: {file.stat().st_size / 1e3:.0f} kB")

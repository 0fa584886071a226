"""The batches of a run, as src/data documents them: which images a step takes (sampler), what chance does to them
(augment), and the numbers that bytes become (input). All are functions of the run's seed and the step.
"""

import zlib

import numpy as np
from safetensors import safe_open

import philox


class Fault(Exception):
    """A wrong input: what, where, what to do."""


def below(word, n):
    """Uniform among 0..n from a word of 32 bits."""
    return int(word) * n >> 32


def permutation(words):
    """Fisher and Yates, from the last element down; `words` are the stream's first."""
    order = list(range(len(words)))
    for i in range(len(order) - 1, 0, -1):
        j = below(words[i], i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def distinct(words, n):
    """As many different numbers of 0..n as there are words: Floyd's algorithm."""
    chosen, seen = [], set()
    for word, last in zip(words, range(n - len(words), n)):
        drawn = below(word, last + 1)
        number = last if drawn in seen else drawn
        seen |= {drawn, number}
        chosen.append(number)
    return chosen


class Batches:
    def __init__(self, path, settings, crc32):
        """`crc32` is that of the run's images, in the checkpoint's metadata."""
        with safe_open(path, "np") as file:
            self.images, self.labels = file.get_tensor("images"), file.get_tensor("labels")
            indices = file.get_tensor("indices")
        self.settings, self.seed = settings, settings.run["seed"]
        wanted = (settings.input["height"], settings.input["width"], 3)
        if self.images.dtype != np.uint8 or self.images.shape[1:] != wanted:
            raise Fault(f"{path}: images of {self.images.shape[1:]}, not {wanted}; write them with this checkpoint")
        own = 0
        for index, label, image in zip(indices, self.labels, self.images, strict=True):
            own = zlib.crc32(index.astype("<u8").tobytes() + label.astype("<i4").tobytes() + image.tobytes(), own)
        if own != crc32:
            raise Fault(f"{path}: the images are not those of the run (CRC-32 {own:08x}, the run's {crc32:08x}); "
                        "write them from the run's --data with its checkpoint")
        self.table = self.values()
        self.members = [np.flatnonzero(self.labels == label) for label in np.unique(self.labels)]
        self.order = (None, None)

    def words(self, step, image, purpose, n):
        return philox.words(self.seed, step, image, purpose, n)

    def epoch_order(self, epoch, n):
        if self.order[0] != epoch:
            self.order = epoch, permutation(self.words(epoch, 0, philox.SAMPLER, n))
        return self.order[1]

    def chosen(self, step):
        """The images of a step, by their places among those that could be read."""
        data, batch = self.settings.data, self.settings.solver["batch"]
        n = len(self.images)
        if data["sampler"] == "random":
            return distinct(self.words(step, 0, philox.SAMPLER, batch), n)
        if data["sampler"] == "epochs":
            epoch, turn = divmod(step, n // batch)
            return self.epoch_order(epoch, n)[turn * batch:][:batch]
        each = data["pk_images"]
        persons = batch // each
        epoch, turn = divmod(step, len(self.members) // persons)
        images = []
        for person in self.epoch_order(epoch, len(self.members))[turn * persons:][:persons]:
            own = self.members[person]
            label = int(self.labels[own[0]])
            order = permutation(self.words(epoch, 1 + label, philox.SAMPLER, len(own)))
            images += [own[order[i % len(order)]] for i in range(each)]
        return images

    def view(self, step, slot, image):
        """What is seen of `image` [H, W, 3]: mirrored, then shifted."""
        data = self.settings.data
        pad = data["pad"] if data["crop"] else 0
        flip, down, right, _ = self.words(step, slot, philox.AUGMENT, 4)
        if data["flip"] and below(flip, 2) == 1:
            image = image[:, ::-1]
        top, left = below(down, 2 * pad + 1), below(right, 2 * pad + 1)
        mode = {"zero": "constant", "edge": "edge"}[data["pad_mode"]]
        padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode)
        return padded[top:top + image.shape[0], left:left + image.shape[1]]

    def values(self):
        """f32 [3, 256]: what each byte becomes, by the network's channel."""
        settings = self.settings.input
        scale, mean, std = (np.float64(np.float32(settings[key])) for key in ("scale", "mean", "std"))
        return ((np.arange(256)[None] * scale - mean[:, None]) / std[:, None]).astype(np.float32)

    def batch(self, step):
        """Pixels f32 [m, H, W, 3] and labels i64 [m] of a step."""
        chosen = np.array(self.chosen(step))
        views = np.stack([self.view(step, slot, self.images[image]) for slot, image in enumerate(chosen)])
        if self.settings.input["channels"] == "bgr":
            views = views[..., ::-1]
        return np.stack([self.table[c][views[..., c]] for c in range(3)], -1), self.labels[chosen]

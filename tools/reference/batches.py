"""The batches of a run: which images a step takes (samplers.py), what chance does to them (augment.py), and the numbers
that bytes become. All are functions of the run's seed and the step.
"""

import zlib

import numpy as np
from safetensors import safe_open

from augment import Augment
from fault import Fault
from samplers import Sampler


class Batches:
    def __init__(self, path, settings, crc32):
        """`crc32` is that of the run's images, in the checkpoint's metadata."""
        with safe_open(path, "np") as file:
            self.images, self.labels = file.get_tensor("images"), file.get_tensor("labels")
            indices = file.get_tensor("indices")
        self.settings, self.augment = settings, Augment(settings)
        wanted = (*self.augment.stored, 3)
        if self.images.dtype != np.uint8 or self.images.shape[1:] != wanted:
            raise Fault(f"{path}: images of {self.images.shape[1:]}, not {wanted}; write them with this checkpoint")
        own = 0
        for index, label, image in zip(indices, self.labels, self.images, strict=True):
            own = zlib.crc32(index.astype("<u8").tobytes() + label.astype("<i4").tobytes() + image.tobytes(), own)
        if own != crc32:
            raise Fault(f"{path}: the images are not those of the run (CRC-32 {own:08x}, the run's {crc32:08x}); "
                        "write them from the run's --data with its checkpoint")
        self.table = self.values()
        self.sampler = Sampler(settings, self.labels)

    def values(self):
        """f32 [3, 256]: what each byte becomes, by the network's channel."""
        settings = self.settings.input
        scale, mean, std = (np.float64(np.float32(settings[key])) for key in ("scale", "mean", "std"))
        return ((np.arange(256)[None] * scale - mean[:, None]) / std[:, None]).astype(np.float32)

    def normalised(self, image):
        """f32 [H, W, 3] in the network's channels."""
        if self.settings.input["channels"] == "bgr":
            image = image[..., ::-1]
        return np.stack([self.table[c][image[..., c]] for c in range(3)], -1)

    def pixels(self, step, slot, image):
        """f32 [H, W, 3]: what the network sees of `image` at place `slot` of the batch."""
        seen = self.normalised(self.augment.view(step, slot, image))
        rectangle = self.augment.rectangle(step, slot)
        if rectangle:
            top, left, height, width = rectangle
            fill = 0.0
            if self.augment.fill == "noise":
                fill = self.normalised(self.augment.noise(step, slot))[top:top + height, left:left + width]
            seen[top:top + height, left:left + width] = fill
        return seen

    def batch(self, step):
        """Pixels f32 [m, H, W, 3] and labels i64 [m] of a step; -1 is no identity."""
        chosen = np.array(self.sampler.chosen(step))
        seen = [self.pixels(step, slot, self.images[image]) for slot, image in enumerate(chosen)]
        return np.stack(seen), self.labels[chosen]

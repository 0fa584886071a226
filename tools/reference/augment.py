"""What chance does to an image, as src/data/augment.rs, jitter.rs and erase.rs document it: functions of the run's seed,
the step and the image's place in the batch. Arithmetic is f32 where the program's is.
"""

import numpy as np

import philox
from fault import known
from samplers import below

FLIP, TOP, LEFT, FACTORS, DECISION, FIRST_TRY, NOISE = 0, 1, 2, 4, 8, 12, 512
TRIES = 100
f32 = np.float32


def unit(word):
    """Uniform in [0, 1): a multiple of 2^-24."""
    return f32(int(word) >> 8) * f32(2.0**-24)


def uniform(word, low, high):
    return f32(low) + unit(word) * (f32(high) - f32(low))


class Augment:
    def __init__(self, settings):
        self.data, self.seed = settings.data, settings.run["seed"]
        self.size = settings.input["height"], settings.input["width"]
        self.mode = {"zero": "constant", "edge": "edge"}[known(self.data, "data", "pad_mode", "zero", "edge")]
        self.fill = known(self.data, "data", "erase_fill", "mean", "noise")
        self.jitter = [f32(self.data.get(name, 0.0)) for name in ("brightness", "contrast", "saturation")]

    @property
    def stored(self):
        """Height and width of the decoded images."""
        return tuple(self.data["resize"]) if "resize" in self.data else self.size

    def words(self, step, slot, n):
        return philox.words(self.seed, step, slot, philox.AUGMENT, n)

    def view(self, step, slot, image):
        """What is seen of `image` [H, W, 3]: mirrored, then cropped, then in other colours."""
        data, words = self.data, self.words(step, slot, FACTORS + 3)
        pad = data["pad"] if data["crop"] else 0
        if data["flip"] and below(words[FLIP], 2) == 1:
            image = image[:, ::-1]
        padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), self.mode)
        top, left = (below(words[at], whole - own + 1)
                     for at, whole, own in zip((TOP, LEFT), padded.shape, self.size))
        seen = padded[top:top + self.size[0], left:left + self.size[1]]
        return self.coloured(seen, words[FACTORS:]) if any(self.jitter) else seen

    def coloured(self, image, words):
        """Brightness, contrast and saturation, as Pillow's ImageEnhance."""
        brightness, contrast, saturation = (
            uniform(word, max(f32(0), f32(1) - a), f32(1) + a) for word, a in zip(words, self.jitter)
        )
        image = blend(0, image, brightness)
        mean = np.floor(grey(image).mean() + 0.5)
        image = blend(mean, image, contrast)
        return blend(grey(image)[..., None], image, saturation)

    def rectangle(self, step, slot):
        """Top, left, height and width of the erased rectangle, or None."""
        data, (height, width) = self.data, self.size
        words = self.words(step, slot, FIRST_TRY + 4 * TRIES)
        if unit(words[DECISION]) >= f32(data.get("erase", 0.0)):
            return None
        aspect = f32(data["erase_aspect"])
        for attempt in words[FIRST_TRY:].reshape(-1, 4):
            area = uniform(attempt[0], *data["erase_area"]) * f32(height * width)
            ratio = uniform(attempt[1], aspect, f32(1) / aspect)
            rows, columns = int(np.rint(np.sqrt(area * ratio))), int(np.rint(np.sqrt(area / ratio)))
            if rows < height and columns < width:
                return below(attempt[2], height - rows + 1), below(attempt[3], width - columns + 1), rows, columns
        return None

    def noise(self, step, slot):
        """Random bytes for each pixel, RGB."""
        height, width = self.size
        words = self.words(step, slot, NOISE + height * width)[NOISE:].astype("<u4")
        return words.view(np.uint8).reshape(height, width, 4)[..., :3]


def grey(image):
    red, green, blue = (image[..., c].astype(np.int64) for c in range(3))
    return (19595 * red + 38470 * green + 7471 * blue + (1 << 15)) >> 16


def blend(degenerate, image, factor):
    degenerate, image = np.asarray(degenerate, np.float32), image.astype(np.float32)
    return np.clip(np.trunc(degenerate + factor * (image - degenerate)), 0, 255).astype(np.uint8)

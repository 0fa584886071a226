"""Philox 4x32-10 in NumPy, written from the paper (Salmon et al., SC 2011) and independent of the Rust code.

Import it from the golden scripts: `uniform(seed, step, image, purpose, n)` gives the first n draws of a
stream as f32 in [0, 1).
"""

import numpy as np

# The streams, numbered as in src/tensor/philox.rs.
INIT, SAMPLER, AUGMENT, DROPOUT, SYNTH, TEST = range(1, 7)
VERIFICATION = 9

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox4x32(counter, key):
    """Four words from a counter [..., 4] and a key [2]; all arrays uint64 holding 32-bit words."""
    c0, c1, c2, c3 = (counter[..., k] for k in range(4))
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    for _ in range(10):
        p0 = np.uint64(0xD2511F53) * c0
        p1 = np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _LOW, (p0 >> _HALF) ^ c3 ^ k1, p0 & _LOW
        k0 = (k0 + np.uint64(0x9E3779B9)) & _LOW
        k1 = (k1 + np.uint64(0xBB67AE85)) & _LOW
    return np.stack([c0, c1, c2, c3], axis=-1)


def words(seed, step, image, purpose, n):
    """The first n words of a stream, uint64 [n]."""
    blocks = np.arange((n + 3) // 4, dtype=np.uint64)
    counter = np.zeros((len(blocks), 4), dtype=np.uint64)
    counter[:, 0] = blocks
    counter[:, 1:] = [image, step, purpose]
    return philox4x32(counter, (seed & 0xFFFFFFFF, seed >> 32)).reshape(-1)[:n]


def uniform(seed, step, image, purpose, n):
    """The first n draws of a stream, f32 [n], multiples of 2^-24 in [0, 1)."""
    return ((words(seed, step, image, purpose, n) >> np.uint64(8)) * 2.0**-24).astype(np.float32)


def normal(seed, step, image, purpose, n):
    """The first n standard normals of a stream, f32 [n]: Box and Muller's transform in f64."""
    pairs = words(seed, step, image, purpose, 2 * n).reshape(n, 2).astype(np.float64)
    u, v = (pairs[:, 0] + 1) * 2.0**-32, pairs[:, 1] * 2.0**-32
    return (np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)).astype(np.float32)


def dropout_mask(seed, step, m, d, ratio, stream=DROPOUT):
    """The factors of a dropout of an [m, d] matrix: 0 or 1 / (1 - ratio), f32."""
    ratio = np.float32(ratio)
    scale = np.float32(1) / (np.float32(1) - ratio)
    draws = np.stack([uniform(seed, step, i, stream, d) for i in range(m)])
    return np.where(draws >= ratio, scale, np.float32(0))


# A known answer of the Random123 library.
assert [int(w) for w in philox4x32(np.zeros(4, dtype=np.uint64), (0, 0))] == [
    0x6627E8D5,
    0xE169C58D,
    0xBC57AC4C,
    0x9B00DBD8,
]

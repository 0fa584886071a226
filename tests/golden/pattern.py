"""Batches that tests/train generates too: each identity is a pattern of coloured blocks, each image the pattern and
noise."""

import numpy as np
import torch

import philox

SEED, BATCH, CLASSES, HEIGHT, WIDTH, BLOCK = 11, 8, 5, 128, 64, 16


def batch(step):
    """Pixels f32 [BATCH, HEIGHT, WIDTH, 3] and labels of step `step`."""
    labels = [(step + i * i) % CLASSES for i in range(BATCH)]
    patterns = np.stack([
        philox.uniform(SEED, 0, 1 + label, philox.TEST, HEIGHT // BLOCK * (WIDTH // BLOCK) * 3).reshape(
            HEIGHT // BLOCK, WIDTH // BLOCK, 3)
        for label in labels
    ]).repeat(BLOCK, 1).repeat(BLOCK, 2)
    noise = philox.uniform(SEED, step, 0, philox.TEST, BATCH * HEIGHT * WIDTH * 3).reshape(BATCH, HEIGHT, WIDTH, 3)
    return 2 * patterns + noise - np.float32(1.5), torch.tensor(labels)

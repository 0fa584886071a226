"""The PyTorch side of batchnorm.rs: for each line "N H W C" one step of batch_norm + add + relu (channels last).

Answers with the milliseconds of the forward and of the backward pass.
"""

import sys
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(int(sys.argv[1]))
cases = {}


def make(n, h, w, c):
    def image():
        return torch.randn(n, c, h, w).contiguous(memory_format=torch.channels_last)

    leaves = [image(), torch.randn(c), torch.randn(c), image()]
    return [t.requires_grad_() for t in leaves], torch.zeros(c), torch.ones(c), image()


for line in sys.stdin:
    if line not in cases:
        cases[line] = make(*map(int, line.split()))
    (x, gamma, beta, residual), mean, var, dy = cases[line]
    start = time.perf_counter()
    y = F.relu_(F.batch_norm(x, mean, var, gamma, beta, training=True).add_(residual))
    middle = time.perf_counter()
    torch.autograd.grad(y, [x, gamma, beta, residual], dy)
    end = time.perf_counter()
    print((middle - start) * 1e3, (end - middle) * 1e3, flush=True)

// Version 1, a thread a row. Make version 2 of it: a block a row, with trees in shared memory. Grid: m blocks; a block
// has 32 to 1,024 threads, a power of two.
//
// losses [m], and partition [m]: the largest logit, and the logarithm of the sum of exponentials relative to it, of
// logits [m, n] and labels [m].
extern "C" __global__ void softmax_tree(const float* logits, const int* labels, float* losses, float2* partition, int m,
                                        int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= m) return;
    const float* row = logits + static_cast<size_t>(i) * n;
    float max = -INFINITY;
    for (int k = 0; k < n; ++k) max = fmaxf(max, row[k]);
    float sum = 0.0f;
    for (int k = 0; k < n; ++k) sum += expf(row[k] - max);
    const float log_sum = logf(sum);
    losses[i] = log_sum - (row[labels[i]] - max);
    partition[i] = make_float2(max, log_sum);
}

SOFTCUDA_KERNELS(softmax_tree)

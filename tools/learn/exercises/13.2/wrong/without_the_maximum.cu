// Expect: subtract the largest logit of the row first
// Each step of a tree halves the number of values in scratch; scratch[0] is the result.
//
// losses [m], and partition [m]: the largest logit, and the logarithm of the sum of exponentials relative to it, of
// logits [m, n] and labels [m]. Grid: m blocks; a block has 32 to 1,024 threads, a power of two.
extern "C" __global__ void softmax_tree(const float* logits, const int* labels, float* losses, float2* partition, int m,
                                        int n) {
    __shared__ float scratch[1024];
    const int i = blockIdx.x, t = threadIdx.x;
    const float* row = logits + static_cast<size_t>(i) * n;
    float max = -INFINITY;
    for (int k = t; k < n; k += blockDim.x) max = fmaxf(max, row[k]);
    scratch[t] = max;
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (t < half) scratch[t] = fmaxf(scratch[t], scratch[t + half]);
    }
    __syncthreads();
    max = scratch[0];
    __syncthreads();  // all threads have read the maximum before the sums take its place
    float sum = 0.0f;
    for (int k = t; k < n; k += blockDim.x) sum += expf(row[k]);
    scratch[t] = sum;
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (t < half) scratch[t] += scratch[t + half];
    }
    if (t == 0) {
        const float log_sum = logf(scratch[0]);
        losses[i] = log_sum - row[labels[i]];
        partition[i] = make_float2(max, log_sum - max);
    }
}

SOFTCUDA_KERNELS(softmax_tree)

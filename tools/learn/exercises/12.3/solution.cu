// The barriers that are left lie between a write of one thread and a read of another, or between a read and the next
// write.

// y = x in reverse order.
extern "C" __global__ void reverse(const float* x, float* y) {
    __shared__ float values[128];
    const float own = x[threadIdx.x];
    values[threadIdx.x] = own;
    __syncthreads();
    y[threadIdx.x] = values[127 - threadIdx.x];
}

// y [t] = the mean of x [t] and of the next value, twice; the value behind the last one is the first.
extern "C" __global__ void smooth(const float* x, float* y) {
    __shared__ float values[128];
    const int next = (threadIdx.x + 1) % 128;
    values[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    float mean = 0.5f * (values[threadIdx.x] + values[next]);
    __syncthreads();
    values[threadIdx.x] = mean;
    __syncthreads();
    mean = 0.5f * (values[threadIdx.x] + values[next]);
    y[threadIdx.x] = mean;
}

// y [t] = x [t] plus the value of the first thread of its warp, plus x of the thread 64 places on.
extern "C" __global__ void mixed(const float* x, float* y) {
    __shared__ float values[128];
    const float own = x[threadIdx.x];
    const float first = __shfl_sync(0xffffffffu, own, 0);
    values[threadIdx.x] = own;
    __syncthreads();
    const float far = values[(threadIdx.x + 64) % 128];
    y[threadIdx.x] = own + first + far;
}

SOFTCUDA_KERNELS(reverse, smooth, mixed)

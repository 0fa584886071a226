// Pairs of kernels: one with a planted error, and its twin without. Each pair is one template; the flag plants the error.

#include <cooperative_groups.h>
#include <cuda_bf16.h>

// Reverses a block's elements through shared memory; the error forgets the barrier in between.
template <bool wrong> __device__ void reverse(const float* x, float* y) {
    __shared__ float tile[64];
    tile[threadIdx.x] = x[threadIdx.x];
    if (!wrong) __syncthreads();
    y[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}
__global__ void barrier_removed(const float* x, float* y) { reverse<true>(x, y); }
__global__ void barrier_kept(const float* x, float* y) { reverse<false>(x, y); }

// As above in a loop: everything is written, but the next round's writes meet the last round's reads.
template <bool wrong> __device__ void rounds(const float* x, float* y) {
    __shared__ float tile[64];
    float sum = 0.0f;
    for (int round = 0; round < 3; round++) {
        tile[threadIdx.x] = x[threadIdx.x] * round;
        __syncthreads();
        sum += tile[blockDim.x - 1 - threadIdx.x];
        if (!wrong) __syncthreads();
    }
    y[threadIdx.x] = sum;
}
__global__ void second_barrier_removed(const float* x, float* y) { rounds<true>(x, y); }
__global__ void second_barrier_kept(const float* x, float* y) { rounds<false>(x, y); }

// Global memory: one element too far.
__global__ void index_off_by_one(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i <= n - 1) y[i] = x[i + 1];
}
__global__ void index_right(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i];
}

// Shared memory, static and dynamic: the same.
__global__ void static_array_too_short(const float* x, float* y, int offset) {
    __shared__ float tile[31];
    __shared__ float neighbour[32];
    float* p = tile;
    neighbour[threadIdx.x] = 0.0f;
    p[threadIdx.x + offset] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = p[threadIdx.x ^ 1] + neighbour[threadIdx.x];
}
__global__ void dynamic_array(const float* x, float* y) {
    extern __shared__ float values[];
    values[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = values[threadIdx.x ^ 1];
}
__global__ void local_array_overrun(const int* x, int* y, int n) {
    int bins[4] = {0, 0, 0, 0};
    for (int i = 0; i < n; i++) bins[x[i]]++;
    y[threadIdx.x] = bins[threadIdx.x & 3];
}

// A warp sum in which only half of the lanes take part, under the mask of all.
template <bool wrong> __device__ void half_warp_sum(const float* x, float* y) {
    float v = x[threadIdx.x];
    if (threadIdx.x < 16) {
        for (int delta = 8; delta > 0; delta /= 2) v += __shfl_down_sync(wrong ? 0xffffffffu : 0x0000ffffu, v, delta, 16);
        if (threadIdx.x == 0) *y = v;
    }
    __syncthreads();
}
__global__ void mask_names_too_many(const float* x, float* y) { half_warp_sum<true>(x, y); }
__global__ void mask_names_right_lanes(const float* x, float* y) { half_warp_sum<false>(x, y); }

__global__ void mask_omits_caller(const float* x, float* y) { y[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, x[threadIdx.x], 1); }

__global__ void reads_inactive_lane(const float* x, float* y) {
    float v = 0.0f;
    if (threadIdx.x < 16) v = __shfl_down_sync(0x0000ffffu, x[threadIdx.x], 8);
    y[threadIdx.x] = v;
}

// An output in which the last element is left out.
__global__ void leaves_one_out(float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n - 1) y[i] = static_cast<float>(i);
}
__global__ void leaves_none_out(float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = static_cast<float>(i);
}

// A gradient with two sides: pair (i, j) adds to both; the error forgets the second side.
template <bool wrong> __device__ void pairs(const float* x, float* gradient, int n) {
    int i = threadIdx.x;
    float g = 0.0f;
    for (int j = 0; j < n; j++) g += (wrong ? 1.0f : 2.0f) * (x[i] - x[j]);
    gradient[i] = g;
}
__global__ void one_side(const float* x, float* gradient, int n) { pairs<true>(x, gradient, n); }
__global__ void both_sides(const float* x, float* gradient, int n) { pairs<false>(x, gradient, n); }

// Barriers that only some threads reach.
__global__ void barrier_in_branch(float* y) {
    if (threadIdx.x < 40) __syncthreads();
    y[threadIdx.x] = 1.0f;
}
__global__ void barrier_after_return(float* y, int n) {
    if (threadIdx.x >= n) return;
    __syncthreads();
    y[threadIdx.x] = 1.0f;
}
__global__ void two_barriers_for_one(float* y) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    y[threadIdx.x] = 1.0f;
}
__global__ void barrier_in_uniform_branch(float* y, int yes) {
    if (yes) __syncthreads();
    y[threadIdx.x] = 1.0f;
}

// Sixteen bytes at once, from an offset that the host chooses.
__global__ void copy4(const float* x, float* y) {
    reinterpret_cast<float4*>(y)[threadIdx.x] = reinterpret_cast<const float4*>(x)[threadIdx.x];
}
__global__ void sum4(const float* x, float* y) {
    float4 v = reinterpret_cast<const float4*>(x)[threadIdx.x];
    y[threadIdx.x] = v.x + v.w;
}

// A warp that hands values on through shared memory: lanes are not in step by themselves, and a shuffle is no fence.
enum Order { none, by_shuffle, by_syncwarp };
template <Order order> __device__ void hand_on(const float* x, float* y) {
    __shared__ float tile[64];
    tile[threadIdx.x] = x[threadIdx.x];
    float unused = 0.0f;
    if (order == by_shuffle) unused = __shfl_xor_sync(0xffffffffu, 1.0f, 1) - 1.0f;
    if (order == by_syncwarp) __syncwarp();
    y[threadIdx.x] = tile[threadIdx.x ^ 1] + unused;
}
__global__ void warp_without_sync(const float* x, float* y) { hand_on<none>(x, y); }
__global__ void warp_with_shuffle(const float* x, float* y) { hand_on<by_shuffle>(x, y); }
__global__ void warp_with_sync(const float* x, float* y) { hand_on<by_syncwarp>(x, y); }
// __syncwarp orders a warp, not two of them.
__global__ void warps_with_syncwarp(const float* x, float* y) {
    __shared__ float tile[64];
    tile[threadIdx.x] = x[threadIdx.x];
    __syncwarp();
    y[threadIdx.x] = tile[threadIdx.x ^ 32];
}
// Halves of a warp synchronise on their own, and the values cross only inside a half.
__global__ void half_warps_with_sync(const float* x, float* y) {
    __shared__ float tile[32];
    unsigned mask = threadIdx.x < 16 ? 0x0000ffffu : 0xffff0000u;
    for (int round = 0; round < 4; round++) {
        tile[threadIdx.x] = x[threadIdx.x] + round;
        __syncwarp(mask);
        y[threadIdx.x] = tile[threadIdx.x ^ 1];
        __syncwarp(mask);
    }
}

// Two readers and a writer of one place; in a warp of their own the second reader and the writer are ordered.
__global__ void readers_and_writer(float* y, int reader, int other_reader, int writer) {
    __shared__ float place;
    if (threadIdx.x == 0) place = 1.0f;
    __syncthreads();
    if (threadIdx.x == reader || threadIdx.x == other_reader) y[threadIdx.x] = place;
    __syncwarp();
    if (threadIdx.x == writer) place = 2.0f;
}
__global__ void reads_then_neighbour_writes(const float* x, float* y) {
    __shared__ float tile[64];
    tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    if (threadIdx.x == 0) y[0] = tile[0];
    if (threadIdx.x == 1) tile[0] = 2.0f;
}
// Lane 0 tells lane 1, which tells lane 2, which reads what lane 0 wrote: ordered by way of lane 1, unless the last
// step names other lanes.
__global__ void relay(float* y, int last_pair) {
    __shared__ float place;
    unsigned lane = threadIdx.x;
    if (lane == 0) place = 1.0f;
    if (lane < 2) __syncwarp(0x3u);
    if (last_pair == 1 && (lane == 1 || lane == 2)) __syncwarp(0x6u);
    if (last_pair == 2 && (lane == 2 || lane == 3)) __syncwarp(0xcu);
    if (lane == 2) y[0] = place;
}

// Two threads of one block, and two blocks, write one place.
__global__ void all_write_one(float* y) { y[0] = static_cast<float>(threadIdx.x); }
__global__ void blocks_write_one(float* y) {
    if (threadIdx.x == 0) y[0] = static_cast<float>(blockIdx.x);
}
__global__ void blocks_read_each_other(float* y) {
    if (threadIdx.x == 0) {
        y[blockIdx.x] = 1.0f;
        y[blockIdx.x + gridDim.x] = y[(blockIdx.x + 1) % gridDim.x];
    }
}
// All blocks read one place; the last writes it after its own read.
__global__ void blocks_read_one(float* y, int writes) {
    if (threadIdx.x != 0) return;
    float v = y[0];
    if (blockIdx.x == writes) y[0] = v + 1.0f;
}
// Neighbouring halves of a word belong to different threads: no race.
__global__ void neighbours(unsigned short* y) { y[threadIdx.x] = static_cast<unsigned short>(threadIdx.x); }

__global__ void reads_unwritten_shared(float* y) {
    __shared__ float tile[64];
    if (threadIdx.x < 63) tile[threadIdx.x] = 1.0f;
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x];
}

// Takes slots in the order of arrival and sums them in the order of slots: right on paper, different bits each run.
__global__ void sum_by_arrival(const float* x, float* y, unsigned* count) {
    __shared__ float slots[256];
    slots[atomicAdd(count, 1u)] = x[threadIdx.x];
    __syncthreads();
    if (threadIdx.x == 0) {
        float sum = 0.0f;
        for (int i = 0; i < blockDim.x; i++) sum += slots[i];
        *y = sum;
    }
}

__global__ void divides(const int* x, int* y) { y[threadIdx.x] = 100 / x[threadIdx.x]; }

// Copies of every kind are seen.
struct Row { float values[12]; };
__global__ void copies_bytes(const unsigned char* x, unsigned char* y, int n) { memcpy(y, x, n); }
__global__ void copies_rows(const Row* x, Row* y) { y[threadIdx.x] = x[threadIdx.x]; }

__global__ void rounds_to_bf16(const float* x, __nv_bfloat16* y, float* back, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    y[i] = __float2bfloat16(x[i]);
    back[i] = __bfloat162float(y[i]);
}

// One number a line of the intrinsics, for comparison with known values.
__global__ void intrinsics(unsigned* y) {
    int i = 0;
    y[i++] = __umulhi(0xd2511f53u, 0xdeadbeefu);
    y[i++] = __popc(0xf0f0u);
    y[i++] = __clz(1);
    y[i++] = __clz(0);
    y[i++] = __ffs(8);
    y[i++] = __brev(1u);
    y[i++] = __float_as_uint(1.0f);
    y[i++] = __float2int_rn(2.5f);
    y[i++] = __float2int_rn(3.5f);
    y[i++] = __float2int_rn(3e9f);
    y[i++] = __float2int_rz(NAN);
    y[i++] = __float2uint_rz(-1.0f);
    y[i++] = __float2int_rn(-3e9f);
    y[i++] = __float_as_uint(rsqrtf(4.0f));
    y[i++] = __float_as_uint(__uint_as_float(0x40490fdbu));
    y[i++] = __funnelshift_l(0x80000000u, 1u, 1);
}

__global__ void warp_values(unsigned* y, long long* wide) {
    const unsigned lane = threadIdx.x, all = 0xffffffffu;
    unsigned* row = y + 8 * lane;
    row[0] = __shfl_sync(all, lane, 3, 8);
    row[1] = __shfl_up_sync(all, lane, 2, 8);
    row[2] = __shfl_down_sync(all, lane, 2, 8);
    row[3] = __shfl_xor_sync(all, lane, 5);
    row[4] = __ballot_sync(all, lane % 3 == 0);
    row[5] = __any_sync(all, lane == 7);
    row[6] = __all_sync(all, lane < 31);
    row[7] = static_cast<unsigned>(__shfl_sync(all, static_cast<double>(lane) * 0.5, 30));
    wide[lane] = __shfl_up_sync(all, static_cast<long long>(lane) << 40, 1);
}

__global__ void too_much_shared(float* y) {
    __shared__ float a[8000], b[8000];
    a[threadIdx.x] = b[threadIdx.x] = 1.0f;
    y[threadIdx.x] = a[threadIdx.x] + b[threadIdx.x];
}

// A cooperative launch: every element divided by the sum over all blocks. What a block keeps in shared memory is its own
// behind the grid's barrier too. The errors: no barrier; one that a block, or a thread, does not reach; two where one is
// meant; a read of another block's part before the barrier.
enum Shares { RIGHT, NO_BARRIER, BLOCK_LEFT_OUT, THREAD_LEFT_OUT, TWO_BARRIERS, OTHERS_PART };
template <Shares error> __device__ void shares(const float* x, float* parts, float* y) {
    __shared__ float own[64];
    extern __shared__ float dynamic[];
    const int thread = threadIdx.x, at = blockIdx.x * blockDim.x + thread;
    own[thread] = dynamic[thread] = x[at];
    __syncthreads();
    float sum = 0.0f;
    for (int i = 0; i < blockDim.x; i++) sum += own[i];
    if (thread == 0) parts[blockIdx.x] = sum;
    if (error == OTHERS_PART) own[thread] += parts[(blockIdx.x + 1) % gridDim.x];
    if (error == BLOCK_LEFT_OUT && blockIdx.x == 1) return;
    if (error == THREAD_LEFT_OUT && blockIdx.x == 1 && thread == 3) return;
    const auto grid = cooperative_groups::this_grid();
    if (error == TWO_BARRIERS && blockIdx.x == 1 && thread > 31) {
        grid.sync();
    } else if (error != NO_BARRIER) {
        grid.sync();
    }
    float total = 0.0f;
    for (int i = 0; i < gridDim.x; i++) total += parts[i];
    y[at] = (own[thread] + dynamic[thread]) / total;
}
__global__ void shares_right(const float* x, float* parts, float* y) { shares<RIGHT>(x, parts, y); }
__global__ void shares_no_barrier(const float* x, float* parts, float* y) { shares<NO_BARRIER>(x, parts, y); }
__global__ void shares_block_left_out(const float* x, float* parts, float* y) { shares<BLOCK_LEFT_OUT>(x, parts, y); }
__global__ void shares_thread_left_out(const float* x, float* parts, float* y) {
    shares<THREAD_LEFT_OUT>(x, parts, y);
}
__global__ void shares_two_barriers(const float* x, float* parts, float* y) { shares<TWO_BARRIERS>(x, parts, y); }
__global__ void shares_others_part(const float* x, float* parts, float* y) { shares<OTHERS_PART>(x, parts, y); }

SOFTCUDA_KERNELS(barrier_removed, barrier_kept, second_barrier_removed, second_barrier_kept, index_off_by_one, index_right,
                 static_array_too_short, dynamic_array, local_array_overrun, mask_names_too_many, mask_names_right_lanes,
                 mask_omits_caller, reads_inactive_lane, leaves_one_out, leaves_none_out, one_side, both_sides)
SOFTCUDA_KERNELS(barrier_in_branch, barrier_after_return, two_barriers_for_one, barrier_in_uniform_branch, copy4, sum4,
                 warp_without_sync, warp_with_shuffle, warp_with_sync, warps_with_syncwarp, half_warps_with_sync, readers_and_writer,
                 reads_then_neighbour_writes, relay)
SOFTCUDA_KERNELS(all_write_one, blocks_write_one, blocks_read_each_other, blocks_read_one, neighbours, reads_unwritten_shared, sum_by_arrival,
                 divides, copies_bytes, copies_rows, rounds_to_bf16, intrinsics, warp_values, too_much_shared)
SOFTCUDA_KERNELS(shares_right, shares_no_barrier, shares_block_left_out, shares_thread_left_out, shares_two_barriers,
                 shares_others_part)

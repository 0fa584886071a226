//! The report of a launch.

/// Report of a launch. Bytes are counted as the kernel requests them, before any cache.
/// (`softcuda_report` of `runtime/softcuda_api.h`, field by field.)
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub blocks: u64,
    pub threads: u64,
    /// Number of `__syncthreads` passed, summed over blocks.
    pub barriers: u64,
    /// Number of shuffles, votes and `__syncwarp`s passed, summed over warps.
    pub warp_operations: u64,
    /// Number of barriers of the whole grid passed.
    pub grid_barriers: u64,
    pub global_bytes_read: u64,
    pub global_bytes_written: u64,
    /// Static and dynamic shared memory used by a block, in bytes.
    pub shared_bytes: u64,
}

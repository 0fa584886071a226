//! What a launch did.

/// What a launch did. Bytes are counted as the kernel asked for them, before any cache.
/// (`softcuda_report` of `runtime/softcuda_api.h`, field by field.)
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub blocks: u64,
    pub threads: u64,
    /// `__syncthreads` passed, summed over blocks.
    pub barriers: u64,
    /// Shuffles, votes and `__syncwarp`s passed, summed over warps.
    pub warp_operations: u64,
    pub global_bytes_read: u64,
    pub global_bytes_written: u64,
    /// Static and dynamic shared memory that a block used.
    pub shared_bytes: u64,
}

//! The CPU device: a caching allocator of aligned buffers, matrix products, and parallel loops over fixed chunks.
//!
//! The chunks depend on the shape of the data and never on the number of threads, so that a run gives the same bits
//! on one thread and on sixteen.

mod column_sums;
mod gemm;
pub(crate) mod microkernel;
mod pool;
pub mod simd;

pub use column_sums::{Addends, lanes, sum_rows};
pub use gemm::{MatMut, MatRef, Split, gemm};
pub use pool::{CpuBuffer, CpuDevice};

/// The processor in words: architecture and loops, on which the bits of results depend.
pub fn describe() -> String {
    let loops = if simd::is_wide() { "AVX2 and FMA loops" } else { "portable loops (no AVX2)" };
    format!("{}, {loops}", std::env::consts::ARCH)
}

//! The CPU device: a caching allocator of aligned buffers, matrix products, and parallel loops over fixed chunks.
//!
//! The chunks depend on the shape of the data and never on the number of threads, so that a run gives the same bits
//! on one thread and on sixteen.
//!
//! Book: [chapter 2](../../../../../docs/book/src/02-memory.md).

mod column_sums;
mod gemm;
pub mod isa;
pub(crate) mod microkernel;
mod pool;
pub mod simd;
pub mod threads;

use isa::Isa;

pub use column_sums::{Addends, lanes, sum_rows};
pub use gemm::{MatMut, MatRef, Split, gemm};
pub use pool::{CpuBuffer, CpuDevice};

/// The processor in words: architecture and loops, on which the bits of results depend.
pub fn describe() -> String {
    let loops = match isa::isa() {
        Isa::Portable => "portable loops",
        Isa::Avx2 => "AVX2 and FMA loops",
        Isa::Avx512 => "AVX-512 loops",
    };
    format!("{}, {loops}", std::env::consts::ARCH)
}

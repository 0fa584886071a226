//! The CPU device: a pool of aligned buffers, matrix products, and loops cut into fixed pieces.
//!
//! Work is cut by the shape of the data and never by the number of threads, so that the same run gives
//! the same bits on one thread and on sixteen.

mod column_sums;
mod gemm;
pub(crate) mod microkernel;
mod pool;
pub mod simd;

pub use column_sums::{Addends, lanes, sum_rows};
pub use gemm::{MatMut, MatRef, Split, gemm};
pub use pool::{CpuBuffer, CpuDevice};

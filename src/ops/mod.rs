//! The operations, one file each: maths and contract, forward, saved values and backward, the CPU's loops.
//!
//! The same stem names an operation in all its places: `src/ops/relu.rs`, `cuda/relu.cu`, `tests/ops/relu.rs`.
//! (The kernels run in tests; no operation launches them yet. Convolution and the fully connected layer have none:
//! those are for cuDNN and cuBLAS.)
//!
//! An operation is a function that takes the tape and its inputs and returns its output. Activations are
//! `[N, H, W, C]`, features `[N, C]`, all f32.
//!
//! The outer function checks shapes and types, allocates and records, and reads no element: a device that runs
//! behind the host must not be waited for inside a step. Whatever touches contents is in `mod cpu`, whose
//! functions take tensors; a further device is a further `mod` with the same functions. (`conv2d` and
//! `batchnorm` still unpack their tensors outside of it.)

pub mod add;
pub mod batch_contrastive;
pub mod batchnorm;
pub(crate) mod bias;
pub mod center_step;
mod check;
pub mod conv2d;
pub mod dropout;
pub mod global_avg_pool;
pub mod l2_normalize;
pub mod linear;
pub mod maxpool;
pub mod relu;
pub mod sgd;
pub mod softmax_cross_entropy;

//! The operations, one file each: maths and contract, forward, saved values and backward, the CPU's loops.
//!
//! The same stem names an operation in all its places: `src/ops/relu.rs`, `cuda/relu.cu`, `tests/ops/relu.rs`. (The
//! products of convolution and the fully connected layer are cuDNN's and cuBLAS's; ours are `bias.cu` and `pad.cu`.)
//!
//! An operation is a function that takes the tape and its inputs and returns its output. Activations are
//! `[N, H, W, C]`, features `[N, C]`; all are f32, or on a GPU that computes in bf16 activations are bf16 up to the pooling
//! that makes features of them.
//!
//! The outer function checks shapes and types, allocates and records, and reads no element: a GPU runs behind the host and
//! must not be waited for inside a step. Whatever touches contents is in `mod cpu` or `mod cuda`, whose functions take
//! tensors; which of them runs is decided by where the input lives ([`crate::tensor::Tensor::gpu`]).

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
mod matmul;
pub mod maxpool;
pub mod relu;
pub mod sgd;
pub mod softmax_cross_entropy;

//! The operations, one file each: mathematics and contract, forward pass, saved values and backward pass, the loops of
//! the CPU and the launches of the GPU.
//!
//! One stem names an operation everywhere: `src/ops/relu.rs`, `cuda/relu.cu`, `tests/ops/relu.rs`. (cuDNN and cuBLAS
//! compute convolutions and the products of the fully connected layer; their own kernels are `bias.cu` and `pad.cu`.)
//! `pairs` is the common part of the losses on pairs of images.
//!
//! An operation is a function that takes the tape and its inputs and returns its output. Activations are
//! `[N, H, W, C]`, features `[N, C]`. All are f32, except on a device that computes in bf16: there activations are bf16 up
//! to the global pooling, whose features are f32.
//!
//! The outer function checks shapes and types, allocates and records. It reads no element, since the host must not wait
//! for the GPU inside a step. The functions in `mod cpu` and `mod cuda` compute; the device of the input decides which
//! of them runs ([`crate::tensor::Tensor::gpu`]).
//!
//! Book: [chapter 14](../../../../docs/book/src/14-launches.md) shows how an operation is added, from the mathematics
//! to the kernel.

pub mod adam;
pub mod add;
pub mod attributes;
pub mod batch_contrastive;
pub mod batchnorm;
pub(crate) mod bias;
pub mod center_loss;
pub mod center_step;
pub mod channels;
mod check;
pub mod circle;
pub mod contrastive;
pub mod conv2d;
pub mod dropout;
pub mod ema;
pub mod gather;
pub mod gem;
pub mod global_avg_pool;
pub mod instancenorm;
pub mod l2_normalize;
pub mod linear;
mod matmul;
pub mod maxpool;
pub mod pairs;
mod param_state;
pub mod relu;
pub mod sgd;
pub mod softmax_cross_entropy;
pub mod triplet;
pub mod unlabelled;
pub mod verification;

//! Every operation against its reference: finite differences, edge cases, contracts. One file an operation,
//! named by its stem.

mod add;
mod batch_contrastive;
mod batchnorm;
mod center_step;
mod conv2d;
mod dropout;
mod global_avg_pool;
mod golden;
mod gpu;
mod gradient_check;
mod l2_normalize;
mod linear;
mod maxpool;
mod planted;
mod relu;
mod sgd;
mod softmax_cross_entropy;

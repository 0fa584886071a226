//! Every operation against its reference: finite differences, edge cases, contracts. One file an operation,
//! named by its stem.

mod add;
mod batchnorm;
mod global_avg_pool;
mod conv2d;
mod golden;
mod gradient_check;
mod linear;
mod maxpool;
mod batch_contrastive;
mod center_step;
mod dropout;
mod golden;
mod gradient_check;
mod l2_normalize;
mod relu;
mod sgd;
mod softmax_cross_entropy;

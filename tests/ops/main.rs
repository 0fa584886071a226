//! Every operation against its reference: finite differences, edge cases, contracts. One file an operation,
//! named by its stem.

mod adam;
mod add;
mod assemble;
mod batch_contrastive;
mod batchnorm;
mod bias;
mod cast;
mod center_loss;
mod center_step;
mod circle;
mod contrastive;
mod conv2d;
mod distance;
mod dropout;
mod ema;
mod gem;
mod global_avg_pool;
mod golden;
mod gpu;
mod gradient_check;
mod l2_normalize;
mod lab;
mod launches;
mod linear;
mod maxpool;
mod metric;
mod on;
mod pad;
mod pairs;
mod planted;
mod relu;
mod sgd;
mod softmax_cross_entropy;
mod triplet;
mod verification;

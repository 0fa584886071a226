//! What other programs read: networks as ONNX ([`onnx`]), features as tables ([`mod@features`]), runs as events
//! ([`tensorboard`]), training images as the network gets them ([`training_images`]).
//! Needs the feature `export`.

pub mod features;
pub mod onnx;
pub mod tensorboard;
pub mod training_images;

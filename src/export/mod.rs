//! Export to formats of other programs: networks to ONNX ([`onnx`]), features to tables ([`mod@features`]), runs to
//! TensorBoard's event files ([`tensorboard`]), decoded training images to safetensors ([`training_images`]).
//! Needs the feature `export`.

pub mod features;
pub mod onnx;
pub mod tensorboard;
pub mod training_images;

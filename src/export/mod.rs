//! What other programs read: networks as ONNX ([`onnx`]), features as tables ([`mod@features`]), runs as events
//! ([`tensorboard`]).

pub mod features;
pub mod onnx;
pub mod tensorboard;

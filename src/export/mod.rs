//! What other programs read: networks as ONNX ([`onnx`]), features as tables ([`mod@features`]).

pub mod features;
pub mod onnx;

//! What other programs read: networks as ONNX ([`onnx`]).

pub mod onnx;

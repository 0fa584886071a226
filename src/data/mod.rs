//! To come in this first build.

pub mod synth;

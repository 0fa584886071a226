//! To come in this first build.

pub mod histogram;

//! Conversion of weight files of other programs for `bcreid`, and back.
//!
//! # Reading order
//!
//! 1. [`source`]: detects a file's format by its content and reads named tensors.
//! 2. [`torch`], [`caffe`], [`safetensors`]: the readers. No code in a file is executed, and every size that a file
//!    states is checked against the file.
//! 3. `nesting`, `toolboxes`: the state dict in a checkpoint; names, necks and settings of other toolboxes.
//! 4. [`network`]: identifies the ResNet, its missing tensors and its unused tensors.
//! 5. [`convention`]: the input convention of Caffe's networks.
//! 6. [`engine`]: writes the weight file of `bcreid`.
//! 7. [`torchvision`]: writes files for PyTorch.
//! 8. [`cli`]: the command line.
#![warn(missing_docs)]

pub mod caffe;
pub mod cli;
mod content;
pub mod convention;
pub mod display;
mod element;
pub mod engine;
mod nesting;
pub mod network;
pub mod safetensors;
pub mod source;
mod toolboxes;
pub mod torch;
pub mod torchvision;

pub use bcreid::{Error, Result};

//! What people have on disk, as weights for `bcreid`, and back.
//!
//! # Reading order
//!
//! 1. [`source`]: a file of somebody else's, told by its content, becomes named tensors.
//! 2. [`torch`], [`caffe`], [`safetensors`]: the readers behind it. No code in a file is ever executed, and
//!    nothing a file claims is believed before it is checked against the file.
//! 3. [`network`]: which ResNet those tensors are, what is missing and what is left out.
//! 4. [`convention`]: which pixels Caffe's networks want.
//! 5. [`engine`]: the file that `bcreid` loads.
//! 6. [`torchvision`]: the way back.
#![warn(missing_docs)]

pub mod caffe;
mod content;
pub mod convention;
mod element;
pub mod engine;
mod nesting;
pub mod network;
pub mod safetensors;
pub mod source;
pub mod torch;
pub mod torchvision;

pub use bcreid::{Error, Result};

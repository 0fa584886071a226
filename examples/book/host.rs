//! The simulated GPU under the names that the lab of the kernels' tests (`tests/ops/lab`) uses.

pub use softcuda::{Buffer, Device as Gpu};

use std::error::Error;
use std::path::{Path, PathBuf};

pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// `cuda/STEM.cu`.
pub fn source(stem: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cuda").join(stem).with_extension("cu")
}

//! The CUDA device: one context, one stream, the embedded kernels, the libraries and a memory pool.
//!
//! All work is enqueued in one non-blocking stream, so that a buffer can be reused as soon as its last use has been
//! enqueued. The host waits only in functions whose documentation says so ([`CudaBuffer::upload`],
//! [`CudaBuffer::download`], [`PendingDownload::wait`], [`CudaDevice::synchronize`]). In reading order:
//!
//! 1. [`libraries`] finds the driver, cuDNN and cuBLAS when the program runs; [`fatbin`] holds the embedded kernels.
//! 2. `memory` is the caching allocator of device memory; `buffer` is an allocation with its copies and fills;
//!    `staging` holds the pinned host memory of asynchronous copies.
//! 3. `arguments` and `launch` start a kernel, typed by its signature, `module` a kernel of another crate;
//!    [`cudnn`] computes convolutions, [`cublas`] matrix products.
//! 4. `graph` captures a whole step and replays it; `event` measures the time on the GPU.
//!
//! Safety: kernels and library functions receive the addresses of buffers, which are [`crate::tensor::Tensor`]s, and
//! stay within their sizes; the tests with softcuda check every access. Only this crate can launch its kernels;
//! launches of other crates' kernels are `unsafe` ([`CudaDevice::launch_from`]). The host and the device share no
//! memory but that of `staging`.

mod arguments;
mod buffer;
mod channel_grid;
mod convolve;
pub mod cublas;
pub mod cudnn;
mod event;
pub mod fatbin;
mod graph;
mod launch;
pub mod libraries;
mod memory;
mod module;
mod open;
mod signature;
mod staging;

pub(crate) use arguments::kernels;
pub use arguments::{In, Out};
pub use buffer::CudaBuffer;
pub(crate) use channel_grid::ChannelGrid;
pub use event::Event;
pub use graph::Graph;
pub use launch::Grid;
pub use memory::{Label, Usage};
pub use module::{Module, Value};
pub use staging::PendingDownload;

use super::Precision;
use crate::{Error, Result};
use cublas::Cublas;
use cudarc::driver::{CudaContext, DriverError, sys};
use cudnn::Cudnn;
use launch::Kernels;
use memory::{FixedBlock, Pool};
use module::Modules;
use staging::{Downloads, Uploads};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A CUDA device with its stream, kernels, libraries and memory.
pub struct CudaDevice {
    // Fields are dropped in this order: users of the stream before the stream, the context last.
    cudnn: Cudnn,
    cublas: Cublas,
    /// The workspace of cuBLAS.
    _workspace: FixedBlock,
    uploads: Uploads,
    downloads: Downloads,
    pool: Pool,
    modules: Modules,
    kernels: Kernels,
    stream: Stream,
    context: Arc<CudaContext>,
    precision: Precision,
    name: String,
    multiprocessors: u32,
    launches: AtomicU64,
}

impl CudaDevice {
    /// The number format of convolutions and matrix products.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The name of the GPU, as the driver gives it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of multiprocessors. Grids depend on it only where the size of a grid does not affect the result.
    pub fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    /// The number of kernels, library functions and graphs launched so far.
    pub fn launches(&self) -> u64 {
        self.launches.load(Ordering::Relaxed)
    }

    /// Waits until all enqueued work is done.
    ///
    /// # Errors
    /// The CUDA driver's error of that work.
    pub fn synchronize(&self) -> Result<()> {
        self.bind()?;
        // SAFETY: the stream is open as long as this device is.
        unsafe { cudarc::driver::result::stream::synchronize(self.stream.0) }
            .map_err(driver_error("waiting for the GPU"))
    }

    /// Makes the device's context current on this thread; nearly free if it is current already.
    fn bind(&self) -> Result<()> {
        self.context.bind_to_thread().map_err(driver_error("entering the CUDA context"))
    }
}

impl fmt::Debug for CudaDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudaDevice").field("name", &self.name).field("precision", &self.precision).finish()
    }
}

/// A CUDA stream that does not synchronise with the null stream; dropping it destroys the stream.
struct Stream(sys::CUstream);

// SAFETY: a stream may be used from any thread that has its context (CUDA driver API, "Stream Management").
unsafe impl Send for Stream {}
// SAFETY: as above; the driver locks it.
unsafe impl Sync for Stream {}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the stream was created when the device was opened, and its users have been dropped. A destructor
        // cannot return an error.
        let _ = unsafe { cudarc::driver::result::stream::destroy(self.0) };
    }
}

/// Converts a driver error: the message has the attempted action, the driver's description and the error's name.
fn driver_error(doing: &str) -> impl FnOnce(DriverError) -> Error {
    let doing = doing.to_string();
    move |error| {
        let text = |text: std::result::Result<&std::ffi::CStr, DriverError>| {
            text.map_or("unknown error".into(), |t| t.to_string_lossy().into_owned())
        };
        let (name, words) = (text(error.error_name()), text(error.error_string()));
        use sys::CUresult::{
            CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_LAUNCH_FAILED, CUDA_ERROR_MISALIGNED_ADDRESS,
        };
        let kernel_errors =
            [CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_LAUNCH_FAILED, CUDA_ERROR_MISALIGNED_ADDRESS];
        let is_ours = kernel_errors.contains(&error.0);
        let advice = if is_ours {
            "; that is a bug of bcreid, please report it, or of a kernel of another crate"
        } else {
            ""
        };
        Error::Device(format!("{doing}: {words} ({name}){advice}"))
    }
}

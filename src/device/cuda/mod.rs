//! The CUDA device: one context, one stream, and everything a step needs in it.
//!
//! All work goes into one non-blocking stream in the order it is asked for, so that a buffer may be handed on as soon
//! as its last user has been enqueued, and the host waits for nothing but where it says so ([`CudaBuffer::upload`],
//! [`CudaBuffer::download`], [`PendingDownload::wait`], [`CudaDevice::synchronize`]). In reading order:
//!
//! 1. [`libraries`] finds the driver, cuDNN and cuBLAS when the program runs; [`fatbin`] is what the build embedded.
//! 2. `memory` keeps freed memory for the next asker; `buffer` is a piece of it; `staging` is host memory on the
//!    way to the device and back.
//! 3. `arguments` and `launch` start a kernel, typed by its signature; [`cudnn`] convolves, [`cublas`] multiplies matrices.
//! 4. `graph` records a whole step and replays it; `event` tells how long the GPU took for it.
//!
//! Safety: a kernel or a library function gets addresses of buffers, which are [`crate::tensor::Tensor`]s, and stays within
//! their sizes, as the tests with softcuda see for every access; whoever launches answers for it, and only this crate can.
//! What the host and the device share is in `staging` alone.

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
mod open;
mod staging;

pub(crate) use arguments::{In, Out, kernels};
pub use buffer::CudaBuffer;
pub(crate) use channel_grid::ChannelGrid;
pub use event::Event;
pub use graph::Graph;
pub(crate) use launch::Grid;
pub use memory::{Label, Usage};
pub use staging::PendingDownload;

use super::Precision;
use crate::{Error, Result};
use cublas::Cublas;
use cudarc::driver::{CudaContext, DriverError, sys};
use cudnn::Cudnn;
use launch::Kernels;
use memory::{FixedBlock, Pool};
use staging::{Downloads, Uploads};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A CUDA device with its stream, kernels, libraries and memory.
pub struct CudaDevice {
    // Fields are dropped in this order: what uses the stream before it, the context last.
    cudnn: Cudnn,
    cublas: Cublas,
    /// cuBLAS's own.
    _workspace: FixedBlock,
    uploads: Uploads,
    downloads: Downloads,
    pool: Pool,
    kernels: Kernels,
    stream: Stream,
    context: Arc<CudaContext>,
    precision: Precision,
    name: String,
    multiprocessors: u32,
    launches: AtomicU64,
}

impl CudaDevice {
    /// What convolutions and matrix products are computed in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// What the chip is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many multiprocessors it has: what grids are sized by, where the size of a grid does not show in the result.
    pub fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    /// How many kernels and library functions have been asked for so far.
    pub fn launches(&self) -> u64 {
        self.launches.load(Ordering::Relaxed)
    }

    /// Waits until all work is done.
    ///
    /// # Errors
    /// What went wrong in it.
    pub fn synchronize(&self) -> Result<()> {
        self.bind()?;
        // SAFETY: the stream is open as long as this device is.
        unsafe { cudarc::driver::result::stream::synchronize(self.stream.0) }
            .map_err(fault("waiting for the GPU"))
    }

    /// Makes the context that of this thread; nearly free when it is already.
    fn bind(&self) -> Result<()> {
        self.context.bind_to_thread().map_err(fault("entering the CUDA context"))
    }
}

impl fmt::Debug for CudaDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudaDevice").field("name", &self.name).field("precision", &self.precision).finish()
    }
}

/// A stream that does not wait for the null stream, destroyed when dropped.
struct Stream(sys::CUstream);

// SAFETY: a stream may be used from any thread that has its context (CUDA driver API, "Stream Management").
unsafe impl Send for Stream {}
// SAFETY: as above; the driver locks it.
unsafe impl Sync for Stream {}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: made when the device was opened, and everything that uses it is gone. There is nobody to tell of an
        // error; the context goes next.
        let _ = unsafe { cudarc::driver::result::stream::destroy(self.0) };
    }
}

/// Turns a driver's error into ours: what was being done, and the driver's name and words.
fn fault(doing: &str) -> impl FnOnce(DriverError) -> Error {
    let doing = doing.to_string();
    move |error| {
        let text = |text: std::result::Result<&std::ffi::CStr, DriverError>| {
            text.map_or("unknown error".into(), |t| t.to_string_lossy().into_owned())
        };
        let (name, words) = (text(error.error_name()), text(error.error_string()));
        use sys::CUresult::{
            CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_LAUNCH_FAILED, CUDA_ERROR_MISALIGNED_ADDRESS,
        };
        let kernels_own =
            [CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_LAUNCH_FAILED, CUDA_ERROR_MISALIGNED_ADDRESS];
        let whose =
            if kernels_own.contains(&error.0) { "; that is a bug of bcreid, please report it" } else { "" };
        Error::Device(format!("{doing}: {words} ({name}){whose}"))
    }
}

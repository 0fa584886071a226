//! The CUDA device: one context, two streams, the embedded kernels, the libraries and a memory pool.
//!
//! Nearly all work is enqueued in one non-blocking stream, so that a buffer can be reused as soon as its last use has
//! been enqueued; the gradients of filters are computed, and the weights updated, in a second one (`streams`). The host
//! waits only in functions whose documentation says so ([`CudaBuffer::upload`], [`CudaBuffer::download`],
//! [`PendingDownload::wait`], [`CudaDevice::synchronize`]). In reading order:
//!
//! 1. [`libraries`] finds the driver, cuDNN and cuBLAS when the program runs; `driver` has the driver's functions, its
//!    statuses and the context; [`fatbin`] holds the embedded kernels. The files `api` declare functions and constants
//!    of the libraries; the tests of `headers` compare them with NVIDIA's headers.
//! 2. `streams` orders the work. `memory` is the caching allocator of device memory; `buffer` is an allocation with its
//!    copies and fills; `staging` holds the pinned host memory of asynchronous copies.
//! 3. `arguments` and `launch` start a kernel, typed by its signature, `module` a kernel of another crate;
//!    `channel_grid` and `tiles` are grids over matrices `[rows, C]`; [`cudnn`] computes convolutions and, where asked for, batch
//!    normalisation, [`cublas`] matrix products.
//! 4. `graph` captures a whole step and replays it; `event` measures the time on the GPU, `timeline` that of each piece
//!    of work in a captured step; `work` counts launches, and `asked` is what the stand-ins for the driver count.
//!
//! Safety: kernels and library functions receive the addresses of buffers, which are [`crate::tensor::Tensor`]s, and
//! stay within their sizes; the tests with softcuda check every access. Only this crate can launch its kernels;
//! launches of other crates' kernels are `unsafe` ([`CudaDevice::launch_from`]). The host and the device share no
//! memory but that of `staging`.
//!
//! Book: [chapter 14](../../../../../docs/book/src/14-launches.md).
//! Book: [chapter 15](../../../../../docs/book/src/15-memory-streams.md).

mod arguments;
mod asked;
mod buffer;
mod channel_grid;
mod convolve;
pub mod cublas;
pub mod cudnn;
mod driver;
mod event;
pub mod fatbin;
mod graph;
mod launch;
pub mod libraries;
mod memory;
mod module;
mod normalise;
mod open;
mod signature;
mod staging;
mod streams;
mod tiles;
mod timeline;
mod work;

pub(crate) use arguments::kernels;
pub use arguments::{In, Out};
pub use asked::{Asked, AskedByKernel};
pub use buffer::CudaBuffer;
pub(crate) use channel_grid::ChannelGrid;
pub use event::Event;
pub(crate) use graph::Graph;
pub use launch::Grid;
pub use memory::{Label, Usage};
pub use module::{Module, Value};
pub(crate) use normalise::Reserve;
pub use staging::PendingDownload;
pub(crate) use streams::Lane;
pub(crate) use tiles::{Part, Phases, Tiles};
pub(crate) use timeline::TimeByKind;
pub use work::{ByKind, Work, modelled_seconds};

use super::{Numerics, Precision};
use crate::{Error, Result};
use arguments::Address;
use cublas::Cublas;
use cudnn::Cudnn;
use driver::{Api, Context};
use launch::Kernels;
use memory::{FixedBlock, Pool};
use module::Modules;
use staging::{Downloads, Uploads};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use streams::Streams;
use tiles::Multiprocessors;
use work::Ledger;

/// A CUDA device with its streams, kernels, libraries and memory.
pub struct CudaDevice {
    // Fields are dropped in this order: users of the streams before the streams, the context last.
    cudnn: Cudnn,
    cublas: Cublas,
    /// The workspace of cuBLAS.
    _workspace: FixedBlock,
    uploads: Uploads,
    downloads: Downloads,
    pool: Pool,
    modules: Modules,
    kernels: Kernels,
    streams: Streams,
    context: Context,
    driver: &'static Api,
    id: DeviceId,
    numerics: Numerics,
    name: String,
    multiprocessors: Multiprocessors,
    work: Ledger,
    /// The number of the thread that captures a step, 0 for none.
    capturing: AtomicU64,
}

/// The number of a device object. Two objects of one GPU have two streams, which do not wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceId(u64);

/// The number of this thread, from 1 on.
fn thread_number() -> u64 {
    static THREADS: AtomicU64 = AtomicU64::new(1);
    thread_local!(static NUMBER: u64 = THREADS.fetch_add(1, Ordering::Relaxed));
    NUMBER.with(|number| *number)
}

impl CudaDevice {
    /// The number format of convolutions and matrix products.
    pub fn precision(&self) -> Precision {
        self.numerics.precision
    }

    /// The precision, and who computes batch normalisation.
    pub fn numerics(&self) -> Numerics {
        self.numerics
    }

    /// The name of the GPU, as the driver gives it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of multiprocessors. Grids depend on it only where the size of a grid does not affect the result.
    pub fn multiprocessors(&self) -> usize {
        self.multiprocessors.count
    }

    /// The number of this device object.
    pub(crate) fn id(&self) -> DeviceId {
        self.id
    }

    /// Checks that the pointers of an operation `what` are of this device object.
    ///
    /// # Errors
    /// One is not; the message names the operation.
    fn check_owner(
        &self,
        what: impl fmt::Display,
        pointers: impl IntoIterator<Item = Address>,
    ) -> Result<()> {
        if pointers.into_iter().any(|pointer| pointer.device() != self.id) {
            return Err(Error::Device(format!(
                "{what}: a tensor is on another device object; copy it through the host"
            )));
        }
        Ok(())
    }

    /// The number of kernels, library functions and graphs launched so far.
    pub fn launches(&self) -> u64 {
        self.work.launches()
    }

    /// Begins to count the launches by kind, or ends it; returns the counts since it began. Replays of a captured step
    /// are one launch each.
    pub fn count_by_kind(&self, counts: bool) -> ByKind {
        self.work.by_kind(counts)
    }

    /// Waits until all enqueued work is done.
    ///
    /// # Errors
    /// The CUDA driver's error of that work.
    pub fn synchronize(&self) -> Result<()> {
        self.bind()?;
        self.streams.wait()
    }

    /// Makes later work wait for that of the second stream, without a wait of the host.
    ///
    /// # Errors
    /// A CUDA driver error.
    pub(crate) fn join_streams(&self) -> Result<()> {
        self.bind()?;
        self.streams.join().map(|_| ())
    }

    /// Computes the gradients of filters and updates the weights in the main stream, if `is_one`, and otherwise in a
    /// second one beside it. The results have the same bits.
    pub fn use_one_stream(&self, is_one: bool) {
        self.streams.set_one(is_one);
    }

    /// The number of streams that work is enqueued in: 1 or 2.
    pub fn streams(&self) -> usize {
        if self.streams.is_one() { 1 } else { 2 }
    }

    /// Makes the device's context current on this thread; nearly free if it is current already. Every use of the stream
    /// begins with it.
    ///
    /// # Errors
    /// Another thread captures a step.
    fn bind(&self) -> Result<()> {
        self.refuse_during_capture_elsewhere()?;
        self.context.bind()
    }

    fn refuse_during_capture_elsewhere(&self) -> Result<()> {
        let thread = self.capturing.load(Ordering::Acquire);
        if thread != 0 && thread != thread_number() {
            return Err(Error::Device(
                "another thread captures a step on this device object; use the device on one thread, or open it again"
                    .into(),
            ));
        }
        Ok(())
    }

    /// Makes calls of other threads an error until the result is dropped.
    fn keep_others_out(&self) -> CaptureAlone<'_> {
        self.capturing.store(thread_number(), Ordering::Release);
        CaptureAlone(self)
    }
}

/// A guard: while it exists, only this thread uses the stream.
struct CaptureAlone<'a>(&'a CudaDevice);

impl Drop for CaptureAlone<'_> {
    fn drop(&mut self) {
        self.0.capturing.store(0, Ordering::Release);
    }
}

impl fmt::Debug for CudaDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudaDevice").field("name", &self.name).field("numerics", &self.numerics).finish()
    }
}

#[cfg(test)]
mod headers;

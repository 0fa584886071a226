//! Opening a CUDA device: checks of kernels, driver and libraries, with a clear error for each missing part.

use super::cublas::{self, Cublas};
use super::cudnn::Cudnn;
use super::driver::{
    Api, COOPERATIVE_LAUNCH, Context, MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
    MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, MULTIPROCESSOR_COUNT,
};
use super::launch::Kernels;
use super::memory::{FixedBlock, Pool};
use super::streams::Streams;
use super::tiles::Multiprocessors;
use super::{CudaDevice, DeviceId, fatbin, libraries};
use crate::device::Numerics;
use crate::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

impl CudaDevice {
    /// Opens CUDA device `ordinal`, counted from 0, for computations in `numerics`, such as a
    /// [`crate::device::Precision`].
    ///
    /// # Errors
    /// Kernels, driver, device or library missing or too old; the message says which, the folders that were searched,
    /// and how to get it.
    pub fn open(ordinal: usize, numerics: impl Into<Numerics>) -> Result<Arc<Self>> {
        let kernels = fatbin::embedded().map_err(|absent| {
            let why = absent.to_string();
            Error::Device(format!("no CUDA kernels: {}", why.trim_start_matches("none: ")))
        })?;
        let libraries = libraries::probe();
        if let Some(fault) = libraries.fault() {
            return Err(fault.into());
        }
        let devices = libraries.driver.as_ref()?.devices.as_ref()?;
        let Some(name) = devices.get(ordinal) else {
            let count = match devices.len() {
                1 => "1 device".to_string(),
                n => format!("{n} devices"),
            };
            return Err(Error::Device(format!(
                "there is no CUDA device {ordinal}; this machine has {count} (cuda:0 is the first)"
            )));
        };
        let driver = Api::get()?;
        let context = Context::open(driver, ordinal)?;
        let attribute =
            |attribute, what| context.attribute(attribute, what).map(|value| value.unsigned_abs() as usize);
        let multiprocessors = Multiprocessors {
            count: attribute(MULTIPROCESSOR_COUNT, "the number of multiprocessors")?.max(1),
            shared: attribute(MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, "the shared memory of a multiprocessor")?,
            shared_of_block: attribute(MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, "the shared memory of a block")?,
            cooperative: attribute(COOPERATIVE_LAUNCH, "cooperative launches")? != 0,
        };
        let streams = Streams::new(driver)?;
        let [main, side] = streams.handles();
        // All that can fail comes before the device object, in the reverse order of its fields: after a failure Rust
        // drops the variables in the order in which the device drops its fields.
        let kernels = Kernels::load(driver, kernels.bytes)?;
        let workspace = FixedBlock::new(driver, cublas::WORKSPACE_BYTES)?;
        // SAFETY: the streams were created in this context; the handle is dropped before them. It is dropped before
        // the workspace too, which only cuBLAS uses.
        let cublas = unsafe {
            let library = libraries.cublas.as_ref()?;
            Cublas::open(library, main, workspace.address(), cublas::WORKSPACE_BYTES)
        }?;
        // SAFETY: likewise.
        let mut cudnn = unsafe { Cudnn::open(libraries.cudnn.as_ref()?, main) }?;
        // SAFETY: likewise.
        unsafe { cudnn.open_side(side) }?;
        static DEVICES: AtomicU64 = AtomicU64::new(1);
        let device = CudaDevice {
            cudnn,
            cublas,
            _workspace: workspace,
            uploads: Default::default(),
            downloads: Default::default(),
            pool: Pool::new(driver),
            modules: Default::default(),
            kernels,
            streams,
            context,
            driver,
            id: DeviceId(DEVICES.fetch_add(1, Ordering::Relaxed)),
            numerics: numerics.into(),
            name: name.clone(),
            multiprocessors,
            work: Default::default(),
            capturing: AtomicU64::new(0),
        };
        Ok(Arc::new(device))
    }
}

impl Drop for CudaDevice {
    fn drop(&mut self) {
        // The fields that are dropped next free memory that the stream may still use. A destructor cannot return an
        // error.
        let _ = self.bind().and_then(|()| self.streams.wait());
    }
}

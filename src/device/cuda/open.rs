//! Opening a CUDA device: checks of kernels, driver and libraries, with a clear error for each missing part.

use super::cublas::{self, Cublas};
use super::cudnn::Cudnn;
use super::launch::Kernels;
use super::memory::FixedBlock;
use super::{CudaDevice, Stream, driver_error, fatbin, libraries};
use crate::device::Precision;
use crate::{Error, Result};
use cudarc::driver::{CudaContext, result, sys};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

impl CudaDevice {
    /// Opens CUDA device `ordinal`, counted from 0, for computations in `precision`.
    ///
    /// # Errors
    /// Kernels, driver, device or library missing or too old; the message says which, the folders that were searched,
    /// and how to get it.
    pub fn open(ordinal: usize, precision: Precision) -> Result<Arc<Self>> {
        let kernels = fatbin::embedded()
            .map_err(|absent| Error::Device(format!("this build has no CUDA kernels: {absent}")))?;
        let libraries = libraries::probe();
        if let Some(fault) = libraries.fault() {
            return Err(fault.into());
        }
        let devices = libraries.driver.as_ref()?.devices.as_ref()?;
        if ordinal >= devices.len() {
            let count = match devices.len() {
                1 => "1 device".to_string(),
                n => format!("{n} devices"),
            };
            return Err(Error::Device(format!(
                "there is no CUDA device {ordinal}; this machine has {count} (cuda:0 is the first)"
            )));
        }
        let context =
            CudaContext::new(ordinal).map_err(driver_error(&format!("opening CUDA device {ordinal}")))?;
        let name = context.name().map_err(driver_error("reading the name of the GPU"))?;
        let multiprocessors = context
            .attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
            .map_err(driver_error("reading the number of multiprocessors of the GPU"))?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(driver_error("creating a CUDA stream"))?;
        let stream = Stream(stream);
        let workspace = FixedBlock::new(cublas::WORKSPACE_BYTES)?;
        let handle = stream.0.cast();
        // SAFETY: the stream was created in this context; the device drops the library's handle before the stream.
        let cudnn = unsafe { Cudnn::open(libraries.cudnn.as_ref()?, handle) }?;
        // SAFETY: likewise; the handle is dropped before the workspace too, which only cuBLAS uses.
        let cublas = unsafe {
            let library = libraries.cublas.as_ref()?;
            Cublas::open(library, handle, workspace.address(), cublas::WORKSPACE_BYTES)
        }?;
        let device = CudaDevice {
            cudnn,
            cublas,
            _workspace: workspace,
            uploads: Default::default(),
            downloads: Default::default(),
            pool: Default::default(),
            modules: Default::default(),
            kernels: Kernels::load(kernels.bytes)?,
            stream,
            context,
            precision,
            name,
            multiprocessors: multiprocessors.unsigned_abs().max(1),
            launches: AtomicU64::new(0),
        };
        Ok(Arc::new(device))
    }
}

impl Drop for CudaDevice {
    fn drop(&mut self) {
        // The fields that are dropped next free memory that the stream may still use. A destructor cannot return an
        // error.
        let _ = self.synchronize();
    }
}

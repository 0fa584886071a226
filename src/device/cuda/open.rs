//! Opening a device: what must be there, and what to say when it is not.

use super::cublas::{self, Cublas};
use super::cudnn::Cudnn;
use super::launch::Kernels;
use super::memory::FixedBlock;
use super::{CudaDevice, Stream, fatbin, fault, libraries};
use crate::device::Precision;
use crate::{Error, Result};
use cudarc::driver::{CudaContext, result, sys};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

impl CudaDevice {
    /// Opens device number `ordinal`, from 0, to compute in `precision`.
    ///
    /// # Errors
    /// What is missing or too old, where it was looked for, and how to get it.
    pub fn open(ordinal: usize, precision: Precision) -> Result<Arc<Self>> {
        let kernels = fatbin::embedded()
            .map_err(|absent| Error::Device(format!("this build has no CUDA kernels: {absent}")))?;
        let libraries = libraries::probe();
        if let Some(fault) = libraries.fault() {
            return Err(fault.into());
        }
        let devices = libraries.driver.as_ref()?.devices.as_ref()?;
        if ordinal >= devices.len() {
            return Err(Error::Device(format!(
                "there is no CUDA device {ordinal}; this machine has {} (cuda:0 is the first)",
                devices.len()
            )));
        }
        let context = CudaContext::new(ordinal).map_err(fault(&format!("opening CUDA device {ordinal}")))?;
        let name = context.name().map_err(fault("asking the GPU for its name"))?;
        let multiprocessors = context
            .attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
            .map_err(fault("asking the GPU for its size"))?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(fault("making a CUDA stream"))?;
        let stream = Stream(stream);
        let workspace = FixedBlock::new(cublas::WORKSPACE_BYTES)?;
        let handle = stream.0.cast();
        // SAFETY: the stream was made in this context; the device drops the library's handle before it.
        let cudnn = unsafe { Cudnn::open(libraries.cudnn.as_ref()?, handle) }?;
        // SAFETY: likewise, and before the workspace, which is all its own.
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
        // Everything that follows frees what the stream may still use. An error has been reported by whoever asked for
        // the work, and there is nobody left to tell.
        let _ = self.synchronize();
    }
}

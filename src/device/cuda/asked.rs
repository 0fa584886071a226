//! The bytes that kernels ask for, which the stand-ins for the driver count (`tools/softcuda`).
//!
//! NVIDIA's driver counts no bytes. The stand-in for it exports one more function for this, which is looked up by
//! [`CudaDevice::take_asked`] alone. Launches know nothing of it.

use super::{CudaDevice, libraries, signature};
use crate::Result;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_void};
use std::ops::AddAssign;

/// The bytes that a kernel has asked for in all of its launches. An access is counted as the kernel makes it, before any
/// cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The launches that have run.
    pub launches: u64,
    /// The bytes that they read from global memory.
    pub read: u64,
    /// The bytes that they wrote there.
    pub written: u64,
}

impl AddAssign for Asked {
    fn add_assign(&mut self, other: Asked) {
        self.launches += other.launches;
        self.read += other.read;
        self.written += other.written;
    }
}

/// The bytes of all kernels, by their names without element types.
pub type AskedByKernel = BTreeMap<String, Asked>;

type Visit = unsafe extern "C" fn(
    context: *mut c_void,
    kernel: *const c_char,
    launches: u64,
    bytes_read: u64,
    bytes_written: u64,
);
/// `softcuda_take_counts` of `tools/softcuda/libraries/cuda/driver.h`.
type TakeCounts = unsafe extern "C" fn(visit: Visit, context: *mut c_void);

/// Adds the counts of one kernel to the map that `context` points to.
unsafe extern "C" fn add(
    context: *mut c_void,
    kernel: *const c_char,
    launches: u64,
    read: u64,
    written: u64,
) {
    // SAFETY: `take_asked` passes a map that nothing else uses meanwhile, and the name is a C string.
    let (asked, kernel) = unsafe { (&mut *context.cast::<AskedByKernel>(), CStr::from_ptr(kernel)) };
    let kernel = kernel.to_string_lossy();
    *asked.entry(signature::stem(&kernel).into()).or_default() += Asked { launches, read, written };
}

impl CudaDevice {
    /// Waits for all enqueued work; returns the bytes that the kernels of this process have asked for since the last
    /// call. None with NVIDIA's driver.
    ///
    /// # Errors
    /// The CUDA driver's error of that work.
    pub fn take_asked(&self) -> Result<Option<AskedByKernel>> {
        let driver = libraries::probe().driver.as_ref()?;
        // SAFETY: the stand-ins alone export a function of this name, with this type.
        let Ok(take) = (unsafe { driver.library.function::<TakeCounts>("softcuda_take_counts") }) else {
            return Ok(None);
        };
        self.synchronize()?;
        let mut asked = AskedByKernel::new();
        // SAFETY: the function calls `add` with this pointer, and keeps it no longer.
        unsafe { take(add, (&raw mut asked).cast()) };
        Ok(Some(asked))
    }
}

//! Queries of the driver: its version and its devices.

use super::declare::{c_constants, c_types, function_table};
use super::specs::DRIVER;
use super::versions::{CUDA_SUCCESS, CUresult};
use super::{Fault, Library};
use std::ffi::{CStr, c_char, c_int, c_uint};

c_types! {
    CUdevice = c_int;
}

c_constants! {
    NO_DEVICE = CUDA_ERROR_NO_DEVICE: CUresult = 100;
}

function_table! {
    Devices {
        cuInit(flags: c_uint) -> CUresult;
        cuDeviceGetCount(count: *mut c_int) -> CUresult;
        cuDeviceGetName(name: *mut c_char, bytes: c_int, device: CUdevice) -> CUresult;
    }
}

/// Checks that the driver supports the CUDA version of `nvcc`: its own major version or an older one.
pub(super) fn new_enough(driver: &Library, nvcc: Option<&str>) -> std::result::Result<(), Fault> {
    let major = nvcc.and_then(|nvcc| nvcc.split('.').next()).and_then(|major| major.parse::<u32>().ok());
    let (Some(major), Some(version)) = (major, driver.version) else { return Ok(()) };
    if version.0 >= major {
        return Ok(());
    }
    let what = format!("{driver}: too old, the kernels of this program were compiled by CUDA {major}");
    // The first drivers of CUDA 12 and 13 (NVIDIA's table of driver versions).
    let branch = match major {
        12 => ", 525 or newer",
        13 => ", 580 or newer",
        _ => "",
    };
    let fix = format!("install an NVIDIA driver for CUDA {major}{branch}, or build with an older nvcc");
    Err(Fault { what, folders: Vec::new(), fix })
}

/// The names of all devices.
///
/// # Errors
/// The driver lacks a function, fails, or reports no device.
pub(super) fn devices(driver: &Library) -> std::result::Result<Vec<String>, Fault> {
    let fault = |what: String, fix: &str| Fault { what, folders: Vec::new(), fix: fix.to_string() };
    let fix = "check that nvidia-smi lists a GPU and that CUDA_VISIBLE_DEVICES does not hide it";
    let check = |function: &str, status: CUresult| match status {
        CUDA_SUCCESS => Ok(()),
        NO_DEVICE => Err(fault("driver: it sees no device (CUDA_ERROR_NO_DEVICE)".into(), fix)),
        other => Err(fault(format!("driver: {function} failed with status {other}"), fix)),
    };
    let functions = Devices::of(driver).map_err(|error| fault(error.to_string(), DRIVER.fix))?;
    let mut number = 0;
    // SAFETY: `cuDeviceGetCount` writes one value, to `number`.
    unsafe {
        check("cuInit", (functions.cuInit)(0))?;
        check("cuDeviceGetCount", (functions.cuDeviceGetCount)(&raw mut number))?;
    }
    if number == 0 {
        return Err(fault("driver: it sees no device".into(), fix));
    }
    let named = |device: CUdevice| {
        let mut text = [0u8; 256];
        // SAFETY: the driver writes at most 255 bytes, so the last one stays 0.
        let status = unsafe { (functions.cuDeviceGetName)(text.as_mut_ptr().cast(), 255, device) };
        let text = CStr::from_bytes_until_nul(&text).ok().filter(|_| status == CUDA_SUCCESS);
        text.map_or_else(|| "no name".into(), |text| text.to_string_lossy().into_owned())
    };
    Ok((0..number).map(named).collect())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::device::cuda::libraries::{Location, Version};

    /// A driver of a CUDA version that exports no driver functions.
    fn driver(version: Option<Version>) -> Library {
        let handle = Box::leak(Box::new(libloading::os::unix::Library::this().into()));
        Library { name: DRIVER.name, location: Location::Loader("libcuda.so.1"), handle, version }
    }

    #[test]
    fn a_driver_runs_kernels_of_its_major_version_and_older() {
        let twelve = driver(Some(Version(12, 4, 0)));
        for nvcc in [None, Some("12.9.86"), Some("12.0"), Some("11.8")] {
            assert!(new_enough(&twelve, nvcc).is_ok(), "{nvcc:?}");
        }
        assert!(new_enough(&driver(None), Some("13.0.88")).is_ok(), "a driver of unknown version is tried");
        let fault = new_enough(&twelve, Some("13.0.88")).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "driver: for CUDA 12.4, libcuda.so.1 as the loader finds it: too old, the kernels of this program were \
             compiled by CUDA 13; install an NVIDIA driver for CUDA 13, 580 or newer, or build with an older nvcc"
        );
    }

    #[test]
    fn a_driver_without_functions_is_a_fault() {
        let fault = devices(&driver(None)).unwrap_err().to_string();
        assert!(fault.contains("no function cuInit") && fault.contains("install"), "{fault}");
    }
}

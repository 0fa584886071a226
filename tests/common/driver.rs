//! The CUDA driver's functions for tests, from the library that the program finds. A status is a plain integer: a
//! driver may return numbers that no list has.

use bcreid::device::cuda::libraries;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr;
use std::sync::OnceLock;

/// A context, stream, event, module, function or graph.
pub type Handle = *mut c_void;

macro_rules! functions {
    ($($name:ident($($argument:ty),*);)*) => {
        // Each user of this file takes some of the functions.
        #[allow(non_snake_case, dead_code)]
        pub struct Driver {
            $(pub $name: unsafe extern "C" fn($($argument),*) -> c_int,)*
        }

        impl Driver {
            fn load() -> Result<Self, String> {
                let driver = libraries::probe().driver.as_ref().map_err(|fault| fault.to_string())?;
                let find = || {
                    // SAFETY: the types below are those of the driver's manual.
                    Ok(unsafe { Driver { $($name: driver.library.function(stringify!($name))?,)* } })
                };
                find().map_err(|error: bcreid::Error| error.to_string())
            }
        }
    };
}

functions! {
    cuInit(c_uint);
    cuGetErrorName(c_int, *mut *const c_char);
    cuDevicePrimaryCtxRetain(*mut Handle, c_int);
    cuCtxSetCurrent(Handle);
    cuCtxSynchronize();
    cuDeviceGetName(*mut c_char, c_int, c_int);
    cuStreamCreateWithPriority(*mut Handle, c_uint, c_int);
    cuStreamDestroy_v2(Handle);
    cuStreamSynchronize(Handle);
    cuStreamBeginCapture_v2(Handle, c_int);
    cuStreamEndCapture(Handle, *mut Handle);
    cuEventCreate(*mut Handle, c_uint);
    cuEventDestroy_v2(Handle);
    cuEventRecord(Handle, Handle);
    cuEventElapsedTime(*mut f32, Handle, Handle);
    cuGraphInstantiateWithFlags(*mut Handle, Handle, u64);
    cuGraphLaunch(Handle, Handle);
    cuGraphExecDestroy(Handle);
    cuGraphDestroy(Handle);
    cuModuleLoadData(*mut Handle, *const c_void);
    cuModuleUnload(Handle);
    cuModuleGetFunction(*mut Handle, Handle, *const c_char);
    cuFuncSetAttribute(Handle, c_int, c_int);
    cuLaunchKernel(
        Handle, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Handle, *mut *mut c_void, *mut *mut c_void
    );
    cuLaunchCooperativeKernel(
        Handle, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Handle, *mut *mut c_void
    );
    cuOccupancyMaxActiveBlocksPerMultiprocessor(*mut c_int, Handle, c_int, usize);
    cuDeviceGetAttribute(*mut c_int, c_int, c_int);
    cuMemAlloc_v2(*mut u64, usize);
    cuMemFree_v2(u64);
    cuMemcpyHtoD_v2(u64, *const c_void, usize);
    cuMemcpyDtoH_v2(*mut c_void, u64, usize);
    cuMemcpyHtoDAsync_v2(u64, *const c_void, usize, Handle);
    cuMemcpyDtoHAsync_v2(*mut c_void, u64, usize, Handle);
    cuMemcpyDtoDAsync_v2(u64, u64, usize, Handle);
    cuMemsetD8_v2(u64, u8, usize);
}

/// The driver, with the context of device 0 current on this thread; the context stays until the process ends.
///
/// # Errors
/// No driver, or no device.
pub fn driver() -> Result<&'static Driver, String> {
    struct Opened(Driver, Handle);
    // SAFETY: a context may be used on any thread.
    unsafe impl Send for Opened {}
    // SAFETY: as above.
    unsafe impl Sync for Opened {}
    static OPENED: OnceLock<Result<Opened, String>> = OnceLock::new();
    let open = || {
        let (driver, mut context) = (Driver::load()?, ptr::null_mut());
        // SAFETY: the context's handle is written to a variable of its type.
        unsafe {
            driver.check((driver.cuInit)(0))?;
            driver.check((driver.cuDevicePrimaryCtxRetain)(&raw mut context, 0))?;
        }
        Ok(Opened(driver, context))
    };
    let Opened(driver, context) = OPENED.get_or_init(open).as_ref().map_err(String::clone)?;
    // SAFETY: the context was retained above.
    driver.check(unsafe { (driver.cuCtxSetCurrent)(*context) })?;
    Ok(driver)
}

impl Driver {
    /// # Errors
    /// A status that is not success.
    pub fn check(&self, status: c_int) -> Result<(), String> {
        if status == 0 {
            return Ok(());
        }
        let mut name = ptr::null();
        // SAFETY: the function takes any integer, and writes null or the address of a static text.
        let name = unsafe {
            (self.cuGetErrorName)(status, &raw mut name);
            if name.is_null() { c"an unknown error" } else { CStr::from_ptr(name) }
        };
        Err(format!("CUDA status {status}: {}", name.to_string_lossy()))
    }
}

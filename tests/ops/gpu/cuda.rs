//! A CUDA device for tests, on the driver API: synchronous calls, no caching.

#[path = "../../common/driver.rs"]
pub mod driver;

use super::Outcome;
use driver::{Driver, Handle};
use softcuda::{Arg, Element, Launch};
use std::ffi::{CStr, CString, c_void};
use std::marker::PhantomData;
use std::ptr;

/// Device 0 with the embedded kernels.
pub struct Device {
    driver: &'static Driver,
    module: Handle,
}

impl Device {
    /// The first CUDA device of this machine, with the kernels of `fatbin`; else why there is none.
    pub fn first(fatbin: Option<&[u8]>) -> Result<Self, String> {
        let driver = driver::driver().map_err(|error| format!("no CUDA device: {error}"))?;
        let fatbin = fatbin.ok_or("this build has no CUDA kernels (tools/get-cuda.sh)")?;
        let mut module = ptr::null_mut();
        // SAFETY: the bytes are a fatbin that nvcc made, and the driver copies what it needs.
        driver
            .check(unsafe { (driver.cuModuleLoadData)(&raw mut module, fatbin.as_ptr().cast()) })
            .map_err(|error| format!("the embedded kernels do not load: {error}"))?;
        Ok(Device { driver, module })
    }

    pub fn upload<T: Element>(&self, host: &[T]) -> Outcome<Buffer<T>> {
        let buffer = self.unwritten(host.len())?;
        // SAFETY: the buffer holds as many elements.
        let status =
            unsafe { (self.driver.cuMemcpyHtoD_v2)(buffer.address, host.as_ptr().cast(), size_of_val(host)) };
        self.driver.check(status)?;
        Ok(buffer)
    }

    /// Filled with 0xff, which is NaN in every floating-point type.
    pub fn unwritten<T: Element>(&self, len: usize) -> Outcome<Buffer<T>> {
        let driver = driver::driver()?;
        let bytes = (len * size_of::<T>()).max(1);
        let mut address = 0;
        // SAFETY: the memory is filled before anybody reads it.
        driver.check(unsafe { (driver.cuMemAlloc_v2)(&raw mut address, bytes) })?;
        let buffer = Buffer { address, len, element: PhantomData };
        // SAFETY: the address was allocated with this size above.
        driver.check(unsafe { (driver.cuMemsetD8_v2)(address, 0xff, bytes) })?;
        Ok(buffer)
    }

    /// Runs a kernel to its end.
    pub fn launch(&self, kernel: &str, launch: &Launch, args: &[Arg]) -> Outcome {
        self.enqueue(kernel, launch, args, ptr::null_mut())?;
        // SAFETY: the context is current.
        let status = unsafe { (self.driver.cuCtxSynchronize)() };
        self.driver.check(status).map_err(|error| format!("kernel {kernel}: {error}").into())
    }

    /// Puts a kernel into a stream and does not wait for it.
    pub fn enqueue(&self, kernel: &str, launch: &Launch, args: &[Arg], stream: Handle) -> Outcome {
        let driver = driver::driver()?;
        let mut values: Vec<u64> = args
            .iter()
            .map(|&arg| match arg {
                Arg::Pointer(v) | Arg::U64(v) => v,
                Arg::I64(v) => v as u64,
                Arg::F64(v) => v.to_bits(),
                Arg::F32(v) => v.to_bits().into(),
                Arg::I32(v) => (v as u32).into(),
                Arg::U32(v) => v.into(),
            })
            .collect();
        let mut pointers: Vec<*mut c_void> = values.iter_mut().map(|v| ptr::from_mut(v).cast()).collect();
        let (function, shared) = self.function(kernel, launch)?;
        let blocks = launch.grid.x.min(self.resident_blocks(kernel, launch)?);
        // SAFETY: the same arguments were checked against the kernel's parameters by the host build, which ran before;
        // each pointer leads to eight bytes that live until the launch has copied them.
        unsafe {
            let (grid, block, arguments) = (launch.grid, launch.block, pointers.as_mut_ptr());
            let (x, y, z) = (block.x, block.y, block.z);
            let launched = if launch.multiprocessors > 0 {
                let cooperative = driver.cuLaunchCooperativeKernel;
                cooperative(function, blocks, grid.y, grid.z, x, y, z, shared, stream, arguments)
            } else {
                let null = ptr::null_mut();
                (driver.cuLaunchKernel)(
                    function, grid.x, grid.y, grid.z, x, y, z, shared, stream, arguments, null,
                )
            };
            Ok(driver.check(launched)?)
        }
    }

    /// A kernel that may have the shared memory of a launch, and that memory in bytes.
    fn function(&self, kernel: &str, launch: &Launch) -> Outcome<(Handle, u32)> {
        const MAX_DYNAMIC_SHARED_SIZE_BYTES: i32 = 8;
        let driver = driver::driver()?;
        let (name, mut function) = (CString::new(kernel)?, ptr::null_mut());
        // SAFETY: the module is loaded for as long as this device lives.
        driver
            .check(unsafe { (driver.cuModuleGetFunction)(&raw mut function, self.module, name.as_ptr()) })
            .map_err(|error| format!("kernel {kernel}: {error}"))?;
        let shared = u32::try_from(launch.dynamic_shared_bytes)?;
        if shared > 48 << 10 {
            // SAFETY: the function belongs to the loaded module.
            let status = unsafe {
                (driver.cuFuncSetAttribute)(function, MAX_DYNAMIC_SHARED_SIZE_BYTES, shared as i32)
            };
            driver.check(status)?;
        }
        Ok((function, shared))
    }

    /// The blocks of a cooperative launch that run at once, of which [`Device::enqueue`] launches no more; any number
    /// for another launch.
    pub fn resident_blocks(&self, kernel: &str, launch: &Launch) -> Outcome<u32> {
        const MULTIPROCESSOR_COUNT: i32 = 16;
        if launch.multiprocessors == 0 {
            return Ok(u32::MAX);
        }
        let (function, shared) = self.function(kernel, launch)?;
        let threads = (launch.block.x * launch.block.y * launch.block.z) as i32;
        let (mut each, mut count) = (0, 0);
        // SAFETY: both functions write one value, to a variable of its type; the function belongs to the loaded module.
        let statuses = unsafe {
            let occupancy = self.driver.cuOccupancyMaxActiveBlocksPerMultiprocessor;
            [
                occupancy(&raw mut each, function, threads, shared as usize),
                (self.driver.cuDeviceGetAttribute)(&raw mut count, MULTIPROCESSOR_COUNT, 0),
            ]
        };
        statuses.into_iter().try_for_each(|status| self.driver.check(status))?;
        Ok(each.unsigned_abs() * count.unsigned_abs())
    }

    /// What the driver calls the device.
    pub fn name(&self) -> Outcome<String> {
        let mut name = [0u8; 256];
        // SAFETY: at most 255 bytes are written, so the last one stays 0.
        self.driver.check(unsafe { (self.driver.cuDeviceGetName)(name.as_mut_ptr().cast(), 255, 0) })?;
        Ok(CStr::from_bytes_until_nul(&name)?.to_string_lossy().into_owned())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: loaded once and unloaded once. A failure would have no one to tell.
        let _ = unsafe { (self.driver.cuModuleUnload)(self.module) };
    }
}

/// Device memory, freed when dropped.
pub struct Buffer<T: Element> {
    address: u64,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Element> Buffer<T> {
    pub fn at(&self, offset: usize) -> Arg {
        Arg::Pointer(self.address + (offset * size_of::<T>()) as u64)
    }

    pub fn read(&self) -> Outcome<Vec<T>> {
        let mut host = vec![T::default(); self.len];
        // SAFETY: the buffer holds `len` elements, and any bits are a value of these number types.
        let driver = driver::driver()?;
        let bytes = size_of_val(host.as_slice());
        driver.check(unsafe { (driver.cuMemcpyDtoH_v2)(host.as_mut_ptr().cast(), self.address, bytes) })?;
        Ok(host)
    }
}

impl<T: Element> Drop for Buffer<T> {
    fn drop(&mut self) {
        if let Ok(driver) = driver::driver() {
            // SAFETY: allocated once and freed once, after every synchronous launch.
            let _ = unsafe { (driver.cuMemFree_v2)(self.address) };
        }
    }
}

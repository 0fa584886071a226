//! A CUDA device for tests, on the driver API: synchronous calls, no caching.

use super::Outcome;
use cudarc::driver::{CudaContext, result, sys};
use softcuda::{Arg, Element, Launch};
use std::ffi::{CString, c_void};
use std::marker::PhantomData;
use std::sync::Arc;

/// Device 0 with the embedded kernels.
pub struct Device {
    context: Arc<CudaContext>,
    module: sys::CUmodule,
}

impl Device {
    /// The first CUDA device of this machine, with the kernels of `fatbin`; else why there is none.
    pub fn first(fatbin: Option<&[u8]>) -> Result<Self, String> {
        // SAFETY: looks for the driver's library and opens it.
        if !unsafe { sys::is_culib_present() } {
            return Err("there is no CUDA driver".into());
        }
        let fatbin = fatbin.ok_or("this build has no CUDA kernels (tools/get-cuda.sh)")?;
        let context = CudaContext::new(0).map_err(|error| format!("no CUDA device: {error}"))?;
        // SAFETY: the bytes are a fatbin that nvcc made, and the driver copies what it needs.
        let module = unsafe { result::module::load_data(fatbin.as_ptr().cast()) }
            .map_err(|error| format!("the embedded kernels do not load: {error}"))?;
        Ok(Device { context, module })
    }

    pub fn upload<T: Element>(&self, host: &[T]) -> Outcome<Buffer<T>> {
        let buffer = self.unwritten(host.len())?;
        // SAFETY: the buffer holds as many elements.
        unsafe { result::memcpy_htod_sync(buffer.address, host) }?;
        Ok(buffer)
    }

    /// Filled with 0xff, which is NaN in every floating-point type.
    pub fn unwritten<T: Element>(&self, len: usize) -> Outcome<Buffer<T>> {
        self.context.bind_to_thread()?;
        let bytes = (len * size_of::<T>()).max(1);
        // SAFETY: the memory is filled before anybody reads it.
        let address = unsafe { result::malloc_sync(bytes) }?;
        let buffer = Buffer { address, len, context: Arc::clone(&self.context), element: PhantomData };
        // SAFETY: the address was allocated with this size above.
        unsafe { result::memset_d8_sync(address, 0xff, bytes) }?;
        Ok(buffer)
    }

    /// Runs a kernel to its end.
    pub fn launch(&self, kernel: &str, launch: &Launch, args: &[Arg]) -> Outcome {
        self.enqueue(kernel, launch, args, std::ptr::null_mut())?;
        self.context.synchronize().map_err(|error| format!("kernel {kernel}: {error}").into())
    }

    /// Puts a kernel into a stream and does not wait for it.
    pub fn enqueue(&self, kernel: &str, launch: &Launch, args: &[Arg], stream: sys::CUstream) -> Outcome {
        self.context.bind_to_thread()?;
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
        let mut pointers: Vec<*mut c_void> =
            values.iter_mut().map(|v| std::ptr::from_mut(v).cast()).collect();
        let name = CString::new(kernel)?;
        // SAFETY: the module is loaded for as long as this device lives.
        let function = unsafe { result::module::get_function(self.module, name) }
            .map_err(|error| format!("kernel {kernel}: {error}"))?;
        let shape = |d: softcuda::Dim3| (d.x, d.y, d.z);
        let shared = u32::try_from(launch.dynamic_shared_bytes)?;
        // SAFETY: the same arguments were checked against the kernel's parameters by the host build, which ran before;
        // each pointer leads to eight bytes that live until the launch has copied them.
        unsafe {
            if shared > 48 << 10 {
                let attribute =
                    sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
                result::function::set_function_attribute(function, attribute, shared as i32)?;
            }
            let (grid, block) = (shape(launch.grid), shape(launch.block));
            result::launch_kernel(function, grid, block, shared, stream, &mut pointers)?;
        }
        Ok(())
    }

    /// What the driver calls the device.
    pub fn name(&self) -> Outcome<String> {
        Ok(self.context.name()?)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: loaded once and unloaded once. A failure would have no one to tell.
        let _ = unsafe { result::module::unload(self.module) };
    }
}

/// Device memory, freed when dropped.
pub struct Buffer<T: Element> {
    address: sys::CUdeviceptr,
    len: usize,
    context: Arc<CudaContext>,
    element: PhantomData<T>,
}

impl<T: Element> Buffer<T> {
    pub fn at(&self, offset: usize) -> Arg {
        Arg::Pointer(self.address + (offset * size_of::<T>()) as u64)
    }

    pub fn read(&self) -> Outcome<Vec<T>> {
        let mut host = vec![T::default(); self.len];
        // SAFETY: the buffer holds `len` elements, and any bits are a value of these number types.
        unsafe { result::memcpy_dtoh_sync(&mut host, self.address) }?;
        Ok(host)
    }
}

impl<T: Element> Drop for Buffer<T> {
    fn drop(&mut self) {
        let _ = self.context.bind_to_thread();
        // SAFETY: allocated once and freed once, after every synchronous launch.
        let _ = unsafe { result::free_sync(self.address) };
    }
}

//! Typed kernel launches: the arguments of a launch are a struct with the fields of the kernel's signature.

use super::arguments::{Argument, Kernel, Variant};
use super::{CudaDevice, fault};
use crate::{Error, Result};
use cudarc::driver::{result, sys};
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

/// Threads of a block where a kernel leaves the choice.
const THREADS: u32 = 256;
/// Blocks a multiprocessor has to itself at most: eight of 256 threads fill it, twice as many even out the end.
const BLOCKS_EACH: u32 = 16;

/// The shape of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Blocks in x, y and z.
    pub blocks: [usize; 3],
    /// Threads of a block in x, y and z.
    pub threads: [u32; 3],
    /// Dynamic shared memory of a block, in bytes.
    pub shared: usize,
}

impl Grid {
    /// `x` blocks of 256 threads.
    pub fn blocks(x: usize) -> Self {
        Grid::tiles([x, 1, 1])
    }

    /// Blocks of 256 threads in three dimensions.
    pub fn tiles(blocks: [usize; 3]) -> Self {
        Grid { blocks, threads: [THREADS, 1, 1], shared: 0 }
    }

    /// With blocks of this shape.
    pub fn of(self, threads: [u32; 3]) -> Self {
        Grid { threads, ..self }
    }
}

/// The loaded module, and its kernels as far as they have been asked for.
pub(super) struct Kernels {
    module: sys::CUmodule,
    functions: Mutex<HashMap<String, Function>>,
}

#[derive(Clone, Copy)]
struct Function(sys::CUfunction);

// SAFETY: modules and functions may be used from any thread that has their context (CUDA driver API).
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Send for Kernels {}
// SAFETY: as above; the map is behind a lock.
unsafe impl Sync for Kernels {}

impl Kernels {
    /// Loads a fatbin into the context of this thread.
    pub fn load(fatbin: &[u8]) -> Result<Self> {
        // SAFETY: nvcc made the bytes: the build embedded them, or the creator of a `Module` vouches for it. The driver copies
        // what it needs.
        let module =
            unsafe { result::module::load_data(fatbin.as_ptr().cast()) }.map_err(fault("loading kernels"))?;
        Ok(Kernels { module, functions: Mutex::default() })
    }

    fn find(&self, name: &str, shared: usize) -> Result<Function> {
        let mut functions = self.functions.lock().expect("the lock is never held across a panic");
        let function = match functions.get(name) {
            Some(&function) => function,
            None => {
                let symbol =
                    CString::new(name).map_err(|_| Error::Device(format!("kernel {name}: no name")))?;
                // SAFETY: the module is loaded as long as this lives.
                let function = unsafe { result::module::get_function(self.module, symbol) }
                    .map_err(fault(&format!("finding the kernel {name}")))?;
                functions.insert(name.into(), Function(function));
                Function(function)
            }
        };
        // What every chip grants without being asked.
        if shared > 48 << 10 {
            let bytes = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function is of a loaded module.
            unsafe { result::function::set_function_attribute(function.0, bytes, shared as i32) }.map_err(
                fault(&format!("asking for {shared} bytes of shared memory for the kernel {name}")),
            )?;
        }
        Ok(function)
    }
}

impl Drop for Kernels {
    fn drop(&mut self) {
        // SAFETY: loaded by `load`, and nobody launches any more. There is nobody to tell of an error.
        let _ = unsafe { result::module::unload(self.module) };
    }
}

impl CudaDevice {
    /// Enqueues a kernel.
    ///
    /// # Errors
    /// Pointers whose element types no variant of the kernel takes; a size that no `int` holds; what the driver says.
    pub(crate) fn launch<K: Kernel>(&self, grid: Grid, kernel: K) -> Result<()> {
        let arguments = kernel.arguments();
        let name = Variant::of::<K>(arguments.as_ref())?;
        self.enqueue(&self.kernels, grid, name, arguments.as_ref())
    }

    /// Enqueues the kernel `kernel` of a loaded module. The arguments are those of its parameters, in their order: the callers
    /// have checked them against the kernel's signature.
    pub(super) fn enqueue(
        &self,
        kernels: &Kernels,
        grid: Grid,
        kernel: &str,
        arguments: &[Argument],
    ) -> Result<()> {
        self.bind()?;
        let function = kernels.find(kernel, grid.shared)?;
        let mut words = arguments
            .iter()
            .map(|argument| match *argument {
                Argument::Pointer(address) => Ok(address.map_or(0, |address| address.word)),
                Argument::Word(word) => Ok(word),
                Argument::Size(size) => Ok(size as u64),
                Argument::Float(number) => Ok(u64::from(number.to_bits())),
                Argument::Int(size) => match i32::try_from(size) {
                    Ok(int) => Ok(int as u64),
                    Err(_) => Err(too_large(kernel, size)),
                },
            })
            .collect::<Result<Vec<u64>>>()?;
        let [x, y, z] = grid.blocks;
        let limits = [i32::MAX as usize, 65_535, 65_535];
        if let Some((size, _)) = grid.blocks.iter().zip(limits).find(|(size, limit)| *size > limit) {
            return Err(too_large(kernel, *size));
        }
        let blocks = (x as u32, y as u32, z as u32);
        let [tx, ty, tz] = grid.threads;
        let mut pointers: Vec<*mut c_void> =
            words.iter_mut().map(|word| std::ptr::from_mut(word).cast()).collect();
        // SAFETY: number, order and types of the arguments are those of the kernel's parameters, which were read from its
        // source; each pointer leads to eight bytes, as long as any parameter, that live until the driver has copied
        // them. A kernel of this crate stays within its buffers, as the tests with softcuda check for every launch; for other
        // kernels the caller of `launch_from` vouches.
        unsafe {
            result::launch_kernel(
                function.0,
                blocks,
                (tx, ty, tz),
                grid.shared as u32,
                self.stream.0,
                &mut pointers,
            )
        }
        .map_err(fault(&format!("starting the kernel {kernel}")))?;
        self.launches.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The grid of a kernel whose threads stride over `n` elements, `each` at a time. Each element is on its own, so the
    /// number of blocks does not show in the result and may follow the chip.
    pub fn flat(&self, n: usize, each: usize) -> Grid {
        let most = (self.multiprocessors() * BLOCKS_EACH) as usize;
        Grid::blocks(n.div_ceil(each * THREADS as usize).clamp(1, most))
    }
}

fn too_large(kernel: &str, size: usize) -> Error {
    Error::Device(format!("kernel {kernel}: a size of {size} is more than it can take; use smaller batches"))
}

//! Starting a kernel by its name.

use super::{CudaDevice, fault};
use crate::tensor::Tensor;
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

/// The name of a kernel for elements of one type of activations.
macro_rules! kernel {
    ($stem:literal, $dtype:expr) => {
        match $dtype {
            $crate::tensor::DType::BF16 => concat!($stem, "_bf16"),
            _ => concat!($stem, "_f32"),
        }
    };
}
pub(crate) use kernel;

/// An argument of a kernel.
#[derive(Clone, Copy, Debug)]
pub enum Arg {
    /// A device address; 0 is null.
    Address(u64),
    /// `int`, from a number that is never negative: a size, a flag.
    Int(usize),
    /// `size_t`.
    Size(usize),
    /// `uint64_t`.
    Word(u64),
    /// `float`.
    Float(f32),
}

impl Arg {
    /// The null pointer.
    pub const NULL: Arg = Arg::Address(0);

    /// A flag as an `int`.
    pub fn flag(value: bool) -> Arg {
        Arg::Int(usize::from(value))
    }

    /// A tensor that is read if there is one, else null.
    pub fn or_null(tensor: Option<&Tensor>) -> Arg {
        tensor.map_or(Arg::NULL, Arg::from)
    }

    /// A tensor that is written although others hold its memory: the whole of what parameters are parts of, and state
    /// of the device that steps change one after the other.
    pub fn shared(tensor: &Tensor) -> Arg {
        Arg::Address(tensor.cuda().address())
    }
}

/// A tensor that is read.
impl From<&Tensor> for Arg {
    fn from(tensor: &Tensor) -> Arg {
        Arg::Address(tensor.cuda().address())
    }
}

/// A tensor that is written.
impl From<&mut Tensor> for Arg {
    fn from(tensor: &mut Tensor) -> Arg {
        Arg::Address(tensor.cuda_mut().address())
    }
}

/// The loaded module, and its kernels as far as they have been asked for.
pub(super) struct Kernels {
    module: sys::CUmodule,
    functions: Mutex<HashMap<&'static str, Function>>,
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
    pub fn load(fatbin: &'static [u8]) -> Result<Self> {
        // SAFETY: the bytes are what nvcc made, embedded by the build; the driver copies what it needs.
        let module = unsafe { result::module::load_data(fatbin.as_ptr().cast()) }
            .map_err(fault("loading the embedded kernels"))?;
        Ok(Kernels { module, functions: Mutex::default() })
    }

    fn find(&self, name: &'static str, shared: usize) -> Result<Function> {
        let mut functions = self.functions.lock().expect("the lock is never held across a panic");
        let function = match functions.get(name) {
            Some(&function) => function,
            None => {
                let symbol =
                    CString::new(name).map_err(|_| Error::Device(format!("kernel {name}: no name")))?;
                // SAFETY: the module is loaded as long as this lives.
                let function = unsafe { result::module::get_function(self.module, symbol) }
                    .map_err(fault(&format!("finding the kernel {name}")))?;
                functions.insert(name, Function(function));
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
    /// Enqueues a kernel. Its parameters must be of the arguments' types, in their order.
    ///
    /// # Errors
    /// A size that no `int` holds; what the driver says.
    pub(crate) fn launch(&self, kernel: &'static str, grid: Grid, args: &[Arg]) -> Result<()> {
        self.bind()?;
        let function = self.kernels.find(kernel, grid.shared)?;
        let mut values = Vec::with_capacity(args.len());
        for &arg in args {
            values.push(match arg {
                Arg::Address(word) | Arg::Word(word) => word,
                Arg::Size(size) => size as u64,
                Arg::Float(number) => u64::from(number.to_bits()),
                Arg::Int(size) => match i32::try_from(size) {
                    Ok(int) => int as u64,
                    Err(_) => return Err(too_large(kernel, size)),
                },
            });
        }
        let [x, y, z] = grid.blocks;
        let limits = [i32::MAX as usize, 65_535, 65_535];
        if let Some((size, _)) = grid.blocks.iter().zip(limits).find(|(size, limit)| *size > limit) {
            return Err(too_large(kernel, *size));
        }
        let blocks = (x as u32, y as u32, z as u32);
        let [tx, ty, tz] = grid.threads;
        // Behind the last argument a null pointer, by which softcuda sees a missing one.
        let mut pointers: Vec<*mut c_void> =
            values.iter_mut().map(|v| std::ptr::from_mut(v).cast()).collect();
        pointers.push(std::ptr::null_mut());
        // SAFETY: there is a pointer for each parameter, to eight bytes, as long as any parameter of our kernels, that live
        // until the driver has copied them. That number, order and sizes are the kernel's, and that it stays within its
        // buffers, is what the tests with softcuda check for every launch of this crate.
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
    pub(crate) fn flat(&self, n: usize, each: usize) -> Grid {
        let most = (self.multiprocessors() * BLOCKS_EACH) as usize;
        Grid::blocks(n.div_ceil(each * THREADS as usize).clamp(1, most))
    }
}

fn too_large(kernel: &str, size: usize) -> Error {
    Error::Device(format!("kernel {kernel}: a size of {size} is more than it can take; use smaller batches"))
}

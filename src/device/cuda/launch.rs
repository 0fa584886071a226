//! Kernel launches. The arguments of a launch are a struct with the fields of the kernel's signature.
//!
//! Book: [chapter 14](../../../../../../docs/book/src/14-launches.md).

use super::arguments::{Address, Argument, Kernel, Variant};
use super::driver::{Api, Handle, MAX_DYNAMIC_SHARED_SIZE_BYTES};
use super::signature;
use super::streams::Use;
use super::{CudaDevice, Lane};
use crate::{Error, Result};
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::ptr;
use std::sync::Mutex;

/// Threads per block, for kernels that accept any block size.
const THREADS: u32 = 256;
/// The most blocks per multiprocessor: eight blocks of 256 threads fill it, twice as many balance the last wave.
const BLOCKS_EACH: usize = 16;

/// The grid and block dimensions of a launch, and its shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Blocks in x, y and z.
    pub blocks: [usize; 3],
    /// Threads per block in x, y and z.
    pub threads: [u32; 3],
    /// Dynamic shared memory per block, in bytes.
    pub shared: usize,
}

impl Grid {
    /// A one-dimensional grid: `x` blocks of 256 threads.
    pub fn blocks(x: usize) -> Self {
        Grid::tiles([x, 1, 1])
    }

    /// A three-dimensional grid of blocks of 256 threads.
    pub fn tiles(blocks: [usize; 3]) -> Self {
        Grid { blocks, threads: [THREADS, 1, 1], shared: 0 }
    }

    /// The same grid with blocks of `threads`.
    pub fn of(self, threads: [u32; 3]) -> Self {
        Grid { threads, ..self }
    }

    /// A block for each image of features `[m, d]` and slice of its features. Blocks are small, since a batch has only
    /// 16 images.
    pub fn over_features(m: usize, d: usize) -> Self {
        const THREADS: u32 = 64;
        let each = if d.is_multiple_of(4) { 4 } else { 1 };
        Grid::tiles([m, d.div_ceil(THREADS as usize * each), 1]).of([THREADS, 1, 1])
    }
}

/// The loaded module of kernels, with a cache of the functions looked up so far.
pub(super) struct Kernels {
    api: &'static Api,
    module: Handle,
    functions: Mutex<HashMap<String, Function>>,
}

#[derive(Clone, Copy)]
struct Function(Handle);

// SAFETY: modules and functions may be used from any thread that has their context (CUDA driver API).
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Send for Kernels {}
// SAFETY: as above; the map is behind a lock.
unsafe impl Sync for Kernels {}

impl Kernels {
    /// Loads a fatbin into the current context.
    pub fn load(api: &'static Api, fatbin: &[u8]) -> Result<Self> {
        let mut module = ptr::null_mut();
        // SAFETY: the bytes are a fatbin made by nvcc: the build embedded it, or the creator of a `Module` guarantees
        // it. The driver copies what it needs.
        let status = unsafe { (api.cuModuleLoadData)(&raw mut module, fatbin.as_ptr().cast()) };
        api.check(status, "loading kernels")?;
        Ok(Kernels { api, module, functions: Mutex::default() })
    }

    fn find(&self, name: &str, shared: usize) -> Result<Function> {
        let mut functions = self.functions.lock().expect("the lock is never held across a panic");
        let function = match functions.get(name) {
            Some(&function) => function,
            None => {
                let symbol = CString::new(name)
                    .map_err(|_| Error::Device(format!("kernel {name}: a NUL in its name")))?;
                let mut function = ptr::null_mut();
                // SAFETY: the module stays loaded until `self` is dropped; one value is written, to a variable of its
                // type.
                let status = unsafe {
                    (self.api.cuModuleGetFunction)(&raw mut function, self.module, symbol.as_ptr())
                };
                self.api.check(status, &format!("finding the kernel {name}"))?;
                functions.insert(name.into(), Function(function));
                Function(function)
            }
        };
        // Up to 48 KiB need no attribute on any chip.
        if shared > 48 << 10 {
            let bytes = i32::try_from(shared).map_err(|_| too_large(name, shared, i32::MAX as usize))?;
            // SAFETY: the function belongs to the loaded module.
            let status =
                unsafe { (self.api.cuFuncSetAttribute)(function.0, MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes) };
            let doing = format!("reserving {shared} bytes of shared memory for the kernel {name}");
            self.api.check(status, &doing)?;
        }
        Ok(function)
    }
}

impl Drop for Kernels {
    fn drop(&mut self) {
        // SAFETY: `load` loaded the module, and no launch can follow. A destructor cannot return an error.
        let _ = unsafe { (self.api.cuModuleUnload)(self.module) };
    }
}

impl CudaDevice {
    /// Enqueues a kernel.
    ///
    /// # Errors
    /// Element types that no variant of the kernel takes; a size beyond the range of `int`, a grid beyond the limits of
    /// CUDA; a CUDA driver error.
    pub(crate) fn launch<K: Kernel>(&self, grid: Grid, kernel: K) -> Result<()> {
        let arguments = kernel.arguments();
        let name = Variant::of::<K>(arguments.as_ref())?;
        self.enqueue(&self.kernels, grid, name, arguments.as_ref())
    }

    /// Enqueues a kernel whose blocks run at the same time, and may wait for each other.
    ///
    /// # Errors
    /// As [`CudaDevice::launch`]; more blocks than run at once ([`CudaDevice::resident_blocks`]).
    pub(super) fn launch_cooperative<K: Kernel>(&self, grid: Grid, kernel: K) -> Result<()> {
        let arguments = kernel.arguments();
        let name = Variant::of::<K>(arguments.as_ref())?;
        self.enqueue_in(Lane::Main, true, &self.kernels, grid, name, arguments.as_ref())
    }

    /// The number of blocks of this grid that one multiprocessor holds at once, 0 if a block is too large.
    pub(super) fn resident_blocks(&self, kernel: &str, grid: Grid) -> Result<usize> {
        self.bind()?;
        let function = self.kernels.find(kernel, grid.shared)?;
        // Without loss: a block has at most 1,024 threads.
        let threads = grid.threads.iter().product::<u32>() as i32;
        let mut blocks = 0;
        // SAFETY: the function belongs to the loaded module; one value is written, to a variable of its type.
        let status = unsafe {
            let occupancy = self.driver.cuOccupancyMaxActiveBlocksPerMultiprocessor;
            occupancy(&raw mut blocks, function.0, threads, grid.shared)
        };
        self.driver
            .check(status, &format!("asking for the blocks of the kernel {kernel} that run at once"))?;
        Ok(blocks.unsigned_abs() as usize)
    }

    /// As [`CudaDevice::launch`], in a stream of choice.
    ///
    /// # Errors
    /// As [`CudaDevice::launch`].
    pub(crate) fn launch_in<K: Kernel>(&self, lane: Lane, grid: Grid, kernel: K) -> Result<()> {
        let arguments = kernel.arguments();
        let name = Variant::of::<K>(arguments.as_ref())?;
        self.enqueue_in(lane, false, &self.kernels, grid, name, arguments.as_ref())
    }

    /// Enqueues the kernel `kernel` of a loaded module. The arguments are those of its parameters, in their order: the
    /// callers have checked them against the kernel's signature.
    pub(super) fn enqueue(
        &self,
        kernels: &Kernels,
        grid: Grid,
        kernel: &str,
        arguments: &[Argument],
    ) -> Result<()> {
        self.enqueue_in(Lane::Main, false, kernels, grid, kernel, arguments)
    }

    fn enqueue_in(
        &self,
        lane: Lane,
        cooperative: bool,
        kernels: &Kernels,
        grid: Grid,
        kernel: &str,
        arguments: &[Argument],
    ) -> Result<()> {
        self.bind()?;
        let pointers = arguments.iter().filter_map(|argument| match argument {
            Argument::Pointer(address) => *address,
            _ => None,
        });
        let uses: Vec<Use> = pointers.clone().map(Address::usage).collect();
        self.check_owner(format_args!("kernel {kernel}"), pointers)?;
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
                    Err(_) => Err(too_large(kernel, size, i32::MAX as usize)),
                },
            })
            .collect::<Result<Vec<u64>>>()?;
        let limits = [i32::MAX as usize, 65_535, 65_535];
        if let Some((size, limit)) = grid.blocks.iter().zip(limits).find(|(size, limit)| *size > limit) {
            return Err(too_large(kernel, *size, limit));
        }
        // Without loss: each is within its limit.
        let [x, y, z] = grid.blocks.map(|size| size as u32);
        let shared =
            u32::try_from(grid.shared).map_err(|_| too_large(kernel, grid.shared, u32::MAX as usize))?;
        let [tx, ty, tz] = grid.threads;
        let mut pointers: Vec<*mut c_void> =
            words.iter_mut().map(|word| ptr::from_mut(word).cast()).collect();
        let launch = |stream| {
            // ANCHOR: call
            // SAFETY: number, order and types of the arguments are those of the kernel's parameters, which were read
            // from its source. Each pointer points to eight bytes, the size of the longest parameter, which live until
            // the driver has copied them. A kernel of this crate stays within its buffers, which the tests with
            // softcuda check; for kernels of other crates the caller of `launch_from` guarantees it.
            let status = unsafe {
                let (driver, function, pointers) = (self.driver, function.0, pointers.as_mut_ptr());
                if cooperative {
                    let launch = driver.cuLaunchCooperativeKernel;
                    launch(function, x, y, z, tx, ty, tz, shared, stream, pointers)
                } else {
                    let launch = driver.cuLaunchKernel;
                    launch(function, x, y, z, tx, ty, tz, shared, stream, pointers, ptr::null_mut())
                }
            };
            // ANCHOR_END: call
            self.driver.check(status, &format!("starting the kernel {kernel}"))
        };
        self.streams.enqueue(lane, &uses, launch)?;
        self.note_launch(signature::stem(kernel), || [uses.iter().map(Use::bytes).sum(), 0])
    }

    /// The grid of an element-wise kernel with a grid-stride loop over `n` elements, `each` per thread and step. The
    /// number of blocks does not affect the result, so it follows the number of multiprocessors.
    pub fn flat(&self, n: usize, each: usize) -> Grid {
        let most = self.multiprocessors() * BLOCKS_EACH;
        Grid::blocks(n.div_ceil(each * THREADS as usize).clamp(1, most))
    }
}

fn too_large(kernel: &str, size: usize, limit: usize) -> Error {
    Error::Device(format!(
        "kernel {kernel}: a size of {size} exceeds the limit of {limit}; use smaller batches"
    ))
}

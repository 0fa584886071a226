//! The pool of device memory: what is freed is kept for the next asker.
//!
//! Freeing through the driver waits for the device, and a training step asks for the same few hundred buffers each
//! time. Since all work is in one stream, memory may be handed on as soon as its last user has been enqueued.
//!
//! There are two regions. What is allocated inside of a step comes from the step's own, so that a recorded step,
//! which has its addresses built in, never finds there what somebody else keeps between two steps. That holds for one
//! run at a time on a device: while a recorded step lives, no other run may begin one ([`CudaDevice::enter_step`]).

use super::CudaDevice;
use crate::console::Bytes;
use crate::element::{DType, Shape};
use crate::{Error, Result};
use cudarc::driver::{result, sys};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

/// Small sizes are rounded up to this many bytes, so that nearly equal ones share memory.
const SMALL_GRAIN: usize = 512;
/// Sizes from here on are rounded to `LARGE_GRAIN`.
const LARGE: usize = 1 << 20;
/// The driver maps memory in pieces of this size.
const LARGE_GRAIN: usize = 2 << 20;

/// What a buffer is for, to be named when there is no room for it.
#[derive(Clone, Debug)]
pub enum Label {
    /// A tensor, and where in the sources it is asked for.
    Tensor(&'static Location<'static>, Shape, DType),
    /// Memory that is no tensor.
    Other(&'static str),
}

impl Label {
    /// The tensor that the calling file asks for; an operation's file is called like the operation.
    #[track_caller]
    pub fn of_caller(shape: Shape, dtype: DType) -> Self {
        Label::Tensor(Location::caller(), shape, dtype)
    }

    /// Memory that is no tensor.
    pub(super) fn of(what: &'static str) -> Self {
        Label::Other(what)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, shape, dtype) = match self {
            Label::Tensor(place, shape, dtype) => (place, shape, dtype),
            Label::Other(what) => return f.write_str(what),
        };
        let file = Path::new(place.file());
        let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = match stem(file) {
            // src/ops/conv2d/cuda.rs
            Some(name) if ["cuda", "mod"].contains(&name.as_str()) => file.parent().and_then(stem),
            other => other,
        };
        write!(f, "{dtype:?} {shape} of {}", name.unwrap_or_default())
    }
}

/// Memory that is no part of the pool, for as long as the device lives.
#[derive(Debug)]
pub(super) struct FixedBlock(u64);

impl FixedBlock {
    /// Of the context of this thread.
    pub fn new(bytes: usize) -> Result<Self> {
        // SAFETY: nothing is assumed of what the memory holds.
        let address = unsafe { result::malloc_sync(bytes) };
        if is_out_of_memory(&address) {
            let tensor = "the workspace of cuBLAS".into();
            let detail = format!("it takes {}; end other programs on the GPU", Bytes(bytes));
            return Err(Error::OutOfMemory { tensor, detail });
        }
        address.map(FixedBlock).map_err(super::fault("asking for GPU memory"))
    }

    pub fn address(&self) -> u64 {
        self.0
    }
}

impl Drop for FixedBlock {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`; the device has waited for its stream before it drops this. An error is of earlier
        // work, and there is nobody left to tell.
        let _ = unsafe { result::free_sync(self.0) };
    }
}

/// Which part of the pool a block belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Region {
    General,
    Step,
}

/// A piece of device memory as the driver gave it.
#[derive(Debug)]
pub(super) struct Block {
    pub address: u64,
    bytes: usize,
    region: Region,
}

/// How much memory is in use, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Now.
    pub current: usize,
    /// At most so far.
    pub peak: usize,
    /// Asked of the driver and not given back: in use or kept for the next asker.
    pub held: usize,
}

#[derive(Debug)]
struct State {
    /// Free addresses by size, of each region.
    free: [BTreeMap<usize, Vec<u64>>; 2],
    region: Region,
    usage: Usage,
    /// How often the driver was asked for memory.
    growth: u64,
    /// Recorded steps that live: their region is not given back.
    graphs: usize,
    is_recording: bool,
}

/// The memory of one device.
#[derive(Debug)]
pub(super) struct Pool(Mutex<State>);

impl Default for Pool {
    fn default() -> Self {
        Pool(Mutex::new(State {
            free: [BTreeMap::new(), BTreeMap::new()],
            region: Region::General,
            usage: Usage::default(),
            growth: 0,
            graphs: 0,
            is_recording: false,
        }))
    }
}

fn rounded(bytes: usize) -> usize {
    let grain = if bytes < LARGE { SMALL_GRAIN } else { LARGE_GRAIN };
    bytes.max(1).next_multiple_of(grain)
}

impl State {
    /// The smallest free block that fits without wasting more than a quarter of it.
    fn reuse(&mut self, size: usize) -> Option<Block> {
        let free = &mut self.free[self.region as usize];
        let (&found, blocks) = free.range_mut(size..=size.saturating_add(size / 4).max(size)).next()?;
        let address = blocks.pop()?;
        if blocks.is_empty() {
            free.remove(&found);
        }
        Some(Block { address, bytes: found, region: self.region })
    }

    /// Gives back to the driver what nobody uses.
    ///
    /// To be called when the stream has been waited for.
    fn release(&mut self) {
        let kept = usize::from(self.graphs > 0);
        for free in &mut self.free[..2 - kept] {
            for (bytes, addresses) in std::mem::take(free) {
                for address in addresses {
                    // SAFETY: the address came from the driver and is in no buffer, and the work that used it is done. An
                    // error here is one of earlier work, which the next call reports again.
                    let _ = unsafe { result::free_sync(address) };
                    self.usage.held -= bytes;
                }
            }
        }
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("the pool's lock is never held across a panic")
    }

    pub fn put_back(&self, block: &Block) {
        let mut state = self.lock();
        state.usage.current -= block.bytes;
        state.free[block.region as usize].entry(block.bytes).or_default().push(block.address);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.lock();
        state.graphs = 0;
        state.release();
    }
}

impl CudaDevice {
    /// At least `bytes` bytes at a multiple of 256; they hold anything.
    pub(super) fn alloc(&self, bytes: usize, label: &Label) -> Result<Block> {
        let size = rounded(bytes);
        let mut state = self.pool.lock();
        let block = match state.reuse(size) {
            Some(block) => block,
            None => {
                if state.is_recording {
                    return Err(Error::Device(format!(
                        "{}: a recorded step asks for memory that the steps before it did not; this is a bug of bcreid, \
                         --no-graph goes around it",
                        label
                    )));
                }
                self.bind()?;
                // SAFETY: nothing is assumed of what the memory holds.
                let mut address = unsafe { result::malloc_sync(size) };
                if is_out_of_memory(&address) {
                    self.synchronize()?;
                    state.release();
                    // SAFETY: as above.
                    address = unsafe { result::malloc_sync(size) };
                }
                if is_out_of_memory(&address) {
                    return Err(self.out_of_memory(label, size, state.usage));
                }
                let address = address.map_err(super::fault("asking for GPU memory"))?;
                state.usage.held += size;
                state.growth += 1;
                Block { address, bytes: size, region: state.region }
            }
        };
        state.usage.current += block.bytes;
        state.usage.peak = state.usage.peak.max(state.usage.current);
        Ok(block)
    }

    fn out_of_memory(&self, label: &Label, size: usize, usage: Usage) -> Error {
        let others = result::mem_get_info()
            .map_or(String::new(), |(free, total)| format!(", {} of {} are free", Bytes(free), Bytes(total)));
        let narrower = match self.precision().activations() {
            DType::BF16 => "",
            _ => ", take --precision bf16",
        };
        Error::OutOfMemory {
            tensor: label.to_string(),
            detail: format!(
                "it takes {}, this program uses {} (at most {} so far){others}; lower solver.batch (--batch where \
                 features are extracted) or input.height and input.width{narrower}, or end other programs on the GPU",
                Bytes(size),
                Bytes(usage.current),
                Bytes(usage.peak)
            ),
        }
    }

    /// How much memory is in use.
    pub fn usage(&self) -> Usage {
        self.pool.lock().usage
    }

    /// Bytes of the device that nobody has: neither this program nor another.
    ///
    /// # Errors
    /// What the driver says.
    pub fn free_memory(&self) -> Result<usize> {
        self.bind()?;
        Ok(result::mem_get_info().map_err(super::fault("asking for the GPU's memory"))?.0)
    }

    /// How often the driver has been asked for memory so far.
    pub(crate) fn memory_growth(&self) -> u64 {
        self.pool.lock().growth
    }

    /// Until the result is dropped memory comes from the step's region.
    ///
    /// # Errors
    /// If a recorded step of another run lives on this device: the two would overwrite each other's memory.
    pub(crate) fn enter_step(&self) -> Result<StepRegion<'_>> {
        let mut state = self.pool.lock();
        if state.graphs > 0 {
            return Err(Error::Device(
                "another run on this device object has recorded its step; end it first, or open the device anew".into(),
            ));
        }
        state.region = Region::Step;
        Ok(StepRegion(&self.pool))
    }

    /// Until the result is dropped the pool does not grow.
    pub(super) fn forbid_growth(&self) -> NoGrowth<'_> {
        self.pool.lock().is_recording = true;
        NoGrowth(&self.pool)
    }

    /// A recorded step begins or ends to live.
    pub(super) fn count_graphs(&self, begins: bool) {
        let mut state = self.pool.lock();
        state.graphs = if begins { state.graphs + 1 } else { state.graphs.saturating_sub(1) };
    }
}

/// While it lives memory comes from the step's region.
pub(crate) struct StepRegion<'a>(&'a Pool);

impl Drop for StepRegion<'_> {
    fn drop(&mut self) {
        self.0.lock().region = Region::General;
    }
}

/// While it lives the pool does not grow.
pub(super) struct NoGrowth<'a>(&'a Pool);

impl Drop for NoGrowth<'_> {
    fn drop(&mut self) {
        self.0.lock().is_recording = false;
    }
}

fn is_out_of_memory(answer: &std::result::Result<u64, cudarc::driver::DriverError>) -> bool {
    matches!(answer, Err(error) if error.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_to_what_the_driver_maps() {
        assert_eq!([0, 1, 512, 513].map(rounded), [512, 512, 512, 1024]);
        assert_eq!([LARGE - 1, LARGE, LARGE_GRAIN + 1].map(rounded), [LARGE, LARGE_GRAIN, 2 * LARGE_GRAIN]);
    }

    #[test]
    fn a_tensor_is_named_by_who_asks_for_it() {
        let label = Label::of_caller(Shape::from([2, 3]), DType::F32);
        assert_eq!(label.to_string(), "F32 [2, 3] of memory");
    }
}

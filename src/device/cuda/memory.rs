//! Caching allocator of device memory: freed blocks are reused.
//!
//! Freeing through the driver waits for the device, and every training step allocates the same few hundred buffers. A
//! block that only the main stream has used can be reused as soon as its last use has been enqueued. A block that work
//! of the side stream uses *waits* when it is freed: the main stream reuses it once it has waited for that work
//! ([`super::streams`]), and the side stream itself, which runs its work in order, at once. What may be reused
//! therefore depends on the order of calls alone, never on the progress of the GPU, so a captured step finds the memory
//! of the steps before it. (PyTorch's allocator asks events of the GPU instead, and during a capture reuses no such
//! block.) The main stream waits for old side work when more than [`WAITING_LIMIT`] bytes wait.
//!
//! The pool has two regions. Allocations inside of a step, on the thread of the step, come from the step's region, so
//! that a captured step, whose addresses are fixed, never overwrites a buffer that lives between two steps. This holds
//! for one run at a time on a device: while a step runs or a captured step exists, no other run can begin one
//! ([`CudaDevice::enter_step`]).
//!
//! A captured step owns all blocks that were in use when it was captured: those that are dropped later stay unused
//! until the captured step is dropped.
//!
//! Book: [chapter 15](../../../../../../docs/book/src/15-memory-streams.md).

mod label;
mod step;
mod waiting;

pub use label::Label;
pub(crate) use step::StepRegion;

use super::driver::{Api, OUT_OF_MEMORY};
use super::{CudaDevice, Lane};
use crate::console::Bytes;
use crate::element::DType;
use crate::error::Remedy;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::thread::{self, ThreadId};
use waiting::Waiting;

/// Sizes below `LARGE` are rounded up to this many bytes, so that nearly equal sizes share blocks.
const SMALL_GRAIN: usize = 512;
/// Sizes from here on are rounded up to `LARGE_GRAIN`.
const LARGE: usize = 1 << 20;
/// The driver's granularity of memory mappings, in bytes.
const LARGE_GRAIN: usize = 2 << 20;

/// The most bytes of freed blocks that wait for the side stream, which bounds how far it may fall behind: the inputs
/// and the gradients of nine convolutions of ResNet-50 where they are largest (21 MB each, with 16 images of 256 x 128
/// pixels in bfloat16).
const WAITING_LIMIT: usize = 192 << 20;

/// Device memory outside of the pool, allocated for the life of the device.
pub(super) struct FixedBlock {
    driver: &'static Api,
    address: u64,
}

impl FixedBlock {
    /// Allocates `bytes` bytes in the current context.
    pub fn new(driver: &'static Api, bytes: usize) -> Result<Self> {
        let Some(address) = malloc(driver, bytes)? else {
            let tensor = "the workspace of cuBLAS".into();
            let detail = format!("it takes {}; end other programs on the GPU", Bytes(bytes));
            return Err(Error::OutOfMemory { tensor, detail });
        };
        Ok(FixedBlock { driver, address })
    }

    pub fn address(&self) -> u64 {
        self.address
    }
}

impl Drop for FixedBlock {
    fn drop(&mut self) {
        // SAFETY: `new` allocated the memory; the device waits for its stream before it drops this field. A destructor
        // cannot return an error.
        let _ = unsafe { (self.driver.cuMemFree_v2)(self.address) };
    }
}

/// The part of the pool that a block belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Region {
    General,
    Step,
}

/// A block of device memory as the driver allocated it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub address: u64,
    bytes: usize,
    region: Region,
    /// The number of allocations before this one.
    serial: u64,
}

impl Block {
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The memory usage of a device, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The bytes in use now.
    pub current: usize,
    /// The largest value of `current` so far.
    pub peak: usize,
    /// The bytes allocated from the driver: those in use and those of free blocks.
    pub held: usize,
    /// The largest number of bytes in freed blocks that waited for the second stream. They count as in use.
    pub waiting: usize,
}

#[derive(Debug)]
struct State {
    /// The addresses of free blocks by size, for each region.
    free: [BTreeMap<usize, Vec<u64>>; 2],
    /// The freed blocks that side work uses.
    waiting: Waiting,
    /// The thread that runs a step now.
    step: Option<ThreadId>,
    usage: Usage,
    /// The number of allocations.
    serial: u64,
    /// The number of driver allocations.
    growth: u64,
    /// The number of captured steps that exist; while there are any, the step's region is not freed.
    graphs: usize,
    is_capturing: bool,
    /// Blocks of the general region with a smaller serial number belong to the captured steps.
    owned_below: u64,
    /// The size and address of unused blocks that belong to the captured steps.
    retained: Vec<(usize, u64)>,
}

/// The memory pool of one device.
pub(super) struct Pool {
    driver: &'static Api,
    state: Mutex<State>,
}

/// `bytes` in the driver's grains; a size that no memory has stays one.
fn rounded(bytes: usize) -> usize {
    let grain = if bytes < LARGE { SMALL_GRAIN } else { LARGE_GRAIN };
    bytes.max(1).checked_next_multiple_of(grain).unwrap_or(usize::MAX)
}

/// The size of the largest block that serves for `size` bytes.
fn most(size: usize) -> usize {
    size.saturating_add(size / 4)
}

/// Allocates memory through the driver; none if the device has not as much.
fn malloc(driver: &Api, bytes: usize) -> Result<Option<u64>> {
    let mut address = 0;
    // SAFETY: the function writes one value, to a variable of its type. The content of the memory is taken as
    // uninitialised.
    match unsafe { (driver.cuMemAlloc_v2)(&raw mut address, bytes) } {
        OUT_OF_MEMORY => Ok(None),
        status => driver.check(status, "allocating GPU memory").map(|()| Some(address)),
    }
}

impl State {
    /// The region of an allocation on this thread.
    fn region(&self) -> Region {
        match self.step {
            Some(thread) if thread == thread::current().id() => Region::Step,
            _ => Region::General,
        }
    }

    /// Takes a block of at least `size` bytes and at most a quarter more: for side work one that waits, if there is
    /// one, otherwise the smallest free one.
    fn reuse(&mut self, lane: Lane, size: usize) -> Option<Block> {
        let region = self.region();
        if lane == Lane::Side
            && let Some(block) = self.waiting.take(region, size..=most(size))
        {
            self.usage.current -= block.bytes;
            return Some(Block { serial: self.serial, ..block });
        }
        let free = &mut self.free[region as usize];
        let (&found, blocks) = free.range_mut(size..=most(size)).next()?;
        let address = blocks.pop()?;
        if blocks.is_empty() {
            free.remove(&found);
        }
        Some(Block { address, bytes: found, region, serial: self.serial })
    }

    /// Returns blocks to the free ones: those that wait for side work up to the number `joined`, for which the main
    /// stream has waited.
    fn settle(&mut self, joined: u64) {
        for block in self.waiting.settle(joined) {
            self.usage.current -= block.bytes;
            self.free[block.region as usize].entry(block.bytes).or_default().push(block.address);
        }
    }

    /// Frees the blocks that belonged to captured steps, if there is none any more.
    fn end_retention(&mut self) {
        if self.graphs == 0 && !self.is_capturing {
            for (bytes, address) in std::mem::take(&mut self.retained) {
                self.free[Region::General as usize].entry(bytes).or_default().push(address);
            }
        }
    }

    /// Frees all unused blocks through the driver. The caller has waited for the stream.
    fn release(&mut self, driver: &Api) {
        let kept = usize::from(self.graphs > 0);
        for free in &mut self.free[..2 - kept] {
            for (bytes, addresses) in std::mem::take(free) {
                for address in addresses {
                    // SAFETY: the driver allocated the block, no buffer uses it, and the work that used it is done. An
                    // error of earlier work is reported again by the next call.
                    let _ = unsafe { (driver.cuMemFree_v2)(address) };
                    self.usage.held -= bytes;
                }
            }
        }
    }
}

impl Pool {
    pub fn new(driver: &'static Api) -> Self {
        let state = State {
            free: [BTreeMap::new(), BTreeMap::new()],
            waiting: Waiting::default(),
            step: None,
            usage: Usage::default(),
            serial: 0,
            growth: 0,
            graphs: 0,
            is_capturing: false,
            owned_below: 0,
            retained: Vec::new(),
        };
        Pool { driver, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the pool's lock is never held across a panic")
    }

    /// Returns a block to its region's free blocks, or keeps it unused while it belongs to a captured step, or until
    /// the main stream has waited for the side work of number `side_use` (0: for none). A captured step uses blocks of
    /// its own region in each replay, and only there are they allocated again.
    // ANCHOR: put_back
    pub fn put_back(&self, block: &Block, side_use: u64) {
        let mut state = self.lock();
        let is_owned = state.is_capturing || (state.graphs > 0 && block.serial < state.owned_below);
        if block.region == Region::General && is_owned {
            state.retained.push((block.bytes, block.address));
        } else if side_use > 0 {
            // In use until then.
            state.waiting.add(side_use, *block);
            state.usage.waiting = state.usage.waiting.max(state.waiting.bytes());
            return;
        } else {
            state.free[block.region as usize].entry(block.bytes).or_default().push(block.address);
        }
        state.usage.current -= block.bytes;
    }
    // ANCHOR_END: put_back
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.lock();
        state.graphs = 0;
        state.settle(u64::MAX);
        state.end_retention();
        state.release(self.driver);
    }
}

impl CudaDevice {
    /// Allocates an uninitialised block of at least `bytes` bytes, aligned to 256 bytes, for work in a stream.
    pub(super) fn alloc(&self, lane: Lane, bytes: usize, label: &Label) -> Result<Block> {
        self.refuse_during_capture_elsewhere()?;
        let size = rounded(bytes);
        let mut state = self.pool.lock();
        state.settle(self.streams.joined());
        if let Some(number) = state.waiting.overdue(WAITING_LIMIT) {
            self.bind()?;
            self.streams.join_until(number)?;
            state.settle(self.streams.joined());
        }
        let block = match state.reuse(lane, size) {
            Some(block) => block,
            None => self.grow(&mut state, size, label)?,
        };
        state.serial += 1;
        state.usage.current += block.bytes;
        state.usage.peak = state.usage.peak.max(state.usage.current);
        Ok(block)
    }

    /// A block of `size` bytes for which there is none: from the driver, or else one that waits for side work, or else
    /// from the driver once it has all unused blocks back.
    fn grow(&self, state: &mut State, size: usize, label: &Label) -> Result<Block> {
        self.bind()?;
        let mut address = if state.is_capturing { None } else { malloc(self.driver, size)? };
        if address.is_none() && !state.waiting.is_empty() {
            self.streams.join()?;
            state.settle(self.streams.joined());
            if let Some(block) = state.reuse(Lane::Main, size) {
                return Ok(block);
            }
        }
        if address.is_none() && state.is_capturing {
            return Err(Error::Device(format!(
                "{label}: a captured step needs memory that the steps before it did not need; this is a bug of bcreid, \
                 please report it"
            ))
            .with_remedies([Remedy::WithoutCapture]));
        }
        if address.is_none() {
            self.synchronize()?;
            state.release(self.driver);
            address = malloc(self.driver, size)?;
        }
        let Some(address) = address else {
            return Err(self.out_of_memory(label, size, state.usage));
        };
        state.usage.held += size;
        state.growth += 1;
        Ok(Block { address, bytes: size, region: state.region(), serial: state.serial })
    }

    fn out_of_memory(&self, label: &Label, size: usize, usage: Usage) -> Error {
        let others = self
            .memory()
            .map_or(String::new(), |(free, total)| format!(", {} of {} are free", Bytes(free), Bytes(total)));
        let mut remedies = vec![Remedy::SmallerBatch];
        if self.precision().activations() != DType::BF16 {
            remedies.push(Remedy::Precision("bf16".into()));
        }
        let error = Error::OutOfMemory {
            tensor: label.to_string(),
            detail: format!(
                "it takes {}, this program uses {} (at most {} so far){others}; lower solver.batch or input.height and \
                 input.width, or end other programs on the GPU",
                Bytes(size),
                Bytes(usage.current),
                Bytes(usage.peak)
            ),
        };
        error.with_remedies(remedies)
    }

    /// The memory usage of this device object.
    pub fn usage(&self) -> Usage {
        let mut state = self.pool.lock();
        state.settle(self.streams.joined());
        state.usage
    }

    /// The bytes of the device that no program has allocated.
    ///
    /// # Errors
    /// A CUDA driver error.
    pub fn free_memory(&self) -> Result<usize> {
        Ok(self.memory()?.0)
    }

    /// The free and all bytes of the device.
    fn memory(&self) -> Result<(usize, usize)> {
        self.bind()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: the function writes two values, to variables of their types.
        let status = unsafe { (self.driver.cuMemGetInfo_v2)(&raw mut free, &raw mut total) };
        self.driver.check(status, "reading the free memory of the GPU").map(|()| (free, total))
    }

    /// The number of driver allocations so far.
    pub(crate) fn memory_growth(&self) -> u64 {
        self.pool.lock().growth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_to_what_the_driver_maps() {
        assert_eq!([0, 1, 512, 513].map(rounded), [512, 512, 512, 1024]);
        assert_eq!([LARGE - 1, LARGE, LARGE_GRAIN + 1].map(rounded), [LARGE, LARGE_GRAIN, 2 * LARGE_GRAIN]);
    }
}

//! Pinned host memory for asynchronous copies: the only memory that host and device share.
//!
//! The device reads or writes a block when the stream reaches the copy, long after the call that enqueued it has
//! returned. Each block therefore has an event, which is recorded after the copy; the host does not touch the block
//! before that event has completed.

use super::{CudaDevice, driver_error};
use crate::Result;
use bytemuck::Pod;
use cudarc::driver::{result, sys};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

/// The most pending uploads of one size of at most `LARGE` bytes: this bounds how far the host runs ahead.
const SMALL_BLOCKS: usize = 64;
/// The most pending uploads of one size beyond `LARGE` bytes: the host fills a block while the device reads another.
const LARGE_BLOCKS: usize = 2;
const LARGE: usize = 64 << 10;
/// The size of the smallest block in bytes.
const SMALLEST: usize = 64;

/// A block of pinned memory and the event after its last copy.
struct PinnedBlock {
    host: NonNull<u8>,
    bytes: usize,
    event: sys::CUevent,
}

// SAFETY: memory and event may be used from any thread that has the context (CUDA driver API).
unsafe impl Send for PinnedBlock {}
// SAFETY: a shared reference gives access to the event alone, which the driver locks; the memory is read and written
// through the owner only.
unsafe impl Sync for PinnedBlock {}

impl PinnedBlock {
    fn new(bytes: usize) -> Result<Self> {
        // SAFETY: flags 0 are valid; an error leaves nothing behind.
        let host = unsafe { result::malloc_host(bytes, 0) }
            .map_err(driver_error("allocating pinned host memory"))?;
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING);
        match (NonNull::new(host.cast::<u8>()), event) {
            (Some(host), Ok(event)) => Ok(PinnedBlock { host, bytes, event }),
            (_, event) => {
                // SAFETY: allocated above and not used. An error of earlier work is reported again by the next call.
                let _ = unsafe { result::free_host(host) };
                let event = event.map_err(driver_error("creating an event"))?;
                // SAFETY: created above and not used; errors as before.
                let _ = unsafe { result::event::destroy(event) };
                Err(crate::Error::Device("the driver gave no pinned host memory".into()))
            }
        }
    }

    fn is_complete(&self) -> bool {
        // SAFETY: the event lives as long as the block. An error counts as not complete; `wait` reports it.
        unsafe { result::event::query(self.event) }.is_ok()
    }

    fn wait(&self) -> Result<()> {
        // SAFETY: the event lives as long as the block.
        unsafe { result::event::synchronize(self.event) }.map_err(driver_error("waiting for the GPU"))
    }
}

impl Drop for PinnedBlock {
    fn drop(&mut self) {
        // SAFETY: the device waits for its stream before it drops its blocks, so no copy is pending. A destructor
        // cannot return an error.
        unsafe {
            let _ = result::event::destroy(self.event);
            let _ = result::free_host(self.host.as_ptr().cast::<c_void>());
        }
    }
}

/// The blocks of uploads by size, in the order of their last use.
#[derive(Default)]
pub(super) struct Uploads(Mutex<BTreeMap<usize, VecDeque<PinnedBlock>>>);

/// The free blocks of downloads by size.
#[derive(Default)]
pub(super) struct Downloads(Mutex<BTreeMap<usize, Vec<PinnedBlock>>>);

fn size_class(bytes: usize) -> usize {
    bytes.max(SMALLEST).next_power_of_two()
}

impl CudaDevice {
    /// Enqueues a copy of `bytes` to a device address. Waits only for a free block of pinned memory, if the number of
    /// pending uploads has reached its limit.
    pub(super) fn upload_async(&self, address: u64, bytes: &[u8]) -> Result<()> {
        let class = size_class(bytes.len());
        let limit = if class > LARGE { LARGE_BLOCKS } else { SMALL_BLOCKS };
        let mut uploads = self.uploads.0.lock().expect("the lock is never held across a panic");
        let pending = uploads.entry(class).or_default();
        let block = match pending.front() {
            Some(oldest) if pending.len() >= limit || oldest.is_complete() => {
                oldest.wait()?;
                pending.pop_front()
            }
            _ => None,
        };
        let block = match block {
            Some(block) => block,
            None => PinnedBlock::new(class)?,
        };
        // SAFETY: the block is large enough, and its last copy is complete.
        let host = unsafe {
            block.host.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            std::slice::from_raw_parts(block.host.as_ptr(), bytes.len())
        };
        // SAFETY: the caller's buffer is large enough; the block is not written again before the event is complete.
        let copied = unsafe { result::memcpy_htod_async(address, host, self.stream.0) };
        // SAFETY: event and stream are open.
        let recorded = unsafe { result::event::record(block.event, self.stream.0) };
        pending.push_back(block);
        copied.and(recorded).map_err(driver_error("copying to the GPU"))
    }

    /// Enqueues a copy of `bytes` bytes from a device address.
    pub(super) fn download_async(device: &Arc<Self>, address: u64, bytes: usize) -> Result<PendingDownload> {
        let class = size_class(bytes);
        let mut free = device.downloads.0.lock().expect("the lock is never held across a panic");
        let block = match free.entry(class).or_default().pop() {
            Some(block) => block,
            None => PinnedBlock::new(class)?,
        };
        drop(free);
        // SAFETY: the block is large enough, and it is not read before the event has been waited for.
        let copied = unsafe {
            sys::cuMemcpyDtoHAsync_v2(block.host.as_ptr().cast::<c_void>(), address, bytes, device.stream.0)
        };
        let pending = PendingDownload { block: Some(block), bytes, device: device.clone() };
        copied.result().map_err(driver_error("copying from the GPU"))?;
        let event = pending.block.as_ref().map_or(std::ptr::null_mut(), |block| block.event);
        // SAFETY: event and stream are open.
        unsafe { result::event::record(event, device.stream.0) }
            .map_err(driver_error("copying from the GPU"))?;
        Ok(pending)
    }
}

/// A download that has been enqueued.
pub struct PendingDownload {
    block: Option<PinnedBlock>,
    bytes: usize,
    device: Arc<CudaDevice>,
}

impl PendingDownload {
    /// Waits for the copy and returns all elements.
    ///
    /// # Errors
    /// A CUDA driver error of this or of earlier work.
    pub fn wait<T: Pod>(mut self) -> Result<Vec<T>> {
        self.device.bind()?;
        let Some(block) = self.block.take() else { return Ok(Vec::new()) };
        if let Err(error) = block.wait() {
            // The copy may still be pending, so the memory is leaked.
            std::mem::forget(block);
            return Err(error);
        }
        // SAFETY: the copy is complete and has initialised that many bytes.
        let bytes = unsafe { std::slice::from_raw_parts(block.host.as_ptr(), self.bytes) };
        let values = bytemuck::pod_collect_to_vec(bytes);
        self.put_back(block);
        Ok(values)
    }

    fn put_back(&self, block: PinnedBlock) {
        let mut free = self.device.downloads.0.lock().unwrap_or_else(PoisonError::into_inner);
        free.entry(block.bytes).or_default().push(block);
    }
}

impl Drop for PendingDownload {
    fn drop(&mut self) {
        // The copy may be pending. The block can be reused all the same: the next copy to it comes later in the stream
        // and records the event again.
        if let Some(block) = self.block.take() {
            self.put_back(block);
        }
    }
}

//! Pinned host memory for asynchronous copies: the only memory that host and device share.
//!
//! The device reads or writes a block when the stream reaches the copy, long after the call that enqueued it has
//! returned. Each block therefore has an event, which is recorded after the copy; the host does not touch the block
//! before that event has completed.

use super::driver::{Api, EVENT_DISABLE_TIMING, RawEvent};
use super::streams::Use;
use super::{CudaDevice, Lane};
use crate::{Error, Result};
use bytemuck::Pod;
use std::collections::{BTreeMap, VecDeque};
use std::ptr::{self, NonNull};
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
    event: RawEvent,
    driver: &'static Api,
    host: NonNull<u8>,
    bytes: usize,
}

// SAFETY: memory and event may be used from any thread that has the context (CUDA driver API).
unsafe impl Send for PinnedBlock {}
// SAFETY: a shared reference gives access to the event alone, which the driver locks; the memory is read and written
// through the owner only.
unsafe impl Sync for PinnedBlock {}

impl PinnedBlock {
    fn new(driver: &'static Api, bytes: usize) -> Result<Self> {
        let event = RawEvent::new(driver, EVENT_DISABLE_TIMING)?;
        let mut host = ptr::null_mut();
        // SAFETY: one value is written, to a variable of its type; flags 0 are valid. An error leaves nothing behind.
        let status = unsafe { (driver.cuMemHostAlloc)(&raw mut host, bytes, 0) };
        driver.check(status, "allocating pinned host memory")?;
        match NonNull::new(host.cast::<u8>()) {
            Some(host) => Ok(PinnedBlock { event, driver, host, bytes }),
            None => Err(Error::Device("the driver gave no pinned host memory".into())),
        }
    }
}

impl Drop for PinnedBlock {
    fn drop(&mut self) {
        // SAFETY: `new` allocated the memory. The device waits for its stream before it drops its blocks, so no copy is
        // pending. A destructor cannot return an error.
        let _ = unsafe { (self.driver.cuMemFreeHost)(self.host.as_ptr().cast()) };
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
        self.refuse_during_capture("an upload from pinned memory")?;
        let class = size_class(bytes.len());
        let limit = if class > LARGE { LARGE_BLOCKS } else { SMALL_BLOCKS };
        let mut uploads = self.uploads.0.lock().expect("the lock is never held across a panic");
        let pending = uploads.entry(class).or_default();
        let block = match pending.front() {
            Some(oldest) if pending.len() >= limit || oldest.event.is_complete() => {
                oldest.event.wait()?;
                pending.pop_front()
            }
            _ => None,
        };
        let block = match block {
            Some(block) => block,
            None => PinnedBlock::new(self.driver, class)?,
        };
        let host = block.host.as_ptr();
        // SAFETY: the block is large enough, and its last copy is complete.
        unsafe { host.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        let copied = self.streams.enqueue(Lane::Main, &[Use::write(address, bytes.len())], |stream| {
            // SAFETY: the caller's buffer is large enough; the block is not written again before the event is complete.
            let status =
                unsafe { (self.driver.cuMemcpyHtoDAsync_v2)(address, host.cast(), bytes.len(), stream) };
            self.driver.check(status, "copying to the GPU")
        });
        self.work.record_copy("copying to the GPU", || [bytes.len(), 0]);
        let recorded = self.streams.record(&block.event, "copying to the GPU");
        match &recorded {
            Ok(()) => pending.push_back(block),
            // The copy may be pending and no event tells its end, so the memory is leaked.
            Err(_) => std::mem::forget(block),
        }
        copied.and(recorded)
    }

    /// Enqueues a copy of `bytes` bytes from a device address.
    pub(super) fn download_async(device: &Arc<Self>, address: u64, bytes: usize) -> Result<PendingDownload> {
        device.refuse_during_capture("a download to pinned memory")?;
        let class = size_class(bytes);
        let mut free = device.downloads.0.lock().expect("the lock is never held across a panic");
        let block = match free.entry(class).or_default().pop() {
            Some(block) => block,
            None => PinnedBlock::new(device.driver, class)?,
        };
        drop(free);
        let copied = device.streams.enqueue(Lane::Main, &[Use::read(address, bytes)], |stream| {
            let host = block.host.as_ptr().cast();
            // SAFETY: the block is large enough, and it is not read before the event has been waited for.
            let status = unsafe { (device.driver.cuMemcpyDtoHAsync_v2)(host, address, bytes, stream) };
            device.driver.check(status, "copying from the GPU")
        });
        device.work.record_copy("copying from the GPU", || [bytes, 0]);
        let recorded = device.streams.record(&block.event, "copying from the GPU");
        // After an error too: the block goes back when this is dropped.
        let pending = PendingDownload { block: Some(block), bytes, device: device.clone() };
        copied.and(recorded).map(|()| pending)
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
        if let Err(error) = block.event.wait() {
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

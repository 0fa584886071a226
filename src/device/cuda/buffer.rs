//! Device buffers: allocation, copies between host and device, fills.

use super::driver::{Api, Handle};
use super::libraries::versions::CUresult;
use super::memory::{Block, Label};
use super::streams::Use;
use super::{CudaDevice, Lane, PendingDownload};
use crate::{Error, Result};
use bytemuck::Pod;
use std::fmt;
use std::sync::Arc;

/// A buffer of device memory; dropping it returns the block to the device's pool.
pub struct CudaBuffer {
    memory: Memory,
    address: u64,
    bytes: usize,
}

enum Memory {
    /// A whole block.
    Own(Block, Arc<CudaDevice>),
    /// A part of another buffer, which it keeps alive.
    Part(Arc<CudaBuffer>),
}

impl CudaDevice {
    /// Allocates an uninitialised buffer of at least `bytes` bytes, aligned to 256 bytes.
    ///
    /// # Errors
    /// Out of memory: the message has `label`, the sizes, and what to do.
    pub fn allocate(self: &Arc<Self>, bytes: usize, label: &Label) -> Result<CudaBuffer> {
        self.allocate_in(Lane::Main, bytes, label)
    }

    /// As [`CudaDevice::allocate`], for work in a stream of choice.
    ///
    /// # Errors
    /// As [`CudaDevice::allocate`].
    pub(super) fn allocate_in(
        self: &Arc<Self>,
        lane: Lane,
        bytes: usize,
        label: &Label,
    ) -> Result<CudaBuffer> {
        let block = self.alloc(lane, bytes, label)?;
        Ok(CudaBuffer { address: block.address, bytes, memory: Memory::Own(block, self.clone()) })
    }
}

impl CudaBuffer {
    /// The part of `whole` of `bytes` bytes from byte `begin` on. `begin` is a multiple of 16, the alignment that
    /// kernels require.
    ///
    /// # Panics
    /// If the part reaches past the end of `whole`, or `begin` is not aligned.
    pub fn part(whole: &Arc<CudaBuffer>, begin: usize, bytes: usize) -> Self {
        let is_inside = begin.checked_add(bytes).is_some_and(|end| end <= whole.bytes);
        assert!(begin.is_multiple_of(16) && is_inside, "a part of a buffer lies outside of it");
        let address = whole.address + begin as u64;
        CudaBuffer { memory: Memory::Part(whole.clone()), address, bytes }
    }

    /// The device of the buffer.
    pub fn device(&self) -> &Arc<CudaDevice> {
        match &self.memory {
            Memory::Own(_, device) => device,
            Memory::Part(whole) => whole.device(),
        }
    }

    /// The device address, for kernels and libraries.
    pub fn address(&self) -> u64 {
        self.address
    }

    fn driver(&self) -> &'static Api {
        self.device().driver
    }

    /// The size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Enqueues a driver call in the main stream, of which `call` gets the handle.
    fn enqueue(
        &self,
        uses: &[Use],
        doing: &str,
        call: impl FnOnce(&'static Api, Handle) -> CUresult,
    ) -> Result<()> {
        let driver = self.driver();
        let work = |stream| driver.check(call(driver, stream), doing);
        self.device().streams.enqueue(Lane::Main, uses, work)?;
        self.device().note_copy(doing, || [uses.iter().map(Use::bytes).sum(), 0])
    }

    fn check(&self, bytes: usize) -> Result<()> {
        assert!(bytes <= self.bytes, "{bytes} bytes in a buffer of {}", self.bytes);
        self.device().bind()
    }

    /// Copies `bytes` to the buffer and waits for the copy.
    ///
    /// # Errors
    /// A CUDA driver error of this or of earlier work.
    pub fn upload(&self, bytes: &[u8]) -> Result<()> {
        self.check(bytes.len())?;
        let from = bytes.as_ptr().cast();
        let uses = [Use::write(self.address, bytes.len())];
        let copied = self.enqueue(&uses, "copying to the GPU", |driver, stream| {
            // SAFETY: the buffer is large enough, and `bytes` outlives the copy, which is always waited for.
            unsafe { (driver.cuMemcpyHtoDAsync_v2)(self.address, from, bytes.len(), stream) }
        });
        let waited = self.device().synchronize();
        copied.and(waited)
    }

    /// Copies the first `n` elements to the host and waits for the copy.
    ///
    /// # Errors
    /// A CUDA driver error of this or of earlier work.
    pub fn download<T: Pod>(&self, n: usize) -> Result<Vec<T>> {
        self.check(n.saturating_mul(size_of::<T>()))?;
        let mut host = vec![T::zeroed(); n];
        let (to, bytes) = (host.as_mut_ptr().cast(), n * size_of::<T>());
        let uses = [Use::read(self.address, bytes)];
        let copied = self.enqueue(&uses, "copying from the GPU", |driver, stream| {
            // SAFETY: the buffer has that many bytes, and `host` is not read before the copy has been waited for; after
            // an error `host` is dropped unread.
            unsafe { (driver.cuMemcpyDtoHAsync_v2)(to, self.address, bytes, stream) }
        });
        // Waits after an error too: an enqueued copy must not write to freed memory.
        let waited = self.device().synchronize();
        copied.and(waited).map(|()| host)
    }

    /// Enqueues a copy of `bytes` to the buffer from byte `at` on, without waiting.
    ///
    /// # Errors
    /// A CUDA driver error.
    pub fn upload_async(&self, at: usize, bytes: &[u8]) -> Result<()> {
        self.check(at.saturating_add(bytes.len()))?;
        self.device().upload_async(self.address + at as u64, bytes)
    }

    /// Enqueues a copy of the first `bytes` bytes to the host, without waiting.
    ///
    /// # Errors
    /// A CUDA driver error.
    pub fn download_async(&self, bytes: usize) -> Result<PendingDownload> {
        self.check(bytes)?;
        CudaDevice::download_async(self.device(), self.address, bytes)
    }

    /// Enqueues a fill of the first `bytes` bytes with 0.
    ///
    /// # Errors
    /// A CUDA driver error.
    pub fn clear(&self, bytes: usize) -> Result<()> {
        self.check(bytes)?;
        self.enqueue(&[Use::write(self.address, bytes)], "clearing GPU memory", |driver, stream| {
            // SAFETY: the buffer has that many bytes.
            unsafe { (driver.cuMemsetD8Async)(self.address, 0, bytes, stream) }
        })
    }

    /// Enqueues a fill of the buffer with a word of 4 bytes; the size of the buffer is a multiple of 4.
    ///
    /// # Errors
    /// A CUDA driver error.
    pub fn fill(&self, word: u32) -> Result<()> {
        self.check(self.bytes)?;
        self.enqueue(&[Use::write(self.address, self.bytes)], "filling GPU memory", |driver, stream| {
            // SAFETY: the buffer has that many words.
            unsafe { (driver.cuMemsetD32Async)(self.address, word, self.bytes / 4, stream) }
        })
    }

    /// Enqueues a copy of the first `bytes` bytes of another buffer on the same device.
    ///
    /// # Errors
    /// A buffer of another device object, whose work this one's stream does not wait for; a CUDA driver error.
    pub fn copy_from(&self, from: &CudaBuffer, bytes: usize) -> Result<()> {
        self.check(bytes)?;
        from.check(bytes)?;
        if !Arc::ptr_eq(self.device(), from.device()) {
            return Err(Error::Device(
                "a copy between buffers of two device objects: copy through the host".into(),
            ));
        }
        let uses = [Use::read(from.address, bytes), Use::write(self.address, bytes)];
        self.enqueue(&uses, "copying within the GPU", |driver, stream| {
            // SAFETY: both buffers have that many bytes.
            unsafe { (driver.cuMemcpyDtoDAsync_v2)(self.address, from.address, bytes, stream) }
        })
    }
}

impl Drop for CudaBuffer {
    fn drop(&mut self) {
        if let Memory::Own(block, device) = &self.memory {
            let side_use = device.streams.last_use(block.address, block.bytes());
            device.pool.put_back(block, side_use);
        }
    }
}

impl fmt::Debug for CudaBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {:#x}", self.bytes, self.address)
    }
}

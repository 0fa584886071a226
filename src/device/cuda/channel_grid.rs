//! Launch grids over the columns of a matrix `[rows, C]`, for the kernels that include `cuda/columns.cuh`. The formulas
//! and their reasons are in `docs/kernels.md`, "Launch configurations".

use super::{CudaDevice, Grid};
use crate::element::{DType, Shape};

/// Threads per block.
const THREADS: usize = 256;

/// The block shape for a matrix `[rows, C]`: a tensor with all dimensions but the last one merged.
#[derive(Clone, Copy, Debug)]
pub struct ChannelGrid {
    /// The number of rows: the product of all dimensions but the last one.
    pub rows: usize,
    /// The number of channels: the last dimension.
    pub c: usize,
    /// The threads of a block along channels and along rows, and the blocks along channels.
    x: usize,
    y: usize,
    across: usize,
}

/// The chunks of rows of a column sum, one block each. They depend on the sizes alone, since chunks determine the order
/// of additions.
#[derive(Clone, Copy, Debug)]
pub struct PartialSums {
    /// The number of chunks.
    pub count: usize,
    /// The launch grid: a block for each chunk and each group of channels.
    pub grid: Grid,
    /// The rows of a chunk.
    pub rows: usize,
}

impl ChannelGrid {
    /// The target number of blocks: four for each of 132 multiprocessors.
    const BLOCKS: usize = 528;

    /// The grid for a tensor `[.., C]` of this shape and type.
    pub fn of(shape: Shape, dtype: DType) -> Self {
        let c = shape.last();
        ChannelGrid::new(shape.len() / c, c, dtype)
    }

    fn new(rows: usize, c: usize, dtype: DType) -> Self {
        let pack = 16 / dtype.bytes();
        let packs = if c.is_multiple_of(pack) { c / pack } else { c };
        let x = packs.next_power_of_two().min(32);
        ChannelGrid { rows, c, x, y: THREADS / x, across: packs.div_ceil(x) }
    }

    fn grid(&self, along: usize) -> Grid {
        Grid::tiles([self.across, along, 1]).of([self.x as u32, self.y as u32, 1])
    }

    /// The launch grid of an element-wise kernel.
    pub fn elementwise(&self, gpu: &CudaDevice) -> Grid {
        self.shared_rows(gpu.multiprocessors())
    }

    /// Two blocks for each multiprocessor, as many as fit at once by the registers of the kernels that load several rows
    /// ahead, as far as each of their threads has two rows: a thread loads the coefficients of its channels first.
    fn shared_rows(&self, multiprocessors: usize) -> Grid {
        let each = (self.rows * self.across).div_ceil(self.y * 2 * multiprocessors.max(1)).max(2);
        self.grid(self.rows.div_ceil(each * self.y).clamp(1, 65_535))
    }

    /// The chunks and the launch grid of a kernel that computes partial sums.
    pub fn partial_sums(&self) -> PartialSums {
        let each = (self.rows * self.across).div_ceil(Self::BLOCKS * self.y).max(4);
        let rows = self.y * each;
        let count = self.rows.div_ceil(rows);
        PartialSums { count, grid: self.grid(count), rows }
    }

    /// The launch grid of a kernel that combines the partial sums, with a column of threads for each channel.
    pub fn combine(&self) -> Grid {
        Grid::blocks(self.c.div_ceil(8)).of([8, 32, 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Layers of a ResNet-50 at a batch of 16, and the classifier: about as many blocks in each, and no chunk smaller
    /// than four rows a thread.
    #[test]
    fn chunks_fill_a_large_chip_and_depend_on_the_sizes_alone() {
        for (rows, c, count, rows_a_chunk, across) in [
            (131_072, 64, 512, 256, 1),
            (32_768, 256, 512, 64, 1),
            (512, 2048, 16, 32, 8),
            (16, 751, 1, 32, 24),
            (1, 3, 1, 256, 1),
        ] {
            let grid = ChannelGrid::new(rows, c, DType::BF16);
            let chunks = grid.partial_sums();
            assert_eq!((chunks.count, chunks.rows), (count, rows_a_chunk), "[{rows}, {c}]");
            assert_eq!(chunks.grid.blocks, [across, count, 1], "[{rows}, {c}]");
        }
    }

    #[test]
    fn an_element_wise_kernel_has_about_two_blocks_a_multiprocessor() {
        for (rows, c, blocks) in [
            (131_072, 64, [1, 256, 1]),
            (32_768, 256, [1, 256, 1]),
            (512, 2048, [8, 32, 1]),
            (1, 3, [1, 1, 1]),
        ] {
            assert_eq!(
                ChannelGrid::new(rows, c, DType::BF16).shared_rows(132).blocks,
                blocks,
                "[{rows}, {c}]"
            );
        }
    }

    #[test]
    fn channels_that_are_no_packs_go_one_by_one() {
        let threads = |c, dtype| ChannelGrid::new(1000, c, dtype).grid(1).threads;
        assert_eq!(threads(8, DType::F32), [2, 128, 1]);
        assert_eq!(threads(7, DType::F32), [8, 32, 1]);
        assert_eq!(threads(1, DType::BF16), [1, 256, 1]);
    }
}

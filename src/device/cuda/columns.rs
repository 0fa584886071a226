//! Grids over the columns of `[rows, C]`: what `cuda/columns.cuh` walks. The formulas and their reasons are in
//! `docs/kernels.md`, "Launched".

use super::{Arg, CudaDevice, Grid};
use crate::tensor::Tensor;

/// Threads of a block.
const THREADS: usize = 256;

/// A matrix of activations, all dimensions but the last one taken together.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    rows: usize,
    c: usize,
    /// Threads of a block along channels and along rows, and blocks along channels.
    x: usize,
    y: usize,
    across: usize,
}

/// Rows cut into chunks, a block each. It depends on the sizes alone: chunks decide in which order numbers are added.
#[derive(Clone, Copy, Debug)]
pub struct Chunks {
    /// How many.
    pub count: usize,
    /// A block for each chunk and each group of channels.
    pub grid: Grid,
    rows: usize,
}

impl Columns {
    /// Blocks to aim for: four for each of 132 multiprocessors.
    pub const BLOCKS: usize = 528;
    /// The same where a kernel reads two or three arrays at once.
    pub const BLOCKS_OF_MANY: usize = 264;

    /// Of a tensor `[.., C]`.
    pub fn of(t: &Tensor) -> Self {
        let c = t.shape().last();
        let pack = 16 / t.dtype().bytes();
        let packs = if c.is_multiple_of(pack) { c / pack } else { c };
        let x = packs.next_power_of_two().min(32);
        Columns { rows: t.shape().len() / c, c, x, y: THREADS / x, across: packs.div_ceil(x) }
    }

    /// The number of rows as an argument.
    pub fn rows(&self) -> Arg {
        Arg::Size(self.rows)
    }

    /// The number of channels as an argument.
    pub fn channels(&self) -> Arg {
        Arg::Int(self.c)
    }

    fn grid(&self, along: usize) -> Grid {
        Grid::tiles([self.across, along, 1]).of([self.x as u32, self.y as u32, 1])
    }

    /// For a kernel that treats each element on its own.
    pub fn walk(&self, gpu: &CudaDevice) -> Grid {
        let most = (16 * gpu.multiprocessors() as usize).div_ceil(self.across);
        self.grid(self.rows.div_ceil(4 * self.y).clamp(1, most.clamp(1, 65_535)))
    }

    /// For a kernel that sums each chunk of rows.
    pub fn chunks(&self, blocks: usize) -> Chunks {
        let each = (self.rows * self.across).div_ceil(blocks * self.y).max(4);
        let rows = self.y * each;
        let count = self.rows.div_ceil(rows);
        Chunks { count, grid: self.grid(count), rows }
    }

    /// For a kernel that puts the chunks together, a column of threads for each channel.
    pub fn by_channel(&self) -> Grid {
        Grid::blocks(self.c.div_ceil(8)).of([8, 32, 1])
    }
}

impl Chunks {
    /// The rows of a chunk as an argument.
    pub fn rows(&self) -> Arg {
        Arg::Int(self.rows)
    }

    /// The number of chunks as an argument.
    pub fn count(&self) -> Arg {
        Arg::Int(self.count)
    }
}

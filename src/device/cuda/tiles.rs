//! The tiles of a matrix `[rows, C]`, and launches of kernels that sum each tile, wait for all others, and go on: those
//! that include `cuda/tiles.cuh`. The formulas and their reasons are in `docs/kernels.md`, "Launch configurations".

use super::arguments::{Kernel, Variant};
use super::{CudaDevice, Grid};
use crate::Result;
use crate::element::{DType, Shape};

/// The most threads of a block: with it the kernels have 128 registers.
const THREADS: usize = 512;
/// The most bytes of a tile's row: two sectors of the L2 cache.
const ROW_BYTES: usize = 64;
/// The target number of tiles: one for almost each of 132 multiprocessors.
const TILES: usize = 128;
/// The fewest rows of a tile, so that the partial sums stay few.
const ROWS: usize = 32;
/// The shared memory that the driver takes for each block.
const RESERVED: usize = 1 << 10;

/// The phases of a launch; the values are those of the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phases {
    /// The sums of each tile.
    Sums = 1,
    /// The result, from the sums of all tiles.
    Apply = 2,
    /// Both, with a barrier of the grid in between.
    Both = 3,
}

/// The phases of a launch, and the rows of a tile that stay in shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The phases.
    pub phases: Phases,
    /// The rows of each tile that the first phase keeps for the second.
    pub kept_rows: usize,
}

/// The tiles of a matrix `[rows, C]`: a tensor with all dimensions but the last one merged. They and the shape of a block
/// depend on the sizes alone, since they determine the order of additions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles {
    /// The number of rows: the product of all dimensions but the last one.
    pub rows: usize,
    /// The number of channels: the last dimension.
    pub c: usize,
    /// The rows of a tile; the last one of a column may have fewer.
    pub rows_a_tile: usize,
    /// The tiles of a column: chunks of rows with their own partial sums.
    pub chunks: usize,
    columns: usize,
    /// The channels of a thread, and the threads of a block along channels and along rows.
    lanes: usize,
    x: usize,
    y: usize,
    element: usize,
}

impl Tiles {
    /// The tiles of a tensor `[.., C]` of this shape and type.
    pub fn of(shape: Shape, dtype: DType) -> Self {
        let c = shape.last();
        Tiles::new(shape.len() / c, c, dtype)
    }

    fn new(rows: usize, c: usize, dtype: DType) -> Self {
        let element = dtype.bytes();
        let lanes = if c.is_multiple_of(4) { 4 } else { 1 };
        let x = (c / lanes).next_power_of_two().min(ROW_BYTES / (lanes * element)).min(THREADS / ROWS);
        let columns = c.div_ceil(x * lanes);
        let rows_a_tile = rows.div_ceil((TILES / columns).max(1)).max(ROWS);
        // A block has whole warps, and no more threads than its tile has rows for.
        let y = rows_a_tile.next_power_of_two().clamp(ROWS, THREADS / x);
        Tiles { rows, c, rows_a_tile, chunks: rows.div_ceil(rows_a_tile), columns, lanes, x, y, element }
    }

    /// The number of tiles.
    pub fn count(&self) -> usize {
        self.chunks * self.columns
    }

    /// The shared memory of a block without kept rows: places for sums, and five coefficients of each channel.
    fn scratch(&self) -> usize {
        4 * self.x * (self.y * (self.lanes.max(2) + 1) + 5 * self.lanes)
    }

    /// The grid of a launch of `blocks` that keep nothing.
    fn grid(&self, blocks: usize) -> Grid {
        Grid { blocks: [blocks, 1, 1], threads: [self.x as u32, self.y as u32, 1], shared: self.scratch() }
    }

    /// The grid of a kernel with one phase, which keeps nothing. Of no rows it has one block, which finds no tile.
    pub fn whole(&self) -> Grid {
        self.grid(self.count().max(1))
    }

    /// The rows of each tile that fit into `shared` bytes of a block with `tiles` of them, in `arrays` tensors.
    fn kept_rows(&self, shared: usize, tiles: usize, arrays: usize) -> usize {
        let row = self.x * self.lanes * self.element * arrays * tiles;
        (shared.saturating_sub(self.scratch()) / row).min(self.rows_a_tile)
    }

    /// The grid whose blocks keep `rows` rows of each of their `tiles`.
    fn keeping(&self, blocks: usize, rows: usize, tiles: usize, arrays: usize) -> Grid {
        let kept = rows * tiles * self.x * self.lanes * self.element * arrays;
        Grid { shared: self.scratch() + kept, ..self.grid(blocks) }
    }
}

/// The multiprocessors of a device, for launches whose blocks must all run at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Multiprocessors {
    /// Their number.
    pub count: usize,
    /// The shared memory of each, and the most of a block, in bytes.
    pub shared: usize,
    pub shared_of_block: usize,
    /// The device has cooperative launches.
    pub cooperative: bool,
}

impl Multiprocessors {
    /// The grid of a cooperative launch and the kept rows: as many blocks as run at once, and their share of the shared
    /// memory. `resident` is the number of blocks of a grid that one multiprocessor holds at once.
    ///
    /// # Errors
    /// Errors of `resident`.
    fn grid(
        &self,
        tiles: &Tiles,
        arrays: usize,
        resident: impl Fn(Grid) -> Result<usize>,
    ) -> Result<Option<(Grid, usize)>> {
        if !self.cooperative {
            return Ok(None);
        }
        // By registers and threads alone.
        let possible = resident(tiles.whole())?;
        let each = possible.min(tiles.count().div_ceil(self.count));
        if each == 0 {
            return Ok(None);
        }
        let blocks = tiles.count().min(each * self.count);
        let tiles_a_block = tiles.count().div_ceil(blocks);
        let share = (self.shared / each).saturating_sub(RESERVED).min(self.shared_of_block);
        let kept = tiles.kept_rows(share, tiles_a_block, arrays);
        let grid = tiles.keeping(blocks, kept, tiles_a_block, arrays);
        // A driver that reserves more shared memory than assumed: nothing is kept.
        match resident(grid)? >= each {
            true => Ok(Some((grid, kept))),
            false => Ok(Some((tiles.grid(blocks), 0))),
        }
    }
}

impl CudaDevice {
    /// Enqueues a kernel of two phases over `tiles`, of which it keeps rows of `arrays` tensors: as one cooperative
    /// launch, or as two where the device has no cooperative launches. The bits are the same.
    ///
    /// # Errors
    /// As [`CudaDevice::launch`].
    pub(crate) fn launch_phases<K: Kernel>(
        &self,
        tiles: &Tiles,
        arrays: usize,
        kernel: impl Fn(Part) -> K,
    ) -> Result<()> {
        let part = |phases, kept_rows| kernel(Part { phases, kept_rows });
        let name = Variant::of::<K>(part(Phases::Both, 0).arguments().as_ref())?;
        let resident = |grid| self.resident_blocks(name, grid);
        match self.multiprocessors.grid(tiles, arrays, resident)? {
            Some((grid, kept_rows)) => self.launch_cooperative(grid, part(Phases::Both, kept_rows)),
            None => {
                self.launch(tiles.whole(), part(Phases::Sums, 0))?;
                self.launch(tiles.whole(), part(Phases::Apply, 0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H100: Multiprocessors =
        Multiprocessors { count: 132, shared: 228 << 10, shared_of_block: 227 << 10, cooperative: true };

    /// The number of blocks that fit by shared memory and by 65,536 registers, 128 for each thread.
    fn resident(chip: Multiprocessors) -> impl Fn(Grid) -> Result<usize> {
        move |grid| {
            let threads: u32 = grid.threads.iter().product();
            Ok((512 / threads as usize).min(chip.shared / (grid.shared + RESERVED)))
        }
    }

    /// The layers of a ResNet-50 at a batch of 16: a tile for almost each multiprocessor, and most of them whole in
    /// shared memory.
    #[test]
    fn tiles_fill_a_large_chip_and_stay_in_its_shared_memory() {
        for (rows, c, dtype, columns, rows_a_tile, kept) in [
            (131_072, 64, DType::BF16, 2, 2048, [2048, 1731]),
            (32_768, 64, DType::BF16, 2, 512, [512, 512]),
            (32_768, 256, DType::BF16, 8, 2048, [2048, 1731]),
            (8192, 512, DType::BF16, 16, 1024, [1024, 1024]),
            (2048, 1024, DType::BF16, 32, 512, [512, 512]),
            (512, 2048, DType::BF16, 64, 256, [256, 256]),
            (32_768, 256, DType::F32, 16, 4096, [3467, 1733]),
            (512, 512, DType::F32, 32, 128, [128, 128]),
        ] {
            let tiles = Tiles::new(rows, c, dtype);
            assert_eq!((tiles.columns, tiles.rows_a_tile), (columns, rows_a_tile), "[{rows}, {c}] {dtype}");
            assert_eq!(tiles.count(), 128, "[{rows}, {c}] {dtype}");
            for (arrays, kept) in [(1, kept[0]), (2, kept[1])] {
                let (grid, rows) = H100.grid(&tiles, arrays, resident(H100)).unwrap().unwrap();
                assert_eq!((grid.blocks, rows), ([128, 1, 1], kept), "[{rows}, {c}] {dtype}, {arrays}");
                assert!(grid.shared <= H100.shared_of_block);
            }
        }
    }

    /// Blocks of a small chip take several tiles each, and their shared memory is for all of them.
    #[test]
    fn a_small_chip_has_as_many_blocks_as_it_holds() {
        let t4 =
            Multiprocessors { count: 40, shared: 64 << 10, shared_of_block: 64 << 10, cooperative: true };
        let tiles = Tiles::new(32_768, 256, DType::F32);
        let (grid, kept) = t4.grid(&tiles, 1, resident(t4)).unwrap().unwrap();
        assert_eq!((grid.blocks, kept), ([40, 1, 1], 210));
        assert!(grid.shared <= t4.shared - RESERVED);
        // Small blocks: several of a multiprocessor run at once.
        let tiles = Tiles::new(2048, 16, DType::F32);
        assert_eq!((tiles.count(), tiles.x * tiles.y), (64, 128));
        let (grid, kept) = t4.grid(&tiles, 2, resident(t4)).unwrap().unwrap();
        assert_eq!((grid.blocks, kept), ([64, 1, 1], 32));
    }

    #[test]
    fn without_room_or_cooperative_launches_there_are_two_launches() {
        let tiles = Tiles::new(512, 2048, DType::BF16);
        let without = Multiprocessors { cooperative: false, ..H100 };
        assert_eq!(without.grid(&tiles, 1, resident(H100)).unwrap(), None);
        assert_eq!(H100.grid(&tiles, 1, |_| Ok(0)).unwrap(), None);
        // More reserved shared memory than assumed.
        let grid = H100.grid(&tiles, 1, |grid| Ok(usize::from(grid.shared <= tiles.scratch()))).unwrap();
        assert_eq!(grid, Some((tiles.whole(), 0)));
    }

    #[test]
    fn blocks_have_whole_warps_and_columns_of_whole_packs() {
        for rows in [1, 2, 31, 33, 100, 5000] {
            for c in [1, 2, 3, 4, 5, 8, 12, 16, 22, 24, 64, 130, 2048, 5000] {
                for dtype in [DType::F32, DType::BF16] {
                    let tiles = Tiles::new(rows, c, dtype);
                    let threads = tiles.x * tiles.y;
                    assert!(threads.is_multiple_of(32) && threads <= THREADS, "{tiles:?}");
                    assert!(tiles.y.is_multiple_of(tiles.lanes), "{tiles:?}");
                    assert!(
                        tiles.columns * tiles.x * tiles.lanes >= c
                            && tiles.chunks * tiles.rows_a_tile >= rows
                    );
                    // The kept rows behind it are read in packs.
                    assert!(tiles.scratch().is_multiple_of(tiles.lanes * dtype.bytes()), "{tiles:?}");
                }
            }
        }
    }
}

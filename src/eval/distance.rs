//! Squared Euclidean distances between all queries and the whole gallery, a block of queries at a time.
//!
//! ||q - g||^2 = ||q||^2 + ||g||^2 - 2 q.g, so that a matrix product does the work. Where q and g nearly
//! agree, rounding can leave a small negative number: it is clamped to 0. A block is as many queries as keep
//! its distances within 64 MB (but 16 at least), so memory does not grow with the number of queries.
//!
//! Equal gallery rows must come out at exactly equal distances, or ties would be ranked by rounding. A
//! product's rounding may depend on its sizes, so all products of one run have the same sizes: the last
//! tile of the gallery and the last block of queries overlap the ones before instead of being smaller. It
//! also makes the numbers independent of the number of threads.
//!
//! On a GPU both sides lie in its memory, every distance is summed in one order wherever its row stands
//! (`cuda/distance.cu`), and a block is computed while the one before is ranked.

use crate::Result;
use crate::device::Device;
use crate::tensor::Readback;
use std::ops::Range;

/// Queries of a block, at most; the product reads the gallery once a block.
const MAX_ROWS: usize = 256;
/// Queries of a block, at least, where the gallery is huge.
const MIN_ROWS: usize = 16;
/// Distances of a block that a usual gallery stays below.
const BLOCK: usize = 16 << 20;
/// Gallery images of a tile, the piece of work of one thread.
pub const TILE: usize = 256;

/// Who computes.
enum Home<'a> {
    Cpu { query: cpu::Rows<'a>, gallery: cpu::Rows<'a> },
    Gpu { query: cuda::Rows, gallery: cuda::Rows },
}

/// The distances to be computed.
pub struct Distances<'a> {
    home: Home<'a>,
    queries: usize,
    gallery: usize,
    /// Queries of a block, those of an overlap included.
    rows: usize,
    /// Gallery images of a tile, those of an overlap included; on a GPU a tile is the whole gallery.
    cols: usize,
}

/// The distances of one block of queries to the whole gallery; on the CPU its memory is used again for the next one.
#[derive(Default)]
pub struct Block {
    /// The block that a GPU is computing, and its distances on their way.
    coming: Option<(usize, Readback)>,
    queries: Range<usize>,
    new: Range<usize>,
    /// [tiles, rows, cols]
    distances: Vec<f32>,
    rows: usize,
    cols: usize,
    gallery: usize,
}

impl<'a> Distances<'a> {
    /// Distances between the rows of `query` [Q, dim] and `gallery` [G, dim]; both finite, neither empty.
    ///
    /// # Errors
    /// A GPU's memory that does not hold both sides.
    ///
    /// # Panics
    /// If one is empty or not made of rows of `dim` values.
    pub fn new(query: &'a [f32], gallery: &'a [f32], dim: usize, device: &Device) -> Result<Self> {
        let count = |values: &[f32]| {
            assert!(
                dim > 0 && !values.is_empty() && values.len().is_multiple_of(dim),
                "rows of {dim} values"
            );
            values.len() / dim
        };
        let (queries, images) = (count(query), count(gallery));
        let rows = (BLOCK / images).clamp(MIN_ROWS, MAX_ROWS).min(queries);
        let (home, cols) = match device {
            Device::Cpu(_) => {
                let [query, gallery] = [query, gallery].map(|values| cpu::Rows::new(values, dim));
                (Home::Cpu { query, gallery }, TILE.min(images))
            }
            Device::Cuda(gpu) => {
                let rows = |values, what| cuda::Rows::new(gpu, values, dim, what);
                let (query, gallery) = (
                    rows(query, "the features of all queries")?,
                    rows(gallery, "the features of the gallery")?,
                );
                (Home::Gpu { query, gallery }, images)
            }
        };
        Ok(Distances { home, queries, gallery: images, rows, cols })
    }

    /// With blocks of `rows` queries (fewer if there are fewer), so that distances to several parts of a gallery
    /// come out of products of one size.
    pub fn with_rows(self, rows: usize) -> Self {
        Distances { rows: rows.clamp(1, self.queries), ..self }
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> usize {
        self.queries.div_ceil(self.rows)
    }

    /// The first query of a block.
    fn first(&self, index: usize) -> usize {
        (index * self.rows).min(self.queries - self.rows)
    }

    /// Computes block `index`: on all threads, or on a GPU, which begins with the next one at once.
    ///
    /// # Errors
    /// What the device reports.
    ///
    /// # Panics
    /// If there are not that many blocks.
    pub fn compute(&self, index: usize, block: &mut Block) -> Result<()> {
        assert!(index < self.blocks());
        let first = self.first(index);
        let (mut distances, mut coming) = (std::mem::take(&mut block.distances), block.coming.take());
        match &self.home {
            Home::Cpu { query, gallery } => {
                distances.resize(self.gallery.div_ceil(self.cols) * self.rows * self.cols, 0.0);
                cpu::distances(query, gallery, first, [self.rows, self.cols], &mut distances);
            }
            Home::Gpu { query, gallery } => {
                let start = |index| cuda::distances(query, gallery, self.first(index), self.rows);
                let own = match coming.take() {
                    Some((of, own)) if of == index => own,
                    _ => start(index)?,
                };
                if index + 1 < self.blocks() {
                    coming = Some((index + 1, start(index + 1)?));
                }
                distances = own.wait()?;
            }
        }
        let (rows, cols, gallery) = (self.rows, self.cols, self.gallery);
        let new = index * rows..first + rows;
        *block = Block { coming, queries: first..first + rows, new, distances, rows, cols, gallery };
        Ok(())
    }
}

impl Block {
    /// Which queries; the last block may hold some of the block before again.
    pub fn queries(&self) -> Range<usize> {
        self.queries.clone()
    }

    /// Those that no block before held.
    pub fn new_queries(&self) -> Range<usize> {
        self.new.clone()
    }

    /// The distances of the block's `row`-th query.
    ///
    /// # Panics
    /// If there are not that many rows.
    pub fn row(&self, row: usize) -> Row<'_> {
        assert!(row < self.rows);
        Row { block: self, row }
    }

    /// Puts other distances in the place of these: those of the same queries to the whole gallery, row by row.
    ///
    /// # Panics
    /// If it is another number of them.
    pub(super) fn replace(&mut self, distances: Vec<f32>) {
        assert_eq!(distances.len(), self.rows * self.gallery);
        // One tile, as wide as the gallery.
        (self.distances, self.cols) = (distances, self.gallery);
    }
}

/// The squared distances of one query to the gallery, in the gallery's order.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    block: &'a Block,
    row: usize,
}

impl<'a> Row<'a> {
    /// The row in pieces, one behind the other.
    pub fn pieces(self) -> impl Iterator<Item = &'a [f32]> {
        let Block { rows, cols, gallery, .. } = *self.block;
        self.block.distances.chunks_exact(rows * cols).enumerate().map(move |(t, tile)| {
            // The last tile begins with what the tile before ends with.
            let again = (t * cols).saturating_sub(gallery - cols);
            &tile[self.row * cols..][again..cols]
        })
    }

    /// The distance to gallery image `index`.
    ///
    /// # Panics
    /// If the gallery does not have that many images.
    pub fn at(self, index: usize) -> f32 {
        let Block { rows, cols, gallery, .. } = *self.block;
        let (tile, col) = (index / cols, index % cols);
        let again = (tile * cols).saturating_sub(gallery - cols);
        self.block.distances[(tile * rows + self.row) * cols..][..cols][again + col]
    }
}

mod cpu {
    use crate::device::cpu::{MatMut, MatRef, Split, gemm};
    use rayon::prelude::*;

    /// Rows of a matrix of features, with the rows' squared lengths.
    pub struct Rows<'a> {
        values: &'a [f32],
        dim: usize,
        squared_lengths: Vec<f32>,
    }

    impl<'a> Rows<'a> {
        pub fn new(values: &'a [f32], dim: usize) -> Self {
            let squared = |row: &[f32]| row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>() as f32;
            Rows { values, dim, squared_lengths: values.par_chunks(dim).map(squared).collect() }
        }

        /// The values and squared lengths of some rows.
        fn part(&self, first: usize, count: usize) -> (&[f32], &[f32]) {
            (&self.values[first * self.dim..][..count * self.dim], &self.squared_lengths[first..][..count])
        }
    }

    /// Fills [tiles, rows, cols] with the distances of the queries from `first` on.
    pub fn distances(
        query: &Rows<'_>,
        gallery: &Rows<'_>,
        first: usize,
        [rows, cols]: [usize; 2],
        to: &mut [f32],
    ) {
        let images = gallery.squared_lengths.len();
        let (q, q_squared) = query.part(first, rows);
        to.par_chunks_mut(rows * cols).enumerate().for_each(|(t, tile)| {
            let (g, g_squared) = gallery.part((t * cols).min(images - cols), cols);
            product(tile, q, g, query.dim);
            for (row, &q2) in tile.chunks_exact_mut(cols).zip(q_squared) {
                for (d, &g2) in row.iter_mut().zip(g_squared) {
                    let squared = q2 + g2 - 2.0 * *d;
                    *d = if squared > 0.0 { squared } else { 0.0 };
                }
            }
        });
    }

    /// c [rows, cols] = q [rows, dim] g^T [dim, cols].
    fn product(c: &mut [f32], q: &[f32], g: &[f32], dim: usize) {
        let (rows, cols) = (q.len() / dim, g.len() / dim);
        let g = MatRef::new(g, cols, dim).t();
        if rows == 1 {
            // A single row would take the vector product's way, whose rounding depends on the column. Two equal
            // rows (a stride of 0) do not.
            let mut twice = vec![0.0; 2 * cols];
            gemm(MatMut::new(&mut twice, 2, cols), 0.0, MatRef::strided(q, 2, dim, 0, 1), g, Split::Alone);
            c.copy_from_slice(&twice[..cols]);
        } else {
            gemm(MatMut::new(c, rows, cols), 0.0, MatRef::new(q, rows, dim), g, Split::Alone);
        }
    }
}

mod cuda {
    use crate::Result;
    use crate::device::Device;
    use crate::device::cuda::{Arg, CudaDevice, Grid};
    use crate::tensor::{DType, Readback, Tensor};
    use std::sync::Arc;

    /// Gallery images and queries of a tile of `distance_tile`.
    const TILE: usize = 64;

    /// Rows of a matrix of features, with the rows' squared lengths.
    pub struct Rows {
        gpu: Arc<CudaDevice>,
        /// f32 `[n, dim]`.
        values: Tensor,
        /// f32 `[n]`.
        squared_lengths: Tensor,
    }

    impl Rows {
        pub fn new(gpu: &Arc<CudaDevice>, values: &[f32], dim: usize, what: &str) -> Result<Self> {
            let (device, n) = (Device::Cuda(gpu.clone()), values.len() / dim);
            let values = Tensor::from_f32(&device, [n, dim], values).map_err(|e| e.about_tensor(what))?;
            let mut squared_lengths = Tensor::empty(&device, [n], DType::F32)?;
            let args = [(&values).into(), (&mut squared_lengths).into(), Arg::Int(n), Arg::Int(dim)];
            // A warp a row.
            gpu.launch("distance_squared_lengths", Grid::blocks(n.div_ceil(8)), &args)?;
            Ok(Rows { gpu: gpu.clone(), values, squared_lengths })
        }
    }

    /// Starts to compute the distances [count, galleries] of the queries from `first` on.
    pub fn distances(query: &Rows, gallery: &Rows, first: usize, count: usize) -> Result<Readback> {
        let (images, dim) = (gallery.squared_lengths.shape().len(), query.values.shape().last());
        let device = Device::Cuda(query.gpu.clone());
        let mut to = Tensor::empty(&device, [count, images], DType::F32)?;
        let args = [
            query.values.address_of(first * dim),
            (&gallery.values).into(),
            query.squared_lengths.address_of(first),
            (&gallery.squared_lengths).into(),
            (&mut to).into(),
            Arg::Int(count),
            Arg::Int(images),
            Arg::Int(dim),
            Arg::Size(images),
        ];
        let grid = Grid::tiles([images.div_ceil(TILE), count.div_ceil(TILE), 1]);
        query.gpu.launch("distance_tile", grid, &args)?;
        to.read_back()
    }
}

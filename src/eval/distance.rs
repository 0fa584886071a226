//! Squared Euclidean distances between all queries and the whole gallery, a block of queries at a time.
//!
//! ||q - g||^2 = ||q||^2 + ||g||^2 - 2 q.g, so a matrix product does most of the work. A block has as many queries as
//! keep its distances within 64 MB (but at least 16), so memory does not grow with the number of queries.
//!
//! # Rounding
//!
//! The product form rounds in proportion to the squared lengths, not to the distance. So an offset that is large
//! beside the distances is subtracted from both sides first ([`Origin`]), and a squared distance below [`CLOSE`] times
//! ||q||^2 + ||g||^2 is computed again as the sum of squared differences, which is exactly 0 for equal rows.
//!
//! Equal gallery rows must have exactly equal distances, or rounding would rank ties. A product's rounding may depend
//! on its sizes, so all products of one run have the same sizes: the last tile of the gallery and the last block of
//! queries overlap the ones before instead of being smaller. The equal sizes also make the numbers independent of the
//! number of threads.
//!
//! On a GPU both sides are in device memory, every distance is summed in one order wherever its row is
//! (`cuda/distance.cu`), and a block is computed while the block before is ranked.
//!
//! Book: [chapter 18](../../../../../docs/book/src/18-evaluation.md).

mod cpu;
pub mod cuda;
mod origin;

pub use cpu::squared_distance;
pub use origin::{DWARFED, Origin, SAMPLE};

use crate::Result;
use crate::device::Device;
use crate::tensor::Download;
use std::ops::Range;

/// Largest number of queries in a block of a GPU, whose next block is computed while a block is ranked.
const MAX_ROWS_GPU: usize = 256;
/// Largest number of queries in a block of the CPU. Each block packs the whole gallery for its products, so few large
/// blocks are faster than many small ones.
const MAX_ROWS_CPU: usize = 512;
/// Smallest number of queries in a block, for a huge gallery.
const MIN_ROWS: usize = 16;
/// Distances in a block, unless [`MIN_ROWS`] queries already have more.
const BLOCK: usize = 16 << 20;
/// Gallery images in a tile, the unit of work of one thread.
pub const TILE: usize = 256;
/// Share of ||q||^2 + ||g||^2 below which a squared distance is computed from differences, because the product form has
/// lost ten of its 24 bits or more. Between unit vectors the limit is a distance of 0.0442.
pub const CLOSE: f32 = 1.0 / 1024.0;

/// Features of both sides on the device that computes.
enum Backend<'a> {
    Cpu { query: cpu::Rows<'a>, gallery: cpu::Rows<'a> },
    Gpu { query: cuda::Rows, gallery: cuda::Rows },
}

/// Distances between two sets of features, computed a block of queries at a time.
pub struct Distances<'a> {
    backend: Backend<'a>,
    queries: usize,
    gallery: usize,
    /// Queries in a block, those of an overlap included.
    rows: usize,
    /// Gallery images in a tile, those of an overlap included; on a GPU a tile is the whole gallery.
    cols: usize,
}

/// The distances of one block of queries to the whole gallery; on the CPU the next block reuses its memory.
#[derive(Default)]
pub struct Block {
    /// Index of the block that a GPU is computing, and the pending download of its distances.
    pending: Option<(usize, Download)>,
    queries: Range<usize>,
    new: Range<usize>,
    /// [tiles, rows, cols]
    distances: Vec<f32>,
    rows: usize,
    cols: usize,
    gallery: usize,
}

/// Number of queries, at most `most`, whose distances to `images` images are within [`BLOCK`].
fn rows_within(images: usize, most: usize) -> usize {
    (BLOCK / images).clamp(MIN_ROWS, most)
}

impl<'a> Distances<'a> {
    /// Prepares the distances between the rows of `query` [Q, dim] and `gallery` [G, dim], both finite, with the
    /// gallery's own [`Origin`].
    ///
    /// # Errors
    /// The GPU's memory does not hold both sides.
    ///
    /// # Panics
    /// If one side is empty or not made of rows of `dim` values.
    pub fn new(query: &'a [f32], gallery: &'a [f32], dim: usize, device: &Device) -> Result<Self> {
        Distances::measured_from(&Origin::of(gallery, dim, false), query, gallery, dim, device)
    }

    /// As [`Distances::new`] with a given origin, so that distances to several parts of a gallery round alike.
    ///
    /// # Errors
    /// As [`Distances::new`].
    ///
    /// # Panics
    /// As [`Distances::new`], and if the origin does not have `dim` values.
    pub fn measured_from(
        origin: &Origin,
        query: &'a [f32],
        gallery: &'a [f32],
        dim: usize,
        device: &Device,
    ) -> Result<Self> {
        assert!(origin.offset().is_none_or(|offset| offset.len() == dim), "an origin of {dim} values");
        let count = |values: &[f32]| {
            assert!(
                dim > 0 && !values.is_empty() && values.len().is_multiple_of(dim),
                "rows of {dim} values"
            );
            values.len() / dim
        };
        let (queries, images) = (count(query), count(gallery));
        let (backend, rows, cols) = match device {
            Device::Cpu(_) => {
                let [query, gallery] = [query, gallery].map(|values| cpu::Rows::new(values, dim, origin));
                // Blocks of nearly one size: only a few queries of the last block are computed twice.
                let blocks = queries.div_ceil(rows_within(images, MAX_ROWS_CPU));
                (Backend::Cpu { query, gallery }, queries.div_ceil(blocks), TILE.min(images))
            }
            Device::Cuda(gpu) => {
                let rows = |values, what| cuda::Rows::new(gpu, values, dim, origin, what);
                let (query, gallery) = (
                    rows(query, "the features of all queries")?,
                    rows(gallery, "the features of the gallery")?,
                );
                (Backend::Gpu { query, gallery }, rows_within(images, MAX_ROWS_GPU).min(queries), images)
            }
        };
        Ok(Distances { backend, queries, gallery: images, rows, cols })
    }

    /// Sets the number of queries in a block (fewer if there are fewer), so that distances to several parts of a
    /// gallery come from products of one size.
    pub fn with_rows(self, rows: usize) -> Self {
        Distances { rows: rows.clamp(1, self.queries), ..self }
    }

    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.queries.div_ceil(self.rows)
    }

    /// The first query of a block.
    fn first(&self, index: usize) -> usize {
        (index * self.rows).min(self.queries - self.rows)
    }

    /// Computes block `index` on all threads, or on a GPU, which starts on the next block at once.
    ///
    /// # Errors
    /// Errors of the device.
    ///
    /// # Panics
    /// If there is no block `index`.
    pub fn compute(&self, index: usize, block: &mut Block) -> Result<()> {
        assert!(index < self.blocks());
        let first = self.first(index);
        let (mut distances, mut pending) = (std::mem::take(&mut block.distances), block.pending.take());
        match &self.backend {
            Backend::Cpu { query, gallery } => {
                distances.resize(self.gallery.div_ceil(self.cols) * self.rows * self.cols, 0.0);
                cpu::distances(query, gallery, first, [self.rows, self.cols], &mut distances);
            }
            Backend::Gpu { query, gallery } => {
                let start = |index| cuda::distances(query, gallery, self.first(index), self.rows);
                let download = match pending.take() {
                    Some((of, download)) if of == index => download,
                    _ => start(index)?,
                };
                if index + 1 < self.blocks() {
                    pending = Some((index + 1, start(index + 1)?));
                }
                distances = download.wait()?;
            }
        }
        let (rows, cols, gallery) = (self.rows, self.cols, self.gallery);
        let new = index * rows..first + rows;
        *block = Block { pending, queries: first..first + rows, new, distances, rows, cols, gallery };
        Ok(())
    }
}

impl Block {
    /// Range of the block's queries; the last block may repeat some queries of the block before.
    pub fn queries(&self) -> Range<usize> {
        self.queries.clone()
    }

    /// Range of the queries that no earlier block holds.
    pub fn new_queries(&self) -> Range<usize> {
        self.new.clone()
    }

    /// The distances of the block's `row`-th query.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> Row<'_> {
        assert!(row < self.rows);
        Row { block: self, row }
    }

    /// Replaces the distances by others of the same queries to the whole gallery, row by row.
    ///
    /// # Panics
    /// If the number of distances differs.
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
    /// The row as consecutive pieces, one for each tile.
    pub fn pieces(self) -> impl Iterator<Item = &'a [f32]> {
        let Block { rows, cols, gallery, .. } = *self.block;
        self.block.distances.chunks_exact(rows * cols).enumerate().map(move |(t, tile)| {
            // The last tile overlaps the tile before.
            let overlap = (t * cols).saturating_sub(gallery - cols);
            &tile[self.row * cols..][overlap..cols]
        })
    }

    /// The distance to gallery image `index`.
    ///
    /// # Panics
    /// If the gallery has no such image.
    pub fn at(self, index: usize) -> f32 {
        let Block { rows, cols, gallery, .. } = *self.block;
        let (tile, col) = (index / cols, index % cols);
        let overlap = (tile * cols).saturating_sub(gallery - cols);
        self.block.distances[(tile * rows + self.row) * cols..][..cols][overlap + col]
    }
}

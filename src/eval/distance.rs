//! Squared Euclidean distances between all queries and the whole gallery, a block of queries at a time.
//!
//! ||q - g||^2 = ||q||^2 + ||g||^2 - 2 q.g, so that a matrix product does the work. A block is as many queries as keep
//! its distances within 64 MB (but 16 at least), so memory does not grow with the number of queries.
//!
//! # Rounding
//!
//! The product form rounds in proportion to the squared lengths, not to the distance. So an offset that dwarfs the
//! distances is subtracted from both sides first ([`Origin`]), and what comes out below [`CLOSE`] of ||q||^2 + ||g||^2
//! is computed again as the sum of squared differences, of which equal rows are at exactly 0.
//!
//! Equal gallery rows must come out at exactly equal distances, or ties would be ranked by rounding. A
//! product's rounding may depend on its sizes, so all products of one run have the same sizes: the last
//! tile of the gallery and the last block of queries overlap the ones before instead of being smaller. It
//! also makes the numbers independent of the number of threads.
//!
//! On a GPU both sides lie in its memory, every distance is summed in one order wherever its row stands
//! (`cuda/distance.cu`), and a block is computed while the one before is ranked.

mod cpu;
pub mod cuda;
mod origin;

pub use cpu::squared_distance;
pub use origin::{DWARFED, Origin, SAMPLE};

use crate::Result;
use crate::device::Device;
use crate::tensor::Download;
use std::ops::Range;

/// Queries of a block, at most; the product reads the gallery once a block.
const MAX_ROWS: usize = 256;
/// Queries of a block, at least, where the gallery is huge.
const MIN_ROWS: usize = 16;
/// Distances of a block that a usual gallery stays below.
const BLOCK: usize = 16 << 20;
/// Gallery images of a tile, the piece of work of one thread.
pub const TILE: usize = 256;
/// A squared distance below this share of ||q||^2 + ||g||^2 has lost ten of the product's 24 bits or more and is
/// computed from differences. Between unit vectors that is a distance below 0.0442.
pub const CLOSE: f32 = 1.0 / 1024.0;

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
    coming: Option<(usize, Download)>,
    queries: Range<usize>,
    new: Range<usize>,
    /// [tiles, rows, cols]
    distances: Vec<f32>,
    rows: usize,
    cols: usize,
    gallery: usize,
}

impl<'a> Distances<'a> {
    /// Distances between the rows of `query` [Q, dim] and `gallery` [G, dim], from the gallery's own [`Origin`]; both
    /// finite, neither empty.
    ///
    /// # Errors
    /// A GPU's memory that does not hold both sides.
    ///
    /// # Panics
    /// If one is empty or not made of rows of `dim` values.
    pub fn new(query: &'a [f32], gallery: &'a [f32], dim: usize, device: &Device) -> Result<Self> {
        Distances::measured_from(&Origin::of(gallery, dim, false), query, gallery, dim, device)
    }

    /// The same from a given origin, so that distances to several parts of a gallery round alike.
    ///
    /// # Errors
    /// As [`Distances::new`].
    ///
    /// # Panics
    /// As [`Distances::new`], and if the origin is one of other features.
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
        let rows = (BLOCK / images).clamp(MIN_ROWS, MAX_ROWS).min(queries);
        let (home, cols) = match device {
            Device::Cpu(_) => {
                let [query, gallery] = [query, gallery].map(|values| cpu::Rows::new(values, dim, origin));
                (Home::Cpu { query, gallery }, TILE.min(images))
            }
            Device::Cuda(gpu) => {
                let rows = |values, what| cuda::Rows::new(gpu, values, dim, origin, what);
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
    /// Errors of the device.
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

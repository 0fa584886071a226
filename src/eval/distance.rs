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

use crate::device::cpu::{MatMut, MatRef, Split, gemm};
use rayon::prelude::*;
use std::ops::Range;

/// Queries of a block, at most; the product reads the gallery once a block.
const MAX_ROWS: usize = 256;
/// Queries of a block, at least, where the gallery is huge.
const MIN_ROWS: usize = 16;
/// Distances of a block that a usual gallery stays below.
const BLOCK: usize = 16 << 20;
/// Gallery images of a tile, the piece of work of one thread.
const TILE: usize = 256;

/// Rows of a matrix of features, with the rows' squared lengths.
#[derive(Debug)]
struct Rows<'a> {
    values: &'a [f32],
    squared_lengths: Vec<f32>,
}

/// The distances to be computed.
#[derive(Debug)]
pub struct Distances<'a> {
    query: Rows<'a>,
    gallery: Rows<'a>,
    dim: usize,
    /// Queries of a block, those of an overlap included.
    rows: usize,
    /// Gallery images of a tile, those of an overlap included.
    cols: usize,
}

/// The distances of one block of queries to the whole gallery; its memory is used again for the next one.
#[derive(Debug, Default)]
pub struct Block {
    queries: Range<usize>,
    /// [tiles, rows, cols]
    distances: Vec<f32>,
    rows: usize,
    cols: usize,
    gallery: usize,
}

impl<'a> Distances<'a> {
    /// Distances between the rows of `query` [Q, dim] and `gallery` [G, dim]; both finite, neither empty.
    ///
    /// # Panics
    /// If one is empty or not made of rows of `dim` values.
    pub fn new(query: &'a [f32], gallery: &'a [f32], dim: usize) -> Self {
        let rows_of = |values: &'a [f32]| {
            assert!(
                dim > 0 && !values.is_empty() && values.len().is_multiple_of(dim),
                "rows of {dim} values"
            );
            let lengths = values.par_chunks(dim);
            let squared = |row: &[f32]| row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>() as f32;
            Rows { values, squared_lengths: lengths.map(squared).collect() }
        };
        let (query, gallery) = (rows_of(query), rows_of(gallery));
        let (queries, images) = (query.squared_lengths.len(), gallery.squared_lengths.len());
        let rows = (BLOCK / images).clamp(MIN_ROWS, MAX_ROWS).min(queries);
        Distances { query, gallery, dim, rows, cols: TILE.min(images) }
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> usize {
        self.query.squared_lengths.len().div_ceil(self.rows)
    }

    /// Computes block `index` on all threads.
    ///
    /// # Panics
    /// If there are not that many blocks.
    pub fn compute(&self, index: usize, block: &mut Block) {
        assert!(index < self.blocks());
        let (rows, cols, dim) = (self.rows, self.cols, self.dim);
        let (queries, gallery) = (self.query.squared_lengths.len(), self.gallery.squared_lengths.len());
        let first = (index * rows).min(queries - rows);
        *block = Block {
            queries: first..first + rows,
            distances: std::mem::take(&mut block.distances),
            rows,
            cols,
            gallery,
        };
        block.distances.resize(gallery.div_ceil(cols) * rows * cols, 0.0);

        let q = &self.query.values[first * dim..][..rows * dim];
        let q_squared = &self.query.squared_lengths[first..][..rows];
        block.distances.par_chunks_mut(rows * cols).enumerate().for_each(|(t, tile)| {
            let start = (t * cols).min(gallery - cols);
            let g = &self.gallery.values[start * dim..][..cols * dim];
            let g_squared = &self.gallery.squared_lengths[start..][..cols];
            product(tile, q, g, dim);
            for (row, &q2) in tile.chunks_exact_mut(cols).zip(q_squared) {
                for (d, &g2) in row.iter_mut().zip(g_squared) {
                    let squared = q2 + g2 - 2.0 * *d;
                    *d = if squared > 0.0 { squared } else { 0.0 };
                }
            }
        });
    }
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

impl Block {
    /// Which queries; the last block may hold some of the block before again.
    pub fn queries(&self) -> Range<usize> {
        self.queries.clone()
    }

    /// The distances of the block's `row`-th query.
    ///
    /// # Panics
    /// If there are not that many rows.
    pub fn row(&self, row: usize) -> Row<'_> {
        assert!(row < self.rows);
        Row { block: self, row }
    }
}

/// The squared distances of one query to the gallery, in the gallery's order.
#[derive(Clone, Copy, Debug)]
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

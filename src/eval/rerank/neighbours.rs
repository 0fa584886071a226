//! The nearest images of every image, among all N, from blocks of the N x N distances.
//!
//! The matrix is symmetric. It is cut into bands of rows, and of each band only the part right of the diagonal is
//! computed (4.5 eighths of the matrix): each distance is offered to its row and to its column.
//!
//! Each image has a list of its nearest candidates and a limit, the distance of the last of these. Nearly all distances
//! are above the limit and cost one comparison. The list does not depend on the order in which distances are offered,
//! because among equal distances the earlier image counts as nearer.
//!
//! Blocks are products, whose rounding can exchange neighbours that are nearly as near, and differs between GPU and
//! CPU. So the list has a few more candidates, which are sorted by distances summed directly in f64 and then cut.

use super::samples::Samples;
use crate::device::Device;
use crate::device::cpu::simd::vectorized;
use crate::eval::distance::{Block, Distances, Origin};
use crate::files::reserve;
use crate::{Error, Result};
use rayon::prelude::*;

/// Number of bands that the rows are cut into.
const BANDS: usize = 8;
/// Bands have a multiple of this number of rows, so that products have one size and round in one way ([`Distances`]).
const BAND_UNIT: usize = 256;
/// Additional candidates stored until the exact distances are known.
const SPARE: usize = 8;
/// Distances that are compared with their limits at once, in a vectorised loop.
const STRIP: usize = 32;
/// Columns in the unit of work of one thread.
const COLUMNS: usize = 256;

/// The nearest images of every image, itself among them, in ascending order of their distance.
pub struct Neighbours {
    /// [N, kept]
    indices: Vec<u32>,
    /// Squared distances [N, kept]
    distances: Vec<f64>,
    kept: usize,
    /// Largest squared distances [N]
    farthest: Vec<f32>,
}

impl Neighbours {
    /// Finds the `count` nearest images (all, if there are fewer) of each row of `query` [Q, dim] and `gallery`
    /// [G, dim] among all of them. An image's index is its row in the query, or Q more than its row in the
    /// gallery. Features must be finite.
    ///
    /// # Errors
    /// [`Error::Data`] if squared distances between the rows are not finite in f32, or if there are 2^32 rows or more,
    /// or without memory for the lists; an error of the device.
    ///
    /// # Panics
    /// If `count` is 0, or if a side is empty or not made of rows of `dim` values.
    pub fn find(query: &[f32], gallery: &[f32], dim: usize, count: usize, device: &Device) -> Result<Self> {
        assert!(count > 0);
        let samples = Samples::new(query, gallery, dim);
        let n = samples.len();
        if u32::try_from(n).is_err() {
            let most = u32::MAX;
            return Err(Error::Data(format!(
                "re-ranking: {n} images in query and gallery; {most} are possible"
            )));
        }
        let kept = count.min(n);
        let origin = Origin::of(gallery, dim, false);
        let lists = format!("the lists of {kept} neighbours of {n} images");
        let mut indices: Vec<u32> = reserve(n.saturating_mul(kept), &lists)?;
        let mut distances: Vec<f64> = reserve(n.saturating_mul(kept), &lists)?;
        let mut nearest = reserve(n, &lists)?;
        nearest.resize(n, Nearest::new((kept + SPARE).min(n)));
        let bands = samples.sides().into_iter().flat_map(|(start, side)| bands(start, side, dim, n));
        for (start, band) in bands {
            // Right of the diagonal are the rest of the band's own side, and the gallery after the query.
            for (side_start, side) in samples.sides() {
                let skipped = start.saturating_sub(side_start) * dim;
                if skipped < side.len() {
                    offer_products(
                        &mut nearest,
                        (start, band),
                        (start.max(side_start), &side[skipped..]),
                        &origin,
                        dim,
                        device,
                    )?;
                }
            }
        }
        if nearest.iter().any(|n| !n.farthest().is_finite()) {
            return Err(Error::Data(
                "re-ranking: the features are so large that their squared distances are not finite; normalise the \
                 features"
                    .into(),
            ));
        }
        let farthest = nearest.iter().map(Nearest::farthest).collect();
        indices.resize(n * kept, 0);
        distances.resize(n * kept, 0.0);
        let lists = indices.par_chunks_exact_mut(kept).zip(distances.par_chunks_exact_mut(kept));
        nearest.into_par_iter().zip(lists).enumerate().for_each(|(i, (nearest, (indices, distances)))| {
            let exact = |j: u32| (samples.squared_distance(i, j as usize), j);
            let mut list: Vec<(f64, u32)> = nearest.finish().map(exact).collect();
            list.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            for ((index, distance), near) in indices.iter_mut().zip(distances).zip(list) {
                (*distance, *index) = near;
            }
        });
        Ok(Neighbours { indices, distances, kept, farthest })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.farthest.len()
    }

    /// Always false: neither side is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of neighbours stored for each image.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// The nearest `count` images of image `index`, or as many as are stored.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn nearest(&self, index: usize, count: usize) -> &[u32] {
        &self.indices[index * self.kept..][..count.min(self.kept)]
    }

    /// The squared distance from image `from` to image `to`, if `to` is among its stored neighbours.
    ///
    /// # Panics
    /// If there is no image `from`.
    pub fn squared_distance(&self, from: usize, to: u32) -> Option<f64> {
        let place = self.nearest(from, self.kept).iter().position(|&j| j == to)?;
        Some(self.distances[from * self.kept + place])
    }

    /// The squared distance from image `index` to the image that is farthest from it.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn farthest(&self, index: usize) -> f32 {
        self.farthest[index]
    }
}

/// First image and rows of each band of a side that starts at image `start`.
fn bands(start: usize, side: &[f32], dim: usize, n: usize) -> impl Iterator<Item = (usize, &[f32])> {
    let rows = side.len() / dim;
    let band = n.div_ceil(BANDS).next_multiple_of(BAND_UNIT);
    // A remainder below BAND_UNIT rows is added to the last band.
    let count = ((rows + band - BAND_UNIT) / band).max(1);
    (0..count).map(move |i| {
        let end = if i + 1 == count { rows } else { (i + 1) * band };
        (start + i * band, &side[i * band * dim..end * dim])
    })
}

/// Offers the distances between a band and rows that start with the band or after it to the images of both. Band and
/// rows come with the index of their first image.
fn offer_products(
    nearest: &mut [Nearest],
    (band_start, band): (usize, &[f32]),
    (start, rows): (usize, &[f32]),
    origin: &Origin,
    dim: usize,
    device: &Device,
) -> Result<()> {
    let (count, band_count) = (rows.len() / dim, band.len() / dim);
    let own = if start == band_start { band_count } else { 0 };
    let distances = Distances::measured_from(origin, band, rows, dim, device)?;
    let (mut block, mut dense, mut done) = (Block::default(), Vec::new(), 0);
    for index in 0..distances.blocks() {
        distances.compute(index, &mut block)?;
        let (first, fresh) = (block.queries().start, done..block.queries().end);
        done = fresh.end;
        dense.resize(fresh.len() * count, 0.0);
        let of_rows = nearest[band_start..][fresh.clone()].par_iter_mut();
        of_rows.zip(dense.par_chunks_exact_mut(count)).zip(fresh.clone()).for_each(
            |((nearest, dense), row)| {
                let mut at = 0;
                for piece in block.row(row - first).pieces() {
                    dense[at..at + piece.len()].copy_from_slice(piece);
                    at += piece.len();
                }
                nearest.offer_row(start, dense);
            },
        );
        let of_columns = nearest[start + own..][..count - own].par_chunks_mut(COLUMNS);
        of_columns.enumerate().for_each(|(i, nearest)| {
            let columns = own + i * COLUMNS..own + i * COLUMNS + nearest.len();
            let rows = dense.chunks_exact(count).map(|row| &row[columns.clone()]);
            offer_columns(nearest, (band_start + fresh.start..).zip(rows));
        });
    }
    Ok(())
}

/// Offers each image of `rows` to all of `nearest` (at most [`COLUMNS`]); an image's row holds its distances to them.
fn offer_columns<'a>(nearest: &mut [Nearest], rows: impl Iterator<Item = (usize, &'a [f32])>) {
    let (mut limits, mut farthest) = ([0; COLUMNS], [0; COLUMNS]);
    for ((limit, farthest), nearest) in limits.iter_mut().zip(&mut farthest).zip(&*nearest) {
        (*limit, *farthest) = (nearest.limit, nearest.farthest);
    }
    for (index, row) in rows {
        for (i, strip) in row.chunks(STRIP).enumerate() {
            let columns = i * STRIP..i * STRIP + strip.len();
            let (limits, farthest) = (&mut limits[columns.clone()], &mut farthest[columns.clone()]);
            let any = vectorized(
                #[inline(always)]
                || {
                    let mut any = false;
                    for ((d, limit), farthest) in strip.iter().zip(&*limits).zip(farthest) {
                        *farthest = d.to_bits().max(*farthest);
                        any |= d.to_bits() <= *limit;
                    }
                    any
                },
            );
            if any {
                for ((nearest, limit), d) in nearest[columns].iter_mut().zip(limits).zip(strip) {
                    nearest.offer(index, d.to_bits());
                    *limit = nearest.limit;
                }
            }
        }
    }
    nearest.iter_mut().zip(farthest).for_each(|(nearest, farthest)| nearest.farthest = farthest);
}

/// The nearest images offered to one image so far.
///
/// The bits of non-negative floats are ordered like the floats: a key has a distance's bits above the bits of an index.
#[derive(Clone)]
struct Nearest {
    keys: Vec<u64>,
    keep: usize,
    /// Bits of the distance above which an image is not among the `keep` nearest.
    limit: u32,
    /// Bits of the largest distance offered.
    farthest: u32,
}

impl Nearest {
    fn new(keep: usize) -> Self {
        Nearest { keys: Vec::new(), keep, limit: u32::MAX, farthest: 0 }
    }

    /// Offers the images from `first` on, with their distances.
    fn offer_row(&mut self, first: usize, distances: &[f32]) {
        for (i, strip) in distances.chunks(STRIP).enumerate() {
            let (limit, mut farthest, mut any) = (self.limit, self.farthest, false);
            vectorized(
                #[inline(always)]
                || {
                    for d in strip {
                        farthest = farthest.max(d.to_bits());
                        any |= d.to_bits() <= limit;
                    }
                },
            );
            self.farthest = farthest;
            if any {
                let indexed = strip.iter().enumerate();
                indexed.for_each(|(j, d)| self.offer(first + i * STRIP + j, d.to_bits()));
            }
        }
    }

    fn offer(&mut self, index: usize, distance: u32) {
        if distance > self.limit {
            return;
        }
        self.keys.push(u64::from(distance) << 32 | index as u64);
        if self.keys.len() >= 2 * self.keep {
            self.drop_surplus();
        }
    }

    fn drop_surplus(&mut self) {
        if self.keys.len() > self.keep {
            let (_, last, _) = self.keys.select_nth_unstable(self.keep - 1);
            self.limit = (*last >> 32) as u32;
            self.keys.truncate(self.keep);
        }
    }

    fn farthest(&self) -> f32 {
        f32::from_bits(self.farthest)
    }

    /// Indices of the `keep` nearest images, in no order.
    fn finish(mut self) -> impl Iterator<Item = u32> {
        self.drop_surplus();
        self.keys.into_iter().map(|key| key as u32)
    }
}

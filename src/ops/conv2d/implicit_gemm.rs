//! fprop and dgrad on the CPU as an implicit GEMM: the row of the matrix product for a pixel of the result consists of
//! the source pixels under the filter's taps.
//!
//! The result is `[pixels, columns]`, the depth of the product is (tap, channel). In fprop the source is x, the columns
//! are k, and pixel h reads tap r from row `t h + r - p`. In dgrad the source is dy, the columns are c, and pixel h
//! reads tap r from row `(h + p - r) / t` if the division leaves no remainder. Pixels therefore form t x t classes by
//! the remainders of their coordinates; each class has its own taps, and inside a class the row `(h + p - r) / t` is an
//! affine function of `h / t`. No inserted zero is multiplied, and nothing is unfolded: the rows of a register tile are
//! slices of the source.
//!
//! With few channels (the stem has 3) the K segments would be too short for an efficient loop. Then the taps of one
//! filter row become a single K segment (`merged_taps`).
//!
//! Book: [chapter 7](../../../../../../docs/book/src/07-convolution.md).

use super::Geometry;
use super::finish::{Destination, Finish};
use super::indirect_product::{Pass, Product};
use super::merged_taps;
use super::source_part::SourcePart;
use crate::device::Device;
use crate::device::cpu::microkernel::{COLS, Rows, tiled};
use crate::element::{GradMode, Real};
use crate::tensor::Tensor;
use rayon::prelude::*;
use std::ops::Range;

/// The depth of one pass over a register tile: sixteen columns of this depth (24 KiB) stay in the first-level cache.
const DEPTH: usize = 384;
/// The most result pixels of a task: their source and result stay in a second-level cache.
const PIXELS: usize = 96;
/// The target number of tasks if there are few pixels.
const TASKS: usize = 12;

/// One tap of the filter for one class of pixels.
#[derive(Clone, Copy, Debug)]
struct Tap {
    /// The index of the tap's K segment in a filter.
    index: usize,
    /// The row and column of the source under this tap, for pixel 0 of the class.
    at: [isize; 2],
}

/// A class of result pixels with the same taps.
#[derive(Debug)]
struct PixelClass {
    /// The remainders of row and column.
    remainder: [usize; 2],
    taps: Vec<Tap>,
    /// The number of taps of all classes before this one.
    first_tap: usize,
}

/// An implicit GEMM.
struct ImplicitGemm<'a, E> {
    source: &'a [E],
    /// The height and width of the source, in pixels.
    size: [usize; 2],
    /// The channels of the source.
    channels: usize,
    /// The elements of a K segment: a pixel, or several adjacent pixels if taps are merged.
    k_segment: usize,
    /// The height and width of the result.
    result: [usize; 2],
    columns: usize,
    /// There are `modulus * modulus` classes of result pixels. One pixel further in a class is `step` pixels further in
    /// the source.
    modulus: usize,
    step: usize,
    classes: Vec<PixelClass>,
    /// A K segment of zeros, for taps outside of the source.
    zeros: Vec<f32>,
}

/// The filters, with the strides of columns, taps and depth.
struct Filters<'a, E> {
    values: &'a [E],
    column: usize,
    tap: usize,
    depth: usize,
}

/// Computes y, the convolution of x with w plus bias.
pub fn fprop<E: Real>(device: &Device, g: &Geometry, x: &[E], w: &[E], bias: Option<&[f32]>, y: &mut [E]) {
    fprop_packed(device, g, x, pack_filters(device, g, w).f32(), bias, y, Finish::NONE);
}

/// Packs the filters w in f32 for [`fprop_packed`]. Of the geometry only the filters count.
pub fn pack_filters<E: Real>(device: &Device, g: &Geometry, w: &[E]) -> Tensor {
    let [r, s] = g.filter;
    let product = product_of_fprop::<E>(g, &[]);
    product.pack(device, &Filters { values: w, column: r * s * g.c, tap: product.k_segment, depth: 1 })
}

/// Computes y, the convolution of x with packed filters plus bias, and finishes it.
pub fn fprop_packed<E: Real>(
    device: &Device,
    g: &Geometry,
    x: &[E],
    filters: &[f32],
    bias: Option<&[f32]>,
    y: &mut [E],
    finish: Finish<'_, E>,
) {
    let to = Destination { values: y, mode: GradMode::Overwrite, finish };
    if let Some(padded) = merged_taps::padded(device, g, x) {
        let product = product_of_fprop(g, padded.f32());
        tiled!(product.run(device, filters, bias, to));
    } else {
        let product = product_of_fprop(g, x);
        tiled!(product.run(device, filters, bias, to));
    }
}

/// The product of fprop for a source, which is padded if taps are merged.
fn product_of_fprop<'a, E>(g: &Geometry, source: &'a [E]) -> ImplicitGemm<'a, E> {
    let [r, s] = g.filter;
    let pad = g.pad as isize;
    let merge = merged_taps::suits(g);
    let margin = if merge { 2 * g.pad } else { 0 };
    let at = |i: usize| [(i / s) as isize - pad, (i % s) as isize - pad];
    let taps = if merge {
        (0..r).map(|r| Tap { index: r, at: [r as isize, 0] }).collect()
    } else {
        (0..r * s).map(|i| Tap { index: i, at: at(i) }).collect()
    };
    let k_segment = if merge { s * g.c } else { g.c };
    ImplicitGemm {
        source,
        size: g.input.map(|size| size + margin),
        channels: g.c,
        k_segment,
        result: g.output,
        columns: g.k,
        modulus: 1,
        step: g.stride,
        classes: vec![PixelClass { remainder: [0, 0], taps, first_tap: 0 }],
        zeros: vec![0.0; k_segment],
    }
}

/// Computes the gradient of the input: writes or adds dx.
pub fn dgrad<E: Real>(device: &Device, g: &Geometry, dy: &[E], w: &[E], dx: &mut [E], mode: GradMode) {
    let [r, s] = g.filter;
    let (stride, pad) = (g.stride as isize, g.pad as isize);
    let mut classes = Vec::new();
    let mut first_tap = 0;
    for class in 0..g.stride * g.stride {
        let remainder = [class / g.stride, class % g.stride];
        let distance = |i: usize| {
            let at = [(i / s) as isize, (i % s) as isize];
            [remainder[0] as isize + pad - at[0], remainder[1] as isize + pad - at[1]]
        };
        let taps: Vec<Tap> = (0..r * s)
            .map(|i| (i, distance(i)))
            .filter(|(_, d)| d.iter().all(|d| d.rem_euclid(stride) == 0))
            .map(|(index, d)| Tap { index, at: d.map(|d| d.div_euclid(stride)) })
            .collect();
        let len = taps.len();
        classes.push(PixelClass { remainder, taps, first_tap });
        first_tap += len;
    }
    let product = ImplicitGemm {
        source: dy,
        size: g.output,
        channels: g.k,
        k_segment: g.k,
        result: g.input,
        columns: g.c,
        modulus: g.stride,
        step: 1,
        classes,
        zeros: vec![0.0; g.k],
    };
    let filters = product.pack(device, &Filters { values: w, column: 1, tap: g.c, depth: r * s * g.c });
    let to = Destination { values: dx, mode, finish: Finish::NONE };
    tiled!(product.run(device, filters.f32(), None, to));
}

impl<E: Real> ImplicitGemm<'_, E> {
    /// The depth of a class with `taps` taps, cut into passes of at most [`DEPTH`].
    fn passes(&self, taps: usize) -> Vec<Pass> {
        if self.k_segment > DEPTH {
            let parts = self.k_segment.div_ceil(DEPTH);
            let part = self.k_segment.div_ceil(parts);
            let pass = |i: usize| Pass {
                taps: i / parts..i / parts + 1,
                elements: i % parts * part..(i % parts * part + part).min(self.k_segment),
            };
            return (0..taps * parts).map(pass).collect();
        }
        let together = (DEPTH / self.k_segment).min(taps);
        let passes = taps.div_ceil(together);
        let together = taps.div_ceil(passes);
        (0..passes)
            .map(|i| Pass { taps: i * together..taps.min((i + 1) * together), elements: 0..self.k_segment })
            .filter(|pass| !pass.taps.is_empty())
            .collect()
    }

    /// Packs the filters in the order of the micro-kernel: `[panel of 16 columns, tap in class order, depth, 16]`.
    fn pack<W: Real>(&self, device: &Device, filters: &Filters<'_, W>) -> Tensor {
        let taps: Vec<usize> =
            self.classes.iter().flat_map(|class| &class.taps).map(|tap| tap.index).collect();
        let size = self.k_segment * COLS;
        let panels = self.columns.div_ceil(COLS);
        let mut packed = Tensor::scratch(device, [panels, taps.len(), size]);
        let Filters { values, column, tap, depth } = *filters;
        packed.f32_mut().par_chunks_mut(size).enumerate().with_min_len((8192 / size).max(1)).for_each(
            |(i, to)| {
                let first = i / taps.len() * COLS;
                let columns = COLS.min(self.columns - first);
                let from = &values[first * column + taps[i % taps.len()] * tap..];
                if column == 1 {
                    for (d, to) in to.chunks_exact_mut(COLS).enumerate() {
                        let from = &from[d * depth..d * depth + columns];
                        to.iter_mut().zip(from).for_each(|(to, from)| *to = from.widen());
                        to[columns..].fill(0.0);
                    }
                } else {
                    // Sixteen values of each filter are packed at a time, a whole cache line: filters that lie a power
                    // of two apart would evict each other's lines.
                    for (block, to) in to.chunks_mut(COLS * COLS).enumerate() {
                        let steps = to.len() / COLS;
                        to.fill(0.0);
                        for j in 0..columns {
                            let from = &from[j * column + block * COLS..][..steps];
                            let to = to.iter_mut().skip(j).step_by(COLS);
                            to.zip(from).for_each(|(to, from)| *to = from.widen());
                        }
                    }
                }
            },
        );
        packed
    }

    fn run<const R: usize, const P: usize>(
        &self,
        device: &Device,
        filters: &[f32],
        bias: Option<&[f32]>,
        to: Destination<'_, impl Real>,
    ) {
        let Destination { values: y, mode, finish } = to;
        let pixels = y.len() / self.columns;
        let few = pixels.div_ceil(TASKS).next_multiple_of(R);
        let task = few.clamp(2 * R, PIXELS) * self.modulus * self.modulus;
        y.par_chunks_mut(task * self.columns).enumerate().for_each(|(i, y)| {
            let (first, pixels) = (i * task, y.len() / self.columns);
            let source = SourcePart::new(device, self.source, || self.range_read(first, pixels));
            let factors = Factors { source, filters, bias };
            finish.part(device, first * self.columns, y, mode, |y| {
                for class in &self.classes {
                    self.task::<R, P>(class, &factors, first, y, mode);
                }
            });
        });
    }

    /// The range of the source that `pixels` pixels of the result from pixel `first` on read.
    fn range_read(&self, first: usize, pixels: usize) -> Range<usize> {
        let [height, width] = self.result;
        let taps = || self.classes.iter().flat_map(|class| &class.taps).map(|tap| tap.at);
        // The first and the last row or column of the source under pixels from one place to another.
        let reach = |axis: usize, places: [usize; 2], size: usize| {
            let [low, high] = [taps().map(|at| at[axis]).min(), taps().map(|at| at[axis]).max()];
            let at = places.map(|place| (place / self.modulus * self.step) as isize);
            let last = size as isize - 1;
            [at[0] + low.unwrap_or(0), at[1] + high.unwrap_or(0)].map(|at| at.clamp(0, last) as usize)
        };
        let place = |pixel: usize| [pixel / (height * width), pixel / width % height, pixel % width];
        let ([n, h, w], [last_n, last_h, last_w]) = (place(first), place(first + pixels - 1));
        let rows = reach(0, [h, last_h], self.size[0]);
        // Pixels of several rows read whole rows.
        let columns = match [n, h] == [last_n, last_h] {
            true => reach(1, [w, last_w], self.size[1]),
            false => [0, self.size[1] - 1],
        };
        let element = |n: usize, row: usize, column: usize| {
            ((n * self.size[0] + row) * self.size[1] + column) * self.channels
        };
        let begin = element(n, rows[0], columns[0]);
        let end = element(last_n, rows[1], columns[1]) + self.k_segment.max(self.channels);
        begin..end.min(self.source.len())
    }

    /// Computes the pixels of one class among those of `y`, whose first pixel is pixel `first` of the result.
    fn task<const R: usize, const P: usize>(
        &self,
        class: &PixelClass,
        factors: &Factors<'_>,
        first: usize,
        y: &mut [f32],
        mode: GradMode,
    ) {
        let [height, width] = self.result;
        let mut pixels_of_class = Vec::with_capacity(y.len() / self.columns);
        let [mut n, mut h, mut w] = [first / (height * width), first / width % height, first % width];
        for i in 0..y.len() / self.columns {
            if self.modulus == 1 {
                pixels_of_class.push((i, n, [h, w].map(|at| (at * self.step) as isize)));
            } else if [h % self.modulus, w % self.modulus] == class.remainder {
                pixels_of_class.push((i, n, [h, w].map(|at| (at / self.modulus * self.step) as isize)));
            }
            w += 1;
            if w == width {
                (w, h) = (0, h + 1);
            }
            if h == height {
                (h, n) = (0, n + 1);
            }
        }
        if class.taps.is_empty() {
            if mode == GradMode::Overwrite {
                pixels_of_class
                    .iter()
                    .for_each(|&(i, ..)| y[i * self.columns..(i + 1) * self.columns].fill(0.0));
            }
            return;
        }
        let mut rows = Vec::with_capacity(pixels_of_class.len().div_ceil(R) * class.taps.len());
        // ANCHOR: rows
        for pixels in pixels_of_class.chunks(R) {
            for tap in &class.taps {
                let mut row: Rows<'_, R> = [&self.zeros; R];
                for (row, &(_, n, at)) in row.iter_mut().zip(pixels) {
                    *row = self.under(&factors.source, n, at, tap).unwrap_or(&self.zeros);
                }
                rows.push(row);
            }
        }
        // ANCHOR_END: rows
        let total: usize = self.classes.iter().map(|class| class.taps.len()).sum();
        for (i, pass) in self.passes(class.taps.len()).into_iter().enumerate() {
            let product = Product {
                columns: self.columns,
                packed: factors.filters,
                panel: total * self.k_segment * COLS,
                first: ((class.first_tap + pass.taps.start) * self.k_segment + pass.elements.start) * COLS,
                taps: class.taps.len(),
                pass,
                pixels: &pixels_of_class,
                rows: &rows,
                bias: factors.bias.filter(|_| i == 0),
                adds: i > 0 || mode == GradMode::Accumulate,
            };
            product.run::<P>(y);
        }
    }

    // ANCHOR: under
    /// The K segment of the source under a tap; none if the tap is in the padding.
    #[inline]
    fn under<'s>(
        &self,
        source: &'s SourcePart<'_>,
        n: usize,
        at: [isize; 2],
        tap: &Tap,
    ) -> Option<&'s [f32]> {
        let [height, width] = self.size;
        // Negative numbers wrap to huge ones, which the comparison treats as outside.
        let (row, column) = ((at[0] + tap.at[0]) as usize, (at[1] + tap.at[1]) as usize);
        if row >= height || column >= width {
            return None;
        }
        let first = ((n * height + row) * width + column) * self.channels;
        Some(source.values(first, self.k_segment))
    }
    // ANCHOR_END: under
}

/// The inputs of a task: its part of the source, the packed filters and the bias.
struct Factors<'a> {
    source: SourcePart<'a>,
    filters: &'a [f32],
    bias: Option<&'a [f32]>,
}

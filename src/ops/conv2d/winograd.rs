//! Winograd convolution F(2 x 2, 3 x 3) for 3 x 3 filters at stride 1, with 2.25 times fewer multiplications, after
//! Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015).
//!
//! A tile of 2 x 2 outputs depends on a tile d of 4 x 4 inputs. With the filter g,
//! y = A' \[ (G g G') * (B' d B) \] A, where * multiplies element by element and ' transposes:
//!
//! - input: B' d = (d0 - d2, d1 + d2, d2 - d1, d1 - d3)
//! - filter: G g = (g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2)
//! - output: A' m = (m0 + m1 + m2, m1 - m2 - m3)
//!
//! The sums over channels at each of the 16 positions of a transformed tile form one matrix product. y is linear in d
//! and in g, so dgrad is the same algorithm on dy with the rotated filter, and wgrad is the transpose:
//! dg = G' \[ (A dy A') * (B' d B) \] G.
//!
//! All coefficients are 0, 1 or 1/2 up to sign, so their products are exact, but the additions of the transforms round.
//! Compared with this engine's direct sum, the root-mean-square and largest errors of y and dx were 0.2 to 0.8 times as
//! large, those of dw 0.6 to 1.4 times (`tests/ops/conv2d.rs`, five kinds of sizes and four of inputs). The factors
//! depend on the order of additions in the direct sum. Larger tiles save more multiplications and lose accuracy.
//!
//! Book: [chapter 7](../../../../../../docs/book/src/07-convolution.md).

use super::Geometry;
use super::finish::{Destination, Finish};
use super::transforms::{self, OutputTile, POSITIONS, SumLayout};
use crate::device::Device;
use crate::device::cpu::microkernel::{COLS, Depth, Start, microkernel, tiled};
use crate::device::cpu::simd::{LANES, vectorized};
use crate::element::{GradMode, Real};
use crate::tensor::Tensor;
use rayon::prelude::*;
use std::ops::Range;

/// The depth of one pass over a register tile.
const DEPTH: usize = 384;
/// The tiles of a block in wgrad. Small under Miri, which takes minutes for a block of 64.
const BLOCK: usize = if cfg!(miri) { 6 } else { 64 };
/// The most panels of sixteen channels of a task in wgrad.
const PANELS: usize = 8;
/// The target number of tasks.
const TASKS: usize = 16;
/// The fewest channels for which the transforms are worth their cost. Small under Miri too.
const CHANNELS: usize = if cfg!(miri) { 5 } else { 32 };

// ANCHOR: suits
/// True if the algorithm applies to a convolution and is faster.
pub fn suits(g: &Geometry) -> bool {
    g.filter == [3, 3] && g.stride == 1 && g.pad <= 2 && g.c.min(g.k) >= CHANNELS
}
// ANCHOR_END: suits

/// Computes y, the convolution of x with w plus bias.
pub fn fprop<E: Real>(device: &Device, g: &Geometry, x: &[E], w: &[E], bias: Option<&[f32]>, y: &mut [E]) {
    fprop_packed(device, g, x, pack_filters(device, g, w).f32(), bias, y, Finish::NONE);
}

/// Transforms and packs the filters w in f32 for [`fprop_packed`]. Of the geometry only the filters count.
pub fn pack_filters<E: Real>(device: &Device, g: &Geometry, w: &[E]) -> Tensor {
    transforms::filters_of_fprop(device, g, w)
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
    let plan = Plan::fprop(g, x);
    let to = Destination { values: y, mode: GradMode::Overwrite, finish };
    tiled!(plan.run(device, filters, bias, to));
}

/// Computes the gradient of the input: writes or adds dx.
pub fn dgrad<E: Real>(device: &Device, g: &Geometry, dy: &[E], w: &[E], dx: &mut [E], mode: GradMode) {
    let filters = transforms::filters_of_dgrad(device, g, w);
    let plan = Plan::dgrad(g, dy);
    let to = Destination { values: dx, mode, finish: Finish::NONE };
    tiled!(plan.run(device, filters.f32(), None, to));
}

/// A convolution at stride 1: fprop, or dgrad as a convolution of dy.
struct Plan<'a, E> {
    /// The source, `[n, input, channels]`.
    source: &'a [E],
    n: usize,
    input: [usize; 2],
    channels: usize,
    /// The height and width of the result.
    output: [usize; 2],
    /// The channels of the result.
    columns: usize,
    pad: usize,
    /// A pixel of zeros, for the padding.
    zeros: Vec<E>,
}

/// A row length of at least `len` elements for which equal columns of many rows do not share a cache set.
fn spread(len: usize) -> usize {
    len.next_multiple_of(COLS) + LANES
}

impl<'a, E: Real> Plan<'a, E> {
    fn fprop(g: &Geometry, x: &'a [E]) -> Self {
        let Geometry { n, input, c, output, k, pad, .. } = *g;
        let zeros = vec![E::narrow(0.0); c];
        Plan { source: x, n, input, channels: c, output, columns: k, pad, zeros }
    }

    fn dgrad(g: &Geometry, dy: &'a [E]) -> Self {
        let Geometry { n, input, c, output, k, pad, .. } = *g;
        let (input, output) = (output, input);
        let zeros = vec![E::narrow(0.0); k];
        Plan { source: dy, n, input, channels: k, output, columns: c, pad: 2 - pad, zeros }
    }

    /// The number of tiles in a column and in a row of the image.
    fn tiles(&self) -> [usize; 2] {
        self.output.map(|size| size.div_ceil(2))
    }

    /// Some channels of the sixteen input pixels of tile (i, j) of image n.
    fn window(&self, [n, i, j]: [usize; 3], channels: Range<usize>) -> [&[E]; POSITIONS] {
        let [height, width] = self.input;
        std::array::from_fn(|position| {
            // Rows above the image wrap to huge numbers, which the comparison treats as outside.
            let row = (2 * i + position / 4).wrapping_sub(self.pad);
            let col = (2 * j + position % 4).wrapping_sub(self.pad);
            if row < height && col < width {
                let at = ((n * height + row) * width + col) * self.channels;
                &self.source[at + channels.start..at + channels.end]
            } else {
                &self.zeros[channels.clone()]
            }
        })
    }

    fn run<const R: usize, const P: usize>(
        &self,
        device: &Device,
        filters: &[f32],
        bias: Option<&[f32]>,
        to: Destination<'_, E>,
    ) {
        let Destination { values: y, mode, finish } = to;
        let [height, width] = self.output;
        let [down, across] = self.tiles();
        // A task has whole rows of tiles, so that its part of y is contiguous.
        let rows = self.n * down;
        let tiles = rows * across;
        // With many channels, fewer tiles fill the caches.
        let most = if self.channels + self.columns <= 256 { 8 } else { 4 };
        let of_task = [most, 4, 2, 1].map(|n| n * R).into_iter().find(|of_task| tiles >= of_task * TASKS / 3);
        let together = (of_task.unwrap_or(R) / across).max(1);
        let first_pixel_row = |row: usize| row / down * height + row % down * 2;
        let mut rest = y;
        let mut tasks = Vec::new();
        for first in (0..rows).step_by(together) {
            let last = (first + together).min(rows);
            let end = if last == rows { self.n * height } else { first_pixel_row(last) };
            let len = (end - first_pixel_row(first)) * width * self.columns;
            let (part, after) = rest.split_at_mut(len);
            tasks.push((first..last, first_pixel_row(first) * width * self.columns, part));
            rest = after;
        }
        tasks.into_par_iter().for_each(|(rows, at, y)| {
            let tiles: Vec<[usize; 3]> =
                rows.flat_map(|row| (0..across).map(move |j| [row / down, row % down, j])).collect();
            finish.part(device, at, y, mode, |y| self.task::<R, P>(device, filters, bias, &tiles, y, mode));
        });
    }

    /// Computes the result of some tiles, which cover `y`.
    fn task<const R: usize, const P: usize>(
        &self,
        device: &Device,
        filters: &[f32],
        bias: Option<&[f32]>,
        tiles: &[[usize; 3]],
        y: &mut [f32],
        mode: GradMode,
    ) {
        let count = tiles.len().next_multiple_of(R);
        let (row_in, row_out) = (spread(self.channels), spread(self.columns));
        let mut scratch = Tensor::scratch(device, [POSITIONS * count * (row_in + row_out)]);
        let (v, m) = scratch.f32_mut().split_at_mut(POSITIONS * count * row_in);
        for (t, &at) in tiles.iter().enumerate() {
            let window = self.window(at, 0..self.channels);
            let v = &mut v[t * row_in..];
            vectorized(
                #[inline(always)]
                || transforms::input(&window, [count * row_in, COLS], v),
            );
        }
        let positions = v.chunks_exact(count * row_in).zip(m.chunks_exact_mut(count * row_out));
        for (position, (v, m)) in positions.enumerate() {
            let panels = self.columns.div_ceil(COLS);
            let whole = panels - panels % P;
            for panel in (0..whole).step_by(P) {
                self.multiply::<R, P>([v, filters], row_in, [position, panel], m, row_out);
            }
            for panel in whole..panels {
                self.multiply::<R, 1>([v, filters], row_in, [position, panel], m, row_out);
            }
        }
        let [height, width] = self.output;
        let first_row = tiles[0][0] * height + tiles[0][1] * 2;
        for (t, &[n, i, j]) in tiles.iter().enumerate() {
            let at = ((n * height + 2 * i - first_row) * width + 2 * j) * self.columns;
            let tile = OutputTile {
                at,
                row: width * self.columns,
                size: [2.min(height - 2 * i), 2.min(width - 2 * j)],
                columns: self.columns,
            };
            let m = &m[t * row_out..];
            vectorized(
                #[inline(always)]
                || transforms::output(m, count * row_out, bias.unwrap_or(&[]), &tile, y, mode),
            );
        }
    }

    // ANCHOR: multiply
    /// Computes the matrix product of one position and P panels: the transformed tiles, one per row of `v`, by the
    /// filters, into the rows of `m`.
    fn multiply<const R: usize, const P: usize>(
        &self,
        [v, filters]: [&[f32]; 2],
        row_in: usize,
        [position, panel]: [usize; 2],
        m: &mut [f32],
        row_out: usize,
    ) {
        let passes = self.channels.div_ceil(DEPTH);
        let pass = self.channels.div_ceil(passes);
        for first in (0..self.channels).step_by(pass) {
            let count = pass.min(self.channels - first);
            let start = if first == 0 { Start::Zero } else { Start::Add };
            let b = std::array::from_fn(|p| {
                let filter = ((panel + p) * POSITIONS + position) * self.channels;
                &filters[(filter + first) * COLS..][..count * COLS]
            });
            for t in (0..v.len() / row_in).step_by(R) {
                let rows = std::array::from_fn(|i| &v[(t + i) * row_in..][..self.channels]);
                let a = Depth { k_segments: std::slice::from_ref(&rows), first, count, step: 1 };
                let rows = std::array::from_fn(|i| (t + i) * row_out + panel * COLS);
                microkernel::<R, P>(&a, &b, start, m, &rows, COLS);
            }
        }
    }
    // ANCHOR_END: multiply
}

/// Computes the gradient of the filters: writes or adds dw.
pub fn wgrad<E: Real>(device: &Device, g: &Geometry, x: &[E], dy: &[E], dw: &mut [E], mode: GradMode) {
    let plan = Plan::fprop(g, x);
    tiled!(plan.wgrad(device, g, dy, dw, mode));
}

impl<E: Real> Plan<'_, E> {
    fn wgrad<const R: usize, const P: usize>(
        &self,
        device: &Device,
        g: &Geometry,
        dy: &[E],
        dw: &mut [E],
        mode: GradMode,
    ) {
        let [down, across] = self.tiles();
        let tiles = g.n * down * across;
        let panels = g.c.div_ceil(COLS);
        let groups = panels.div_ceil(PANELS);
        let group = panels.div_ceil(groups).next_multiple_of(P);
        let parts = (TASKS / groups).clamp(1, tiles.div_ceil(2 * BLOCK));
        let part = tiles.div_ceil(parts).next_multiple_of(BLOCK);
        let parts = tiles.div_ceil(part);
        // The sums of a task are [position, panel, k, 16].
        let of_panel = g.k.next_multiple_of(R) * COLS;
        let of_task = POSITIONS * group * of_panel;
        let mut sums = Tensor::scratch(device, [parts * groups, of_task]);
        sums.f32_mut().par_chunks_mut(of_task).enumerate().for_each(|(i, sums)| {
            let tiles = i / groups * part..((i / groups + 1) * part).min(tiles);
            let channels = i % groups * group * COLS..((i % groups + 1) * group * COLS).min(g.c);
            self.wgrad_task::<R, P>(device, dy, tiles, channels, sums);
        });
        let layout = SumLayout { parts, groups, group, of_panel };
        let row = 9 * g.c;
        dw.par_chunks_mut(row).enumerate().with_min_len((8192 / row).max(1)).for_each(|(k, dw)| {
            vectorized(
                #[inline(always)]
                || transforms::sums(sums.f32(), &layout, k, dw, mode),
            );
        });
    }

    /// Computes the transformed sums of some tiles, for some channels of the input and all channels of the output.
    fn wgrad_task<const R: usize, const P: usize>(
        &self,
        device: &Device,
        dy: &[E],
        tiles: Range<usize>,
        channels: Range<usize>,
        sums: &mut [f32],
    ) {
        let [down, across] = self.tiles();
        let row = spread(self.columns.next_multiple_of(R));
        // A panel behind the last channel fills a register tile; its sums are not used.
        let panels = channels.len().div_ceil(COLS).next_multiple_of(P);
        let of_panel = self.columns.next_multiple_of(R) * COLS;
        let group = sums.len() / POSITIONS / of_panel;
        let mut scratch = Tensor::scratch(device, [POSITIONS * BLOCK * (panels * COLS + row)]);
        let (v, m) = scratch.f32_mut().split_at_mut(POSITIONS * BLOCK * panels * COLS);
        let zeros = vec![E::narrow(0.0); self.columns];
        for first in tiles.clone().step_by(BLOCK) {
            let block = first..tiles.end.min(first + BLOCK);
            let start = if first == tiles.start { Start::Zero } else { Start::Add };
            for (t, at) in block.clone().enumerate() {
                let at = [at / (down * across), at / across % down, at % across];
                let window = self.window(at, channels.clone());
                let v = &mut v[t * COLS..];
                vectorized(
                    #[inline(always)]
                    || transforms::input(&window, [panels * BLOCK * COLS, BLOCK * COLS], v),
                );
                let outputs = self.outputs(dy, &zeros, at);
                let m = &mut m[t * row..];
                vectorized(
                    #[inline(always)]
                    || transforms::gradient(&outputs, BLOCK * row, m),
                );
            }
            for position in 0..POSITIONS {
                let m = &m[position * BLOCK * row..(position + 1) * BLOCK * row];
                for panel in (0..panels).step_by(P) {
                    let v = &v[(position * panels + panel) * BLOCK * COLS..];
                    let b = std::array::from_fn(|p| &v[p * BLOCK * COLS..][..block.len() * COLS]);
                    let sums = &mut sums[(position * group + panel) * of_panel..][..P * of_panel];
                    for k in (0..self.columns).step_by(R) {
                        let rows = std::array::from_fn(|i| &m[k + i..]);
                        let k_segments = std::slice::from_ref(&rows);
                        let a = Depth { k_segments, first: 0, count: block.len(), step: row };
                        let rows = std::array::from_fn(|i| (k + i) * COLS);
                        microkernel::<R, P>(&a, &b, start, sums, &rows, of_panel);
                    }
                }
            }
        }
    }

    /// The gradients of a tile's four outputs; `zeros` for outputs outside of the image.
    fn outputs<'a>(&self, dy: &'a [E], zeros: &'a [E], [n, i, j]: [usize; 3]) -> [&'a [E]; 4] {
        let [height, width] = self.output;
        std::array::from_fn(|position| {
            let (row, col) = (2 * i + position / 2, 2 * j + position % 2);
            if row < height && col < width {
                let at = ((n * height + row) * width + col) * self.columns;
                &dy[at..at + self.columns]
            } else {
                zeros
            }
        })
    }
}

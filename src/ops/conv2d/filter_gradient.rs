//! wgrad on the CPU: an implicit GEMM that sums over all pixels of the output for each filter value.
//!
//! As a matrix product the rows are k, the columns (r, s, c) and the depth the pixels (n, i, j). The columns are cut
//! into panels of sixteen. For a block of pixels, one panel of the unfolded input is packed and used for all rows; the
//! whole unfolded input never exists. A task sums one part of the pixels for one group of panels. The parts are then
//! added in order, so the result does not depend on the assignment of tasks to threads.
//!
//! Book: [chapter 7](../../../../../../docs/book/src/07-convolution.md).

use super::Geometry;
use super::merged_taps;
use crate::device::Device;
use crate::device::cpu::microkernel::{COLS, Depth, Start, microkernel, tiled};
use crate::element::{GradMode, Real};
use crate::tensor::Tensor;
use rayon::prelude::*;
use std::ops::Range;

/// Pixels of a block: a packed panel (16 KiB) stays in the first-level cache.
const BLOCK: usize = 256;
/// Elements between the packed groups of rows: a pixel is written to all groups, and groups that begin a multiple of 4 KiB
/// apart would share one set of the first-level cache.
const SPREAD: usize = COLS;
/// The most rows packed together: for a block of pixels they take 192 KiB.
const ROWS_TOGETHER: usize = 192;
/// The fewest panels of a group, so that the cost of packing rows is amortised.
const PANELS_TOGETHER: usize = 18;
/// The target number of tasks.
const TASKS: usize = 16;

/// The partition of the sums into tasks: parts of the pixels x groups of panels x chunks of rows.
struct Grid {
    /// The number of pixels, and of pixels per part.
    pixels: usize,
    part: usize,
    /// The number of panels, and of panels per group.
    panels: usize,
    group: usize,
    /// The number of rows, and of rows per chunk (a multiple of those of a register tile).
    rows: usize,
    chunk: usize,
}

impl Grid {
    /// For register tiles of R rows by P panels. The parts, in which sums are cut, depend on neither.
    fn new<const R: usize, const P: usize>(g: &Geometry) -> Self {
        let panels = (g.filter[0] * g.filter[1] * g.c).div_ceil(COLS);
        let groups = (panels / PANELS_TOGETHER).clamp(1, TASKS);
        let group = panels.div_ceil(groups).next_multiple_of(P);
        let chunks = g.k.div_ceil(ROWS_TOGETHER);
        let chunk = g.k.div_ceil(chunks).next_multiple_of(R);
        let pixels = g.n * g.output[0] * g.output[1];
        let parts = (TASKS / (groups * chunks)).clamp(1, pixels.div_ceil(2 * BLOCK));
        let part = pixels.div_ceil(parts).next_multiple_of(BLOCK);
        Grid { pixels, part, panels, group, rows: g.k, chunk }
    }

    fn parts(&self) -> usize {
        self.pixels.div_ceil(self.part)
    }

    fn groups(&self) -> usize {
        self.panels.div_ceil(self.group)
    }

    fn chunks(&self) -> usize {
        self.rows.div_ceil(self.chunk)
    }

    /// The number of sums of one task: `[panel, row, 16]`.
    fn task(&self) -> usize {
        self.group * self.chunk * COLS
    }

    /// The index of the first sum of a row and panel. The sums of task `(part * chunks + chunk) * groups + group` are
    /// contiguous.
    fn at(&self, part: usize, row: usize, panel: usize) -> usize {
        let task = (part * self.chunks() + row / self.chunk) * self.groups() + panel / self.group;
        task * self.task() + (panel % self.group * self.chunk + row % self.chunk) * COLS
    }
}

/// The input, with the number of elements of a pixel.
#[derive(Clone, Copy)]
struct Input<'a, E> {
    values: &'a [E],
    pixel: usize,
}

/// The geometry on the padded input with the taps of a filter row, which are adjacent in memory, merged into one tap of
/// many channels: packing in runs of few channels would be slow.
fn with_rows_as_taps(g: &Geometry) -> Geometry {
    let [r, s] = g.filter;
    Geometry { input: g.input.map(|size| size + 2 * g.pad), pad: 0, filter: [r, 1], c: s * g.c, ..*g }
}

/// Computes the gradient of the filters: writes or adds dw.
pub fn wgrad<E: Real>(device: &Device, g: &Geometry, x: &[E], dy: &[E], dw: &mut [E], mode: GradMode) {
    let padded = merged_taps::padded(device, g, x);
    let pixel = g.c;
    let g = &if merged_taps::suits(g) { with_rows_as_taps(g) } else { *g };
    if let Some(padded) = padded {
        let x = Input { values: padded.f32(), pixel };
        tiled!(wgrad_tiled(device, g, x, dy, dw, mode));
    } else {
        let x = Input { values: x, pixel };
        tiled!(wgrad_tiled(device, g, x, dy, dw, mode));
    }
}

fn wgrad_tiled<const R: usize, const P: usize>(
    device: &Device,
    g: &Geometry,
    x: Input<'_, impl Real>,
    dy: &[impl Real],
    dw: &mut [impl Real],
    mode: GradMode,
) {
    let grid = Grid::new::<R, P>(g);
    let (parts, chunks, groups) = (grid.parts(), grid.chunks(), grid.groups());
    let mut sums = Tensor::scratch(device, [parts * chunks * groups, grid.task()]);
    sums.f32_mut().par_chunks_mut(grid.task()).enumerate().for_each(|(i, sums)| {
        let (part, chunk, group) = (i / groups / chunks, i / groups % chunks, i % groups);
        let pixels = part * grid.part..((part + 1) * grid.part).min(grid.pixels);
        let rows = chunk * grid.chunk..((chunk + 1) * grid.chunk).min(grid.rows);
        let panels = group * grid.group..((group + 1) * grid.group).min(grid.panels);
        task::<R, P>(device, g, x, dy, &TaskRanges { pixels, rows, panels }, sums, grid.chunk * COLS);
    });
    let sums = sums.f32();
    let columns = dw.len() / g.k;
    let few = (8192 / columns).max(1);
    dw.par_chunks_mut(columns).enumerate().with_min_len(few).for_each(|(k, dw)| {
        for (panel, dw) in dw.chunks_mut(COLS).enumerate() {
            let mut sum = [0.0; COLS];
            for part in 0..parts {
                let at = grid.at(part, k, panel);
                sum.iter_mut().zip(&sums[at..at + COLS]).for_each(|(sum, more)| *sum += more);
            }
            mode.store(dw, sum);
        }
    });
}

/// The ranges of one task.
struct TaskRanges {
    pixels: Range<usize>,
    rows: Range<usize>,
    panels: Range<usize>,
}

/// Computes the sums of one task, `[panel, row, 16]`: a panel has `of_panel` elements.
fn task<const R: usize, const P: usize>(
    device: &Device,
    g: &Geometry,
    x: Input<'_, impl Real>,
    dy: &[impl Real],
    ranges: &TaskRanges,
    sums: &mut [f32],
    of_panel: usize,
) {
    let TaskRanges { pixels, rows, panels } = ranges;
    let height = rows.len().next_multiple_of(R);
    let of_rows = BLOCK * R + SPREAD;
    let mut scratch = Tensor::scratch(device, [height / R * of_rows + P * BLOCK * COLS]);
    let (packed_dy, packed_x) = scratch.f32_mut().split_at_mut(height / R * of_rows);
    // ANCHOR: blocks
    for first in pixels.clone().step_by(BLOCK) {
        let block = first..pixels.end.min(first + BLOCK);
        let start = if first == pixels.start { Start::Zero } else { Start::Add };
        pack_rows::<R>(dy, g.k, &block, rows, of_rows, packed_dy);
        for (group, sums) in panels.clone().step_by(P).zip(sums.chunks_mut(P * of_panel)) {
            for (p, packed_x) in packed_x.chunks_exact_mut(BLOCK * COLS).enumerate() {
                pack_panel(g, x, &block, group + p, packed_x);
            }
            let b = std::array::from_fn(|p| &packed_x[p * BLOCK * COLS..][..block.len() * COLS]);
            for (i, a) in packed_dy.chunks_exact(of_rows).enumerate() {
                let k_segment = std::array::from_fn(|i| &a[i..]);
                let k_segments = std::slice::from_ref(&k_segment);
                let a = Depth { k_segments, first: 0, count: block.len(), step: R };
                let rows = std::array::from_fn(|j| (i * R + j) * COLS);
                microkernel::<R, P>(&a, &b, start, sums, &rows, of_panel);
            }
        }
    }
    // ANCHOR_END: blocks
}

/// Packs rows of the product (columns of dy) in groups of R, pixel by pixel; a group begins `of_rows` elements after the
/// one before.
fn pack_rows<const R: usize>(
    dy: &[impl Real],
    k: usize,
    block: &Range<usize>,
    rows: &Range<usize>,
    of_rows: usize,
    to: &mut [f32],
) {
    let dy = &dy[block.start * k..block.end * k];
    for (row, to) in rows.clone().step_by(R).zip(to.chunks_exact_mut(of_rows)) {
        let count = R.min(rows.end - row);
        let pixels = dy.chunks_exact(k).zip(to.chunks_exact_mut(R));
        if count == R {
            pixels.for_each(|(dy, to)| widen_few(&dy[row..], to, R));
        } else {
            pixels.for_each(|(dy, to)| {
                widen_few(&dy[row..], to, count);
                to[count..].fill(0.0);
            });
        }
    }
}

/// Packs sixteen columns of the unfolded input, pixel by pixel.
fn pack_panel<E: Real>(g: &Geometry, x: Input<'_, E>, block: &Range<usize>, panel: usize, to: &mut [f32]) {
    let end = g.filter[0] * g.filter[1] * g.c;
    // A panel behind the last column has none: it fills a register tile.
    let columns = (panel * COLS).min(end)..((panel + 1) * COLS).min(end);
    if columns.len() < COLS {
        to.fill(0.0);
    }
    // A panel can contain several taps if the number of channels is small or no multiple of sixteen.
    let mut column = columns.start;
    while column < columns.end {
        let (tap, channel) = (column / g.c, column % g.c);
        let count = (g.c - channel).min(columns.end - column);
        let to = &mut to[column - columns.start..];
        if count == COLS {
            pack_tap(g, x, block, tap, channel, to, |to, from| widen_few(from, to, COLS));
        } else {
            pack_tap(g, x, block, tap, channel, to, |to, from| widen_few(from, to, count));
        }
        column += count;
    }
}

/// Copies the first `count` values in f32, inlined: a constant count becomes whole vector registers.
#[inline(always)]
fn widen_few<E: Real>(from: &[E], to: &mut [f32], count: usize) {
    to[..count].iter_mut().zip(&from[..count]).for_each(|(to, from)| *to = from.widen());
}

/// Packs the input under one tap from a channel on, pixel by pixel; `copy` copies the columns of one pixel.
#[inline(always)]
fn pack_tap<E: Real>(
    g: &Geometry,
    x: Input<'_, E>,
    block: &Range<usize>,
    tap: usize,
    channel: usize,
    to: &mut [f32],
    copy: impl Fn(&mut [f32], &[E]),
) {
    let [height, width] = g.input;
    let [p, q] = g.output;
    let [above, left] = [tap / g.filter[1], tap % g.filter[1]];
    // The pixels of an output row whose tap lies inside the image's width.
    let first = g.pad.saturating_sub(left).div_ceil(g.stride).min(q);
    let last = (width + g.pad).saturating_sub(left).div_ceil(g.stride).clamp(first, q);
    let blank = [E::narrow(0.0); COLS];
    let mut pixel = block.start;
    while pixel < block.end {
        let (n, i, j) = (pixel / (p * q), pixel / q % p, pixel % q);
        let row_end = (pixel - j + q).min(block.end);
        let stop = j + row_end - pixel;
        // A row above the image wraps around to a huge number, which the comparison below treats as outside.
        let row = (i * g.stride + above).wrapping_sub(g.pad);
        let inside = if row < height { first.clamp(j, stop)..last.clamp(j, stop) } else { stop..stop };
        let slot = |j_at: usize| (pixel - block.start + j_at - j) * COLS;
        for at in (j..inside.start).chain(inside.end..stop) {
            copy(&mut to[slot(at)..], &blank);
        }
        if !inside.is_empty() {
            let col = inside.start * g.stride + left - g.pad;
            let from = &x.values[((n * height + row) * width + col) * x.pixel + channel..];
            let to = to[slot(inside.start)..].chunks_mut(COLS).take(inside.len());
            to.enumerate().for_each(|(i, to)| copy(to, &from[i * g.stride * x.pixel..]));
        }
        pixel = row_end;
    }
}

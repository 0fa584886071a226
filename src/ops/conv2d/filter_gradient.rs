//! wgrad: for each filter value, a sum over all pixels of the output.
//!
//! As a matrix product the rows are k, the columns (r, s, c) and the depth the pixels (n, i, j). The columns are
//! cut into panels of sixteen; for a block of pixels a panel of the unfolded input is packed, used by all rows
//! at once, and forgotten. A task sums one part of the pixels for one group of panels; the parts are then added
//! in their order, so the result does not depend on who computed what.

use super::Geometry;
use crate::device::Device;
use crate::device::cpu::tile::{COLS, Depth, ROWS, Start, tile};
use crate::tensor::{DType, Tensor, Write};
use rayon::prelude::*;
use std::ops::Range;

/// Pixels of a block: a packed panel (16 KiB) stays in the first-level cache.
const BLOCK: usize = 256;
/// Rows packed together: with a block of pixels they take 192 KiB.
const CHUNK: usize = 32 * ROWS;
/// Tasks to aim for.
const TASKS: usize = 16;
/// Panels of a task at least, so that packing dy for it is worth it.
const PANELS: usize = 8;

/// dw = or += the gradient of the filters.
pub fn filter_gradient(device: &Device, g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32], write: Write) {
    let columns = g.filter[0] * g.filter[1] * g.c;
    let panels = columns.div_ceil(COLS);
    let group = panels.div_ceil(TASKS).max(PANELS);
    let groups = panels.div_ceil(group);
    let pixels = g.n * g.output[0] * g.output[1];
    let parts = (TASKS / groups).clamp(1, pixels.div_ceil(2 * BLOCK));
    let part = pixels.div_ceil(parts).next_multiple_of(BLOCK);
    let parts = pixels.div_ceil(part);
    let rows = g.k.next_multiple_of(ROWS);

    // [part, panel, row, 16], the panels rounded up to whole groups.
    let mut sums = Tensor::empty(device, [parts, groups * group, rows * COLS], DType::F32);
    sums.f32_mut().par_chunks_mut(group * rows * COLS).enumerate().for_each(|(i, sums)| {
        let pixels = i / groups * part..((i / groups + 1) * part).min(pixels);
        let panels = i % groups * group..(i % groups * group + group).min(panels);
        task(device, g, x, dy, pixels, panels, sums);
    });
    let sums = sums.f32();
    let per_part = groups * group * rows * COLS;
    dw.par_chunks_mut(columns).enumerate().for_each(|(k, dw)| {
        for (panel, dw) in dw.chunks_mut(COLS).enumerate() {
            let at = (panel * rows + k) * COLS;
            let mut sum = [0.0; COLS];
            sum.copy_from_slice(&sums[at..at + COLS]);
            for part in 1..parts {
                let more = &sums[part * per_part + at..part * per_part + at + COLS];
                sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            }
            write.store(dw, sum);
        }
    });
}

/// The sums of some pixels for some panels.
fn task(
    device: &Device,
    g: &Geometry,
    x: &[f32],
    dy: &[f32],
    pixels: Range<usize>,
    panels: Range<usize>,
    sums: &mut [f32],
) {
    let mut scratch = Tensor::empty(device, [BLOCK * (CHUNK + COLS)], DType::F32);
    let (packed_dy, packed_x) = scratch.f32_mut().split_at_mut(BLOCK * CHUNK);
    let rows = g.k.next_multiple_of(ROWS);
    for chunk in (0..rows).step_by(CHUNK) {
        let chunk = chunk..rows.min(chunk + CHUNK);
        for first in pixels.clone().step_by(BLOCK) {
            let block = first..pixels.end.min(first + BLOCK);
            let start = if first == pixels.start { Start::Zero } else { Start::Add };
            pack_rows(dy, g.k, &block, &chunk, packed_dy);
            for (panel, sums) in panels.clone().zip(sums.chunks_exact_mut(rows * COLS)) {
                pack_panel(g, x, &block, panel, packed_x);
                let tiles = packed_dy.chunks_exact(block.len() * ROWS);
                for (row, a) in chunk.clone().step_by(ROWS).zip(tiles) {
                    let stretch = std::array::from_fn(|i| &a[i..]);
                    let a = Depth { stretches: &[stretch], first: 0, count: block.len(), step: ROWS };
                    tile(a, packed_x, start, sums, std::array::from_fn(|i| (row + i) * COLS));
                }
            }
        }
    }
}

/// Rows of the product (columns of dy) in groups of six, pixel by pixel.
fn pack_rows(dy: &[f32], k: usize, block: &Range<usize>, rows: &Range<usize>, to: &mut [f32]) {
    for (row, to) in rows.clone().step_by(ROWS).zip(to.chunks_exact_mut(block.len() * ROWS)) {
        let count = ROWS.min(k - row);
        for (pixel, to) in block.clone().zip(to.chunks_exact_mut(ROWS)) {
            let from = &dy[pixel * k + row..pixel * k + row + count];
            if let Ok(from) = <&[f32; ROWS]>::try_from(from) {
                to.copy_from_slice(from);
            } else {
                to[..count].copy_from_slice(from);
                to[count..].fill(0.0);
            }
        }
    }
}

/// Sixteen columns of the unfolded input, pixel by pixel.
fn pack_panel(g: &Geometry, x: &[f32], block: &Range<usize>, panel: usize, to: &mut [f32]) {
    let [_, s] = g.filter;
    let [height, width] = g.input;
    let columns = panel * COLS..((panel + 1) * COLS).min(g.filter[0] * s * g.c);
    if columns.len() < COLS {
        to.fill(0.0);
    }
    // A panel may reach over several taps when the channels are few or odd.
    let mut column = columns.start;
    while column < columns.end {
        let (tap, channel) = (column / g.c, column % g.c);
        let count = (g.c - channel).min(columns.end - column);
        let at = [tap / s, tap % s];
        let [mut n, mut i, mut j] = position(block.start, g.output);
        for to in to.chunks_exact_mut(COLS).take(block.len()) {
            // Rows above the image wrap around to huge numbers and are refused like those below.
            let row = (i * g.stride + at[0]).wrapping_sub(g.pad);
            let col = (j * g.stride + at[1]).wrapping_sub(g.pad);
            let to = &mut to[column - columns.start..column - columns.start + count];
            if row < height && col < width {
                let from = ((n * height + row) * width + col) * g.c + channel;
                let from = &x[from..from + count];
                if let (Ok(to), Ok(from)) = (<&mut [f32; COLS]>::try_from(&mut *to), <&[f32; COLS]>::try_from(from)) {
                    *to = *from;
                } else {
                    to.copy_from_slice(from);
                }
            } else {
                to.fill(0.0);
            }
            j += 1;
            if j == g.output[1] {
                (j, i) = (0, i + 1);
            }
            if i == g.output[0] {
                (i, n) = (0, n + 1);
            }
        }
        column += count;
    }
}

/// Image, row and column of a pixel number.
fn position(pixel: usize, [height, width]: [usize; 2]) -> [usize; 3] {
    [pixel / (height * width), pixel / width % height, pixel % width]
}

//! The transforms of Winograd's F(2 x 2, 3 x 3), eight channels at a time. The mathematics is in `winograd`.
//!
//! The inlined functions must be called inside of [`vectorized`]. They use index loops: with iterators over the sixteen
//! vectors the compiler keeps the vectors in memory, and packing filters takes twice the time.
//!
//! Book: [chapter 7](../../../../../../docs/book/src/07-convolution.md).
#![allow(clippy::needless_range_loop)]

use super::Geometry;
use crate::device::Device;
use crate::device::cpu::microkernel::COLS;
use crate::device::cpu::simd::{LANES, Lanes, vectorized};
use crate::element::{GradMode, Real};
use crate::tensor::Tensor;
use rayon::prelude::*;

/// The positions of a transformed tile of 4 x 4.
pub const POSITIONS: usize = 16;

type TransformedTile = [Lanes; POSITIONS];

/// The location of a tile of 2 x 2 outputs in the result.
pub struct OutputTile {
    /// The index of the first element.
    pub at: usize,
    /// The elements from one row of the image to the next.
    pub row: usize,
    /// The rows and columns of the tile that are inside of the image.
    pub size: [usize; 2],
    /// The elements of a pixel.
    pub columns: usize,
}

/// Applies a one-dimensional transform of four values to the columns and then the rows of a 4 x 4 tile.
#[inline(always)]
fn both_ways(mut d: TransformedTile, f: impl Fn([Lanes; 4]) -> [Lanes; 4]) -> TransformedTile {
    for i in 0..4 {
        [d[i], d[i + 4], d[i + 8], d[i + 12]] = f([d[i], d[i + 4], d[i + 8], d[i + 12]]);
    }
    for i in [0, 4, 8, 12] {
        [d[i], d[i + 1], d[i + 2], d[i + 3]] = f([d[i], d[i + 1], d[i + 2], d[i + 3]]);
    }
    d
}

/// Evaluates `$work(at, count)` for `$len` values in steps of eight; the last step has the remaining values. A macro,
/// so that `count` is the constant `LANES` in all steps but the last.
macro_rules! in_lanes {
    ($len:expr, |$at:ident, $count:ident| $work:expr) => {{
        let len = $len;
        let whole = len - len % LANES;
        for $at in (0..whole).step_by(LANES) {
            let $count = LANES;
            $work
        }
        if whole < len {
            let ($at, $count) = (whole, len - whole);
            $work
        }
    }};
}

// ANCHOR: input
/// Transforms an input tile, B' d B, for some channels. Value `position` of channel c is stored at
/// `position * stride[0] + c / 16 * stride[1] + c % 16`.
#[inline(always)]
pub fn input<E: Real>(window: &[&[E]; POSITIONS], stride: [usize; 2], to: &mut [f32]) {
    in_lanes!(window[0].len(), |c, count| {
        let mut d = [Lanes::ZERO; POSITIONS];
        for i in 0..POSITIONS {
            d[i] = Lanes::load(window[i], c, count);
        }
        let d = both_ways(d, |d| [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]);
        let at = c / COLS * stride[1] + c % COLS;
        for i in 0..POSITIONS {
            d[i].store(to, i * stride[0] + at, LANES);
        }
    });
}
// ANCHOR_END: input

/// Transforms a product back, A' m A plus bias, and writes or adds the output tile. The values of one position are
/// `stride` elements after those of the position before.
#[inline(always)]
pub fn output(m: &[f32], stride: usize, bias: &[f32], tile: &OutputTile, y: &mut [f32], mode: GradMode) {
    in_lanes!(tile.columns, |k, count| {
        let mut d = [Lanes::ZERO; POSITIONS];
        for i in 0..POSITIONS {
            d[i] = Lanes::load(m, i * stride + k, LANES);
        }
        let d = both_ways(d, |m| [m[0] + m[1] + m[2], m[1] - m[2] - m[3], Lanes::ZERO, Lanes::ZERO]);
        let bias = if bias.is_empty() { Lanes::ZERO } else { Lanes::load(bias, k, count) };
        for i in 0..tile.size[0] {
            for j in 0..tile.size[1] {
                let at = tile.at + i * tile.row + j * tile.columns + k;
                (d[4 * i + j] + bias).put(y, at, count, mode);
            }
        }
    });
}

/// Transforms a filter, G g G': nine values to sixteen.
#[inline(always)]
fn filter(g: [Lanes; 9]) -> TransformedTile {
    let mut d = [Lanes::ZERO; POSITIONS];
    for i in 0..9 {
        d[i / 3 * 4 + i % 3] = g[i];
    }
    both_ways(d, |g| [g[0], (g[0] + g[2] + g[1]) * 0.5, (g[0] + g[2] - g[1]) * 0.5, g[2]])
}

/// Transforms and packs the filters of fprop: `[panel of k, position, c, 16]`.
pub fn filters_of_fprop<E: Real>(device: &Device, g: &Geometry, w: &[E]) -> Tensor {
    let (c, k) = (g.c, g.k);
    let panels = k.div_ceil(COLS);
    let mut packed = Tensor::scratch(device, [panels, POSITIONS, c * COLS]);
    packed.f32_mut().par_chunks_mut(POSITIONS * c * COLS).enumerate().for_each(|(panel, to)| {
        vectorized(
            #[inline(always)]
            || {
                // The transformed values of eight channels before the transposition: [position, 16 filters, channel].
                let mut turned = [0.0f32; POSITIONS * COLS * LANES];
                in_lanes!(c, |first, count| {
                    for j in 0..COLS.min(k - panel * COLS) {
                        let values = &w[(panel * COLS + j) * 9 * c..][..9 * c];
                        let mut taps = [Lanes::ZERO; 9];
                        for i in 0..9 {
                            taps[i] = Lanes::load(values, i * c + first, count);
                        }
                        let d = filter(taps);
                        for i in 0..POSITIONS {
                            d[i].store(&mut turned, (i * COLS + j) * LANES, LANES);
                        }
                    }
                    for position in 0..POSITIONS {
                        let turned = &turned[position * COLS * LANES..][..COLS * LANES];
                        let to = &mut to[(position * c + first) * COLS..][..count * COLS];
                        for (l, to) in to.chunks_exact_mut(COLS).enumerate() {
                            for j in 0..COLS {
                                to[j] = turned[j * LANES + l];
                            }
                        }
                    }
                });
            },
        );
    });
    packed
}

/// Rotates, transforms and packs the filters of dgrad: `[panel of c, position, k, 16]`.
pub fn filters_of_dgrad<E: Real>(device: &Device, g: &Geometry, w: &[E]) -> Tensor {
    let (c, k) = (g.c, g.k);
    let panels = c.div_ceil(COLS);
    let mut packed = Tensor::scratch(device, [panels, POSITIONS, k * COLS]);
    packed.f32_mut().par_chunks_mut(POSITIONS * k * COLS).enumerate().for_each(|(panel, to)| {
        vectorized(
            #[inline(always)]
            || {
                for k_at in 0..k {
                    in_lanes!(COLS.min(c - panel * COLS), |first, count| {
                        let mut taps = [Lanes::ZERO; 9];
                        for i in 0..9 {
                            let at = (k_at * 9 + 8 - i) * c + panel * COLS + first;
                            taps[i] = Lanes::load(w, at, count);
                        }
                        let d = filter(taps);
                        for i in 0..POSITIONS {
                            d[i].store(to, (i * k + k_at) * COLS + first, LANES);
                        }
                    });
                }
            },
        );
    });
    packed
}

/// Transforms an output gradient, A dy A', for all channels: four values to sixteen. The values of one position are
/// stored `stride` elements after those of the position before.
#[inline(always)]
pub fn gradient<E: Real>(dy: &[&[E]; 4], stride: usize, to: &mut [f32]) {
    in_lanes!(dy[0].len(), |k, count| {
        let mut d = [Lanes::ZERO; POSITIONS];
        for i in 0..4 {
            d[i / 2 * 4 + i % 2] = Lanes::load(dy[i], k, count);
        }
        let d = both_ways(d, |y| [y[0], y[0] + y[1], y[0] - y[1], Lanes::ZERO - y[1]]);
        for i in 0..POSITIONS {
            d[i].store(to, i * stride + k, LANES);
        }
    });
}

/// The layout of the sums of wgrad: `[part, group, position, panel in the group, k, 16]`.
pub struct SumLayout {
    /// The number of parts of the tiles; their sums are added up.
    pub parts: usize,
    /// The number of groups of panels.
    pub groups: usize,
    /// The panels of a group.
    pub group: usize,
    /// The elements of a panel.
    pub of_panel: usize,
}

/// Transforms the sums of filter k back, G' u G with u the sum of all parts, and writes or adds dw.
#[inline(always)]
pub fn sums<E: Real>(from: &[f32], layout: &SumLayout, k: usize, dw: &mut [E], mode: GradMode) {
    let SumLayout { parts, groups, group, of_panel } = *layout;
    let of_task = POSITIONS * group * of_panel;
    let channels = dw.len() / 9;
    in_lanes!(channels, |c, count| {
        let (panel, lane) = (c / COLS, c % COLS);
        let mut u = [Lanes::ZERO; POSITIONS];
        for part in 0..parts {
            let task = &from[(part * groups + panel / group) * of_task..][..of_task];
            for i in 0..POSITIONS {
                let at = (i * group + panel % group) * of_panel + k * COLS + lane;
                u[i] = u[i] + Lanes::load(task, at, LANES);
            }
        }
        let g = both_ways(u, |u| {
            let (sum, difference) = ((u[1] + u[2]) * 0.5, (u[1] - u[2]) * 0.5);
            [u[0] + sum, difference, sum + u[3], Lanes::ZERO]
        });
        for i in 0..9 {
            g[i / 3 * 4 + i % 3].put(dw, i * channels + c, count, mode);
        }
    });
}

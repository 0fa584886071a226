//! 3 x 3 filters at stride 1 with 2.25 times fewer multiplications: Winograd's F(2 x 2, 3 x 3), after Lavin and
//! Gray, "Fast Algorithms for Convolutional Neural Networks" (2015).
//!
//! A tile of 2 x 2 outputs sees 4 x 4 inputs d. With the filter g,
//! y = A' \[ (G g G') * (B' d B) \] A, where * multiplies element by element and ' transposes:
//!
//! - input: B' d = (d0 - d2, d1 + d2, d2 - d1, d1 - d3)
//! - filter: G g = (g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2)
//! - output: A' m = (m0 + m1 + m2, m1 - m2 - m3)
//!
//! Summed over channels, the products at each of the 16 positions of a transformed tile are a matrix product
//! of their own. y is linear in d and in g, so dgrad is the same algorithm on dy with the rotated filter, and
//! wgrad its transpose: dg = G' \[ (A dy A') * (B' d B) \] G. All coefficients are 0, 1 or 1/2: the rounding error is
//! that of the direct sum. (Larger tiles save more and lose digits.)

use super::Geometry;
use crate::device::Device;
use crate::device::cpu::simd::{LANES, Lanes, vectorized};
use crate::device::cpu::tile::{COLS, Depth, ROWS, Start, tile};
use crate::tensor::{DType, Tensor, Write};
use rayon::prelude::*;
use std::ops::Range;

/// Values of a transformed tile of 4 x 4.
const SPOTS: usize = 16;
/// Depth of one pass over a register tile.
const DEPTH: usize = 384;
/// Tiles of a block of wgrad.
const BLOCK: usize = 64;
/// Panels of sixteen channels of a wgrad task.
const PANELS: usize = 8;
/// Tasks to aim for.
const TASKS: usize = 16;
/// Fewer channels than this do not pay for the transforms.
const CHANNELS: usize = 32;

type Spots = [Lanes; SPOTS];

/// Whether the algorithm applies and is worth it.
pub fn suits(g: &Geometry) -> bool {
    g.filter == [3, 3] && g.stride == 1 && g.pad <= 2 && g.c.min(g.k) >= CHANNELS
}

/// y = the convolution of x with w, plus bias.
pub fn fprop(device: &Device, g: &Geometry, x: &[f32], w: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    let filters = filters_of_fprop(device, g, w);
    let plan = Plan { n: g.n, input: g.input, channels: g.c, output: g.output, columns: g.k, pad: g.pad };
    plan.run(device, x, filters.f32(), bias, y, Write::Overwrite);
}

/// dx = or += the gradient of the input.
pub fn dgrad(device: &Device, g: &Geometry, dy: &[f32], w: &[f32], dx: &mut [f32], write: Write) {
    let filters = filters_of_dgrad(device, g, w);
    let plan = Plan { n: g.n, input: g.output, channels: g.k, output: g.input, columns: g.c, pad: 2 - g.pad };
    plan.run(device, dy, filters.f32(), None, dx, write);
}

/// One convolution of some image with transformed filters.
struct Plan {
    n: usize,
    input: [usize; 2],
    channels: usize,
    output: [usize; 2],
    columns: usize,
    pad: usize,
}

/// A row length in elements that does not put equal columns of many rows on the same cache lines.
fn spread(len: usize) -> usize {
    len.next_multiple_of(COLS) + LANES
}

impl Plan {
    /// Tiles in a column and in a row of the image.
    fn tiles(&self) -> [usize; 2] {
        self.output.map(|size| size.div_ceil(2))
    }

    /// Some channels of the sixteen pixels that tile (i, j) of image n sees; `zeros` outside of the image.
    fn window<'a>(
        &self,
        x: &'a [f32],
        zeros: &'a [f32],
        [n, i, j]: [usize; 3],
        channels: Range<usize>,
    ) -> [&'a [f32]; SPOTS] {
        let [height, width] = self.input;
        std::array::from_fn(|spot| {
            // Rows above the image wrap around to huge numbers and are refused like those below.
            let row = (2 * i + spot / 4).wrapping_sub(self.pad);
            let col = (2 * j + spot % 4).wrapping_sub(self.pad);
            if row < height && col < width {
                let at = ((n * height + row) * width + col) * self.channels;
                &x[at + channels.start..at + channels.end]
            } else {
                zeros
            }
        })
    }

    fn run(
        &self,
        device: &Device,
        x: &[f32],
        filters: &[f32],
        bias: Option<&[f32]>,
        y: &mut [f32],
        write: Write,
    ) {
        let [height, width] = self.output;
        let [down, across] = self.tiles();
        // Whole rows of tiles make a task, so that its part of y is one piece.
        let rows = self.n * down;
        let tiles = rows * across;
        // Many channels fill the caches with fewer tiles.
        let most = if self.channels + self.columns <= 256 { 8 } else { 4 };
        let of_task =
            [most, 4, 2, 1].map(|n| n * ROWS).into_iter().find(|of_task| tiles >= of_task * TASKS / 3);
        let together = (of_task.unwrap_or(ROWS) / across).max(1);
        let first_pixel_row = |row: usize| row / down * height + row % down * 2;
        let mut rest = y;
        let mut pieces = Vec::new();
        for first in (0..rows).step_by(together) {
            let last = (first + together).min(rows);
            let end = if last == rows { self.n * height } else { first_pixel_row(last) };
            let len = (end - first_pixel_row(first)) * width * self.columns;
            let (piece, after) = rest.split_at_mut(len);
            pieces.push((first..last, piece));
            rest = after;
        }
        let zeros = vec![0.0; self.channels];
        pieces.into_par_iter().for_each(|(rows, y)| {
            let tiles: Vec<[usize; 3]> =
                rows.flat_map(|row| (0..across).map(move |j| [row / down, row % down, j])).collect();
            self.task(device, x, &zeros, filters, bias, &tiles, y, write);
        });
    }

    #[allow(clippy::too_many_arguments)]
    fn task(
        &self,
        device: &Device,
        x: &[f32],
        zeros: &[f32],
        filters: &[f32],
        bias: Option<&[f32]>,
        tiles: &[[usize; 3]],
        y: &mut [f32],
        write: Write,
    ) {
        let count = tiles.len().next_multiple_of(ROWS);
        let (row_in, row_out) = (spread(self.channels), spread(self.columns));
        let mut scratch = Tensor::empty(device, [SPOTS * count * (row_in + row_out)], DType::F32);
        let (v, m) = scratch.f32_mut().split_at_mut(SPOTS * count * row_in);
        for (t, &at) in tiles.iter().enumerate() {
            let window = self.window(x, zeros, at, 0..self.channels);
            let v = &mut v[t * row_in..];
            vectorized(|| input_transform(&window, [count * row_in, COLS], v));
        }
        let panel_size = self.channels * COLS;
        let passes = self.channels.div_ceil(DEPTH);
        let pass = self.channels.div_ceil(passes);
        let spots = v.chunks_exact(count * row_in).zip(m.chunks_exact_mut(count * row_out));
        for (spot, (v, m)) in spots.enumerate() {
            for (panel, filters) in filters.chunks_exact(SPOTS * panel_size).enumerate() {
                let filter = &filters[spot * panel_size..(spot + 1) * panel_size];
                for first in (0..self.channels).step_by(pass) {
                    let steps = pass.min(self.channels - first);
                    let start = if first == 0 { Start::Zero } else { Start::Add };
                    for t in (0..count).step_by(ROWS) {
                        let rows =
                            std::array::from_fn(|i| &v[(t + i) * row_in..(t + i) * row_in + self.channels]);
                        let a = Depth { stretches: &[rows], first, count: steps, step: 1 };
                        tile(
                            a,
                            &filter[first * COLS..],
                            start,
                            m,
                            std::array::from_fn(|i| (t + i) * row_out + panel * COLS),
                        );
                    }
                }
            }
        }
        let [height, width] = self.output;
        let first_row = tiles[0][0] * height + tiles[0][1] * 2;
        for (t, &[n, i, j]) in tiles.iter().enumerate() {
            let at = ((n * height + 2 * i - first_row) * width + 2 * j) * self.columns;
            let place = Place {
                at,
                row: width * self.columns,
                size: [2.min(height - 2 * i), 2.min(width - 2 * j)],
                columns: self.columns,
            };
            let m = &m[t * row_out..];
            vectorized(|| output_transform(m, count * row_out, bias.unwrap_or(&[]), &place, y, write));
        }
    }
}

/// Where a tile of 2 x 2 outputs lies, and how much of it is inside the image.
struct Place {
    at: usize,
    /// Elements from a row of the image to the next.
    row: usize,
    size: [usize; 2],
    columns: usize,
}

/// Applies a one-dimensional transform of four values to the columns and then the rows of a 4 x 4 tile.
#[inline(always)]
fn both_ways(mut d: Spots, f: impl Fn([Lanes; 4]) -> [Lanes; 4]) -> Spots {
    for i in 0..4 {
        [d[i], d[i + 4], d[i + 8], d[i + 12]] = f([d[i], d[i + 4], d[i + 8], d[i + 12]]);
    }
    for i in [0, 4, 8, 12] {
        [d[i], d[i + 1], d[i + 2], d[i + 3]] = f([d[i], d[i + 1], d[i + 2], d[i + 3]]);
    }
    d
}

/// Calls `$work(at, count)` for `$len` values in steps of eight, the last step with what is left. A macro, so that
/// `count` is the constant `LANES` in all steps but the last.
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

/// B' d B for some channels; value `spot` of channel c goes to `spot * stride.0 + c / 16 * stride.1 + c % 16`.
#[inline(always)]
fn input_transform(window: &[&[f32]; SPOTS], stride: [usize; 2], to: &mut [f32]) {
    in_lanes!(window[0].len(), |c, count| {
        let mut d = [Lanes::ZERO; SPOTS];
        for i in 0..SPOTS {
            d[i] = Lanes::load(window[i], c, count);
        }
        let d = both_ways(d, |d| [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]);
        let at = c / COLS * stride[1] + c % COLS;
        for i in 0..SPOTS {
            d[i].store(to, i * stride[0] + at, LANES);
        }
    });
}

/// A' m A plus bias, written or added.
#[inline(always)]
fn output_transform(m: &[f32], spot: usize, bias: &[f32], place: &Place, y: &mut [f32], write: Write) {
    in_lanes!(place.columns, |k, count| {
        let mut d = [Lanes::ZERO; SPOTS];
        for i in 0..SPOTS {
            d[i] = Lanes::load(m, i * spot + k, LANES);
        }
        let d = both_ways(d, |m| [m[0] + m[1] + m[2], m[1] - m[2] - m[3], Lanes::ZERO, Lanes::ZERO]);
        let bias = if bias.is_empty() { Lanes::ZERO } else { Lanes::load(bias, k, count) };
        for i in 0..place.size[0] {
            for j in 0..place.size[1] {
                let at = place.at + i * place.row + j * place.columns + k;
                (d[4 * i + j] + bias).put(y, at, count, write);
            }
        }
    });
}

/// G g G': nine values to sixteen.
#[inline(always)]
fn filter_transform(g: [Lanes; 9]) -> Spots {
    let mut d = [Lanes::ZERO; SPOTS];
    for i in 0..9 {
        d[i / 3 * 4 + i % 3] = g[i];
    }
    both_ways(d, |g| [g[0], (g[0] + g[2] + g[1]) * 0.5, (g[0] + g[2] - g[1]) * 0.5, g[2]])
}

/// The filters of fprop, transformed and packed: `[panel of k, spot, c, 16]`.
fn filters_of_fprop(device: &Device, g: &Geometry, w: &[f32]) -> Tensor {
    let (c, k) = (g.c, g.k);
    let panels = k.div_ceil(COLS);
    let mut packed = Tensor::empty(device, [panels, SPOTS, c * COLS], DType::F32);
    packed.f32_mut().par_chunks_mut(SPOTS * c * COLS).enumerate().for_each(|(panel, to)| {
        vectorized(|| {
            // The values of eight channels before they are transposed: [spot, 16 filters, channel].
            let mut turned = [0.0; SPOTS * COLS * LANES];
            in_lanes!(c, |first, count| {
                for j in 0..COLS.min(k - panel * COLS) {
                    let filter = &w[(panel * COLS + j) * 9 * c..][..9 * c];
                    let mut taps = [Lanes::ZERO; 9];
                    for i in 0..9 {
                        taps[i] = Lanes::load(filter, i * c + first, count);
                    }
                    let d = filter_transform(taps);
                    for i in 0..SPOTS {
                        d[i].store(&mut turned, (i * COLS + j) * LANES, LANES);
                    }
                }
                for spot in 0..SPOTS {
                    let turned = &turned[spot * COLS * LANES..][..COLS * LANES];
                    let to = &mut to[(spot * c + first) * COLS..][..count * COLS];
                    for (l, to) in to.chunks_exact_mut(COLS).enumerate() {
                        for j in 0..COLS {
                            to[j] = turned[j * LANES + l];
                        }
                    }
                }
            });
        });
    });
    packed
}

/// The filters of dgrad, rotated, transformed and packed: `[panel of c, spot, k, 16]`.
fn filters_of_dgrad(device: &Device, g: &Geometry, w: &[f32]) -> Tensor {
    let (c, k) = (g.c, g.k);
    let panels = c.div_ceil(COLS);
    let mut packed = Tensor::empty(device, [panels, SPOTS, k * COLS], DType::F32);
    packed.f32_mut().par_chunks_mut(SPOTS * k * COLS).enumerate().for_each(|(panel, to)| {
        vectorized(|| {
            for k_at in 0..k {
                in_lanes!(COLS.min(c - panel * COLS), |first, count| {
                    let mut taps = [Lanes::ZERO; 9];
                    for i in 0..9 {
                        let at = (k_at * 9 + 8 - i) * c + panel * COLS + first;
                        taps[i] = Lanes::load(w, at, count);
                    }
                    let d = filter_transform(taps);
                    for i in 0..SPOTS {
                        d[i].store(to, (i * k + k_at) * COLS + first, LANES);
                    }
                });
            }
        });
    });
    packed
}

/// dw = or += the gradient of the filters.
pub fn wgrad(device: &Device, g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32], write: Write) {
    let plan = Plan { n: g.n, input: g.input, channels: g.c, output: g.output, columns: g.k, pad: g.pad };
    let [down, across] = plan.tiles();
    let tiles = g.n * down * across;
    let panels = g.c.div_ceil(COLS);
    let groups = panels.div_ceil(PANELS);
    let group = panels.div_ceil(groups);
    let parts = (TASKS / groups).clamp(1, tiles.div_ceil(2 * BLOCK));
    let part = tiles.div_ceil(parts).next_multiple_of(BLOCK);
    let parts = tiles.div_ceil(part);
    // Sums of a task: [spot, panel, k, 16].
    let of_panel = g.k.next_multiple_of(ROWS) * COLS;
    let of_task = SPOTS * group * of_panel;
    let mut sums = Tensor::empty(device, [parts * groups, of_task], DType::F32);
    sums.f32_mut().par_chunks_mut(of_task).enumerate().for_each(|(i, sums)| {
        let tiles = i / groups * part..((i / groups + 1) * part).min(tiles);
        let channels = i % groups * group * COLS..((i % groups + 1) * group * COLS).min(g.c);
        plan.wgrad_task(device, x, dy, tiles, channels, sums);
    });
    let sums = sums.f32();
    dw.par_chunks_mut(9 * g.c).enumerate().for_each(|(k, dw)| {
        vectorized(|| {
            in_lanes!(g.c, |c, count| {
                let (panel, lane) = (c / COLS, c % COLS);
                let mut d = [Lanes::ZERO; SPOTS];
                for part in 0..parts {
                    let task = &sums[(part * groups + panel / group) * of_task..][..of_task];
                    for i in 0..SPOTS {
                        let at = (i * group + panel % group) * of_panel + k * COLS + lane;
                        d[i] = d[i] + Lanes::load(task, at, LANES);
                    }
                }
                let d = both_ways(d, |u| {
                    let (sum, difference) = ((u[1] + u[2]) * 0.5, (u[1] - u[2]) * 0.5);
                    [u[0] + sum, difference, sum + u[3], Lanes::ZERO]
                });
                for i in 0..9 {
                    d[i / 3 * 4 + i % 3].put(dw, i * g.c + c, count, write);
                }
            });
        });
    });
}

impl Plan {
    /// The transformed sums of some tiles for some channels of the input and all of the output.
    fn wgrad_task(
        &self,
        device: &Device,
        x: &[f32],
        dy: &[f32],
        tiles: Range<usize>,
        channels: Range<usize>,
        sums: &mut [f32],
    ) {
        let [down, across] = self.tiles();
        let row = spread(self.columns.next_multiple_of(ROWS));
        let panels = channels.len().div_ceil(COLS);
        let of_panel = self.columns.next_multiple_of(ROWS) * COLS;
        let group = sums.len() / SPOTS / of_panel;
        let mut scratch = Tensor::empty(device, [SPOTS * BLOCK * (panels * COLS + row)], DType::F32);
        let (v, m) = scratch.f32_mut().split_at_mut(SPOTS * BLOCK * panels * COLS);
        let (zeros, zero_outputs) = (vec![0.0; channels.len()], vec![0.0; self.columns]);
        for first in tiles.clone().step_by(BLOCK) {
            let block = first..tiles.end.min(first + BLOCK);
            let start = if first == tiles.start { Start::Zero } else { Start::Add };
            for (t, at) in block.clone().enumerate() {
                let at = [at / (down * across), at / across % down, at % across];
                let window = self.window(x, &zeros, at, channels.clone());
                let v = &mut v[t * COLS..];
                vectorized(|| input_transform(&window, [panels * BLOCK * COLS, BLOCK * COLS], v));
                let outputs = self.outputs(dy, &zero_outputs, at);
                let m = &mut m[t * row..];
                vectorized(|| gradient_transform(&outputs, BLOCK * row, m));
            }
            for spot in 0..SPOTS {
                let m = &m[spot * BLOCK * row..(spot + 1) * BLOCK * row];
                for panel in 0..panels {
                    let v = &v[(spot * panels + panel) * BLOCK * COLS..][..block.len() * COLS];
                    let sums = &mut sums[(spot * group + panel) * of_panel..][..of_panel];
                    for k in (0..self.columns).step_by(ROWS) {
                        let rows = std::array::from_fn(|i| &m[k + i..]);
                        let a = Depth { stretches: &[rows], first: 0, count: block.len(), step: row };
                        tile(a, v, start, sums, std::array::from_fn(|i| (k + i) * COLS));
                    }
                }
            }
        }
    }

    /// The four gradients of a tile's outputs; `zeros` outside of the image.
    fn outputs<'a>(&self, dy: &'a [f32], zeros: &'a [f32], [n, i, j]: [usize; 3]) -> [&'a [f32]; 4] {
        let [height, width] = self.output;
        std::array::from_fn(|spot| {
            let (row, col) = (2 * i + spot / 2, 2 * j + spot % 2);
            if row < height && col < width {
                let at = ((n * height + row) * width + col) * self.columns;
                &dy[at..at + self.columns]
            } else {
                zeros
            }
        })
    }
}

/// A dy A' for all channels: four values to sixteen.
#[inline(always)]
fn gradient_transform(dy: &[&[f32]; 4], spot: usize, to: &mut [f32]) {
    in_lanes!(dy[0].len(), |k, count| {
        let mut d = [Lanes::ZERO; SPOTS];
        for i in 0..4 {
            d[i / 2 * 4 + i % 2] = Lanes::load(dy[i], k, count);
        }
        let d = both_ways(d, |y| [y[0], y[0] + y[1], y[0] - y[1], Lanes::ZERO - y[1]]);
        for i in 0..SPOTS {
            d[i].store(to, i * spot + k, LANES);
        }
    });
}

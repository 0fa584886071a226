//! Step 5: fewer multiplications, Winograd's F(2 x 2, 3 x 3).

use super::layer::{Layer, TAPS};
use super::meter::{Cost, Meter};
use super::microkernel::{COLS, ROWS, packed, tile, values_of_tiles};
use std::array::from_fn;

/// Positions of a transformed tile of 4 x 4.
const POSITIONS: usize = 16;
/// Channels that are transformed together.
const LANES: usize = 8;

type Lanes = [f32; LANES];

#[inline(always)]
fn plus(a: Lanes, b: Lanes) -> Lanes {
    from_fn(|i| a[i] + b[i])
}

#[inline(always)]
fn minus(a: Lanes, b: Lanes) -> Lanes {
    from_fn(|i| a[i] - b[i])
}

// ANCHOR: transforms
/// A transform of four values, applied to the columns of a 4 x 4 tile and then to its rows.
#[inline(always)]
fn both_ways(mut d: [Lanes; POSITIONS], mut f: impl FnMut([Lanes; 4]) -> [Lanes; 4]) -> [Lanes; POSITIONS] {
    for i in 0..4 {
        [d[i], d[i + 4], d[i + 8], d[i + 12]] = f([d[i], d[i + 4], d[i + 8], d[i + 12]]);
    }
    for i in [0, 4, 8, 12] {
        [d[i], d[i + 1], d[i + 2], d[i + 3]] = f([d[i], d[i + 1], d[i + 2], d[i + 3]]);
    }
    d
}

/// B' d: the input.
#[inline(always)]
fn input(d: [Lanes; 4]) -> [Lanes; 4] {
    [minus(d[0], d[2]), plus(d[1], d[2]), minus(d[2], d[1]), minus(d[1], d[3])]
}

/// G g: a filter; g[3] is not used.
#[inline(always)]
fn filter<M: Meter>(m: &mut M, g: [Lanes; 4]) -> [Lanes; 4] {
    let ends = plus(g[0], g[2]);
    [g[0], m.scaled(0.5, plus(ends, g[1])), m.scaled(0.5, minus(ends, g[1])), g[2]]
}

/// A' m: the output; two values.
#[inline(always)]
fn output(m: [Lanes; 4]) -> [Lanes; 4] {
    [plus(plus(m[0], m[1]), m[2]), minus(minus(m[1], m[2]), m[3]), [0.0; LANES], [0.0; LANES]]
}
// ANCHOR_END: transforms

#[inline(always)]
pub fn run<M: Meter>(m: &mut M, layer: &Layer, x: &[f32], w: &[f32], y: &mut [f32]) {
    let Layer { height, width, c, k } = *layer;
    let tiles = height / 2 * (width / 2);
    // Filters: [position, k, c].
    let mut u = vec![0.0; POSITIONS * k * c];
    for at in (0..k * c).step_by(LANES) {
        let mut g = [[0.0; LANES]; POSITIONS];
        for tap in 0..TAPS {
            g[tap / 3 * 4 + tap % 3] = m.load(w, (at / c * TAPS + tap) * c + at % c);
        }
        let g = both_ways(g, |g| filter(m, g));
        (0..POSITIONS).for_each(|position| m.store(&mut u, position * k * c + at, g[position]));
    }
    // Input: [position, tile, c].
    let mut v = vec![0.0; POSITIONS * tiles * c];
    for at in (0..tiles * c).step_by(LANES) {
        let corner = [at / c / (width / 2) * 2, at / c % (width / 2) * 2];
        let mut d = [[0.0; LANES]; POSITIONS];
        for (position, d) in d.iter_mut().enumerate() {
            let [row, column] =
                [corner[0] + position / 4, corner[1] + position % 4].map(|at| at.wrapping_sub(1));
            if row < height && column < width {
                *d = m.load(x, (row * width + column) * c + at % c);
            }
        }
        let d = both_ways(d, input);
        (0..POSITIONS).for_each(|position| m.store(&mut v, position * tiles * c + at, d[position]));
    }
    // For each position one product of matrices, [tiles, c] by [c, k].
    let mut products = vec![0.0; POSITIONS * tiles * k];
    let each = u.chunks_exact(k * c).zip(v.chunks_exact(tiles * c)).zip(products.chunks_exact_mut(tiles * k));
    for ((u, v), products) in each {
        let panels = packed(m, u, c);
        for (panel, b) in panels.chunks_exact(c * COLS).enumerate() {
            for first in (0..tiles).step_by(ROWS) {
                let rows: [&[f32]; ROWS] = from_fn(|row| &v[(first + row) * c..][..c]);
                let at = from_fn(|row| (first + row) * k + panel * COLS);
                tile(m, &[rows], b, products, at);
            }
        }
    }
    // Output: four pixels of each tile.
    for at in (0..tiles * k).step_by(LANES) {
        let corner = [at / k / (width / 2) * 2, at / k % (width / 2) * 2];
        let d = from_fn(|position| m.load(&products, position * tiles * k + at));
        let d = both_ways(d, output);
        for [row, column] in [[0, 0], [0, 1], [1, 0], [1, 1]] {
            let pixel = (corner[0] + row) * width + corner[1] + column;
            m.store(y, pixel * k + at % k, d[4 * row + column]);
        }
    }
}

pub fn cost(layer: &Layer) -> Cost {
    let Layer { height, width, c, k } = *layer;
    let tiles = height / 2 * (width / 2);
    let filters = (TAPS + POSITIONS) * c * k + 2 * POSITIONS * c * k;
    let inputs = (2 * height - 2) * (2 * width - 2) * c + POSITIONS * tiles * c;
    let outputs = (POSITIONS + 4) * tiles * k;
    let moved = filters + inputs + POSITIONS * values_of_tiles(tiles, c, k) + outputs;
    Cost::new(POSITIONS * tiles * c * k + 16 * c * k, moved)
}

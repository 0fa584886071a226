// Expect: the transforms multiply too
use crate::layer::{Layer, TAPS};
use crate::meter::Meter;
use crate::microkernel::{COLS, ROWS, packed, tile};
use std::array::from_fn;

/// The matrices of F(4 x 4, 3 x 3) (Lavin and Gray, 2015), with ' for transposed: a transformed tile is B' d B with
/// B' = INPUT, a transformed filter G g G' with G = FILTER, the output A' m A with A' = OUTPUT.
const INPUT: [[f32; 6]; 6] = [
    [4.0, 0.0, -5.0, 0.0, 1.0, 0.0],
    [0.0, -4.0, -4.0, 1.0, 1.0, 0.0],
    [0.0, 4.0, -4.0, -1.0, 1.0, 0.0],
    [0.0, -2.0, -1.0, 2.0, 1.0, 0.0],
    [0.0, 2.0, -1.0, -2.0, 1.0, 0.0],
    [0.0, 4.0, 0.0, -5.0, 0.0, 1.0],
];
const FILTER: [[f32; 3]; 6] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];
const OUTPUT: [[f32; 6]; 4] = [
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
    [0.0, 1.0, -1.0, 2.0, -2.0, 0.0],
    [0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
    [0.0, 1.0, -1.0, 8.0, -8.0, 1.0],
];

/// Channels that are transformed together.
const LANES: usize = 8;
/// Positions of a transformed tile of 6 x 6.
const POSITIONS: usize = 36;

type Lanes = [f32; LANES];

/// matrix [TO, FROM] times values: a coefficient of 0 costs nothing, and one of 1 or -1 no multiplication.
fn times<M: Meter, const TO: usize, const FROM: usize>(
    m: &mut M,
    matrix: &[[f32; FROM]; TO],
    values: [Lanes; FROM],
) -> [Lanes; TO] {
    matrix.map(|row| {
        let mut sum = [0.0; LANES];
        for (factor, value) in row.into_iter().zip(values) {
            let product = match factor {
                0.0 => continue,
                1.0 => value,
                -1.0 => value.map(|value| -value),
                factor => value.map(|value| factor * value),
            };
            sum = from_fn(|i| sum[i] + product[i]);
        }
        sum
    })
}

/// matrix d matrix' for a tile d.
fn both_ways<M: Meter, const TO: usize, const FROM: usize>(
    m: &mut M,
    matrix: &[[f32; FROM]; TO],
    d: [[Lanes; FROM]; FROM],
) -> [[Lanes; TO]; TO] {
    // Each row [FROM] of d becomes a row [TO]; then the same for the columns.
    let rows: [[Lanes; TO]; FROM] = d.map(|row| times(m, matrix, row));
    let columns: [[Lanes; TO]; TO] = from_fn(|j| times(m, matrix, from_fn(|i| rows[i][j])));
    from_fn(|i| from_fn(|j| columns[j][i]))
}

/// Step 6: Winograd's F(4 x 4, 3 x 3). Height and width are multiples of 4, the number of tiles of 4 x 4 pixels is a
/// multiple of 4, c is a multiple of 8 and k one of 16. All loads, stores and multiplications go through `m`, those of
/// the transforms by `Meter::scaled`.
pub fn run<M: Meter>(m: &mut M, layer: &Layer, x: &[f32], w: &[f32], y: &mut [f32]) {
    let Layer { height, width, c, k } = *layer;
    let across = width / 4;
    let tiles = height / 4 * across;
    // Filters: [position, k, c].
    let mut u = vec![0.0; POSITIONS * k * c];
    for at in (0..k * c).step_by(LANES) {
        let tap = |row: usize, column: usize| (at / c * TAPS + row * 3 + column) * c + at % c;
        let g = from_fn(|row| from_fn(|column| m.load(w, tap(row, column))));
        let g = both_ways(m, &FILTER, g);
        (0..POSITIONS)
            .for_each(|position| m.store(&mut u, position * k * c + at, g[position / 6][position % 6]));
    }
    // Input: [position, tile, c].
    let mut v = vec![0.0; POSITIONS * tiles * c];
    for at in (0..tiles * c).step_by(LANES) {
        let corner = [at / c / across * 4, at / c % across * 4];
        let mut d = [[[0.0; LANES]; 6]; 6];
        for position in 0..POSITIONS {
            let [row, column] =
                [corner[0] + position / 6, corner[1] + position % 6].map(|at| at.wrapping_sub(1));
            if row < height && column < width {
                d[position / 6][position % 6] = m.load(x, (row * width + column) * c + at % c);
            }
        }
        let d = both_ways(m, &INPUT, d);
        (0..POSITIONS)
            .for_each(|position| m.store(&mut v, position * tiles * c + at, d[position / 6][position % 6]));
    }
    // For each position one product of matrices, [tiles, c] by [c, k].
    let mut products = vec![0.0; POSITIONS * tiles * k];
    let each = u.chunks_exact(k * c).zip(v.chunks_exact(tiles * c)).zip(products.chunks_exact_mut(tiles * k));
    for ((u, v), products) in each {
        let panels = packed(m, u, c);
        for (panel, b) in panels.chunks_exact(c * COLS).enumerate() {
            for first in (0..tiles).step_by(ROWS) {
                let rows: [&[f32]; ROWS] = from_fn(|row| &v[(first + row) * c..][..c]);
                tile(m, &[rows], b, products, from_fn(|row| (first + row) * k + panel * COLS));
            }
        }
    }
    // Output: sixteen pixels of each tile.
    for at in (0..tiles * k).step_by(LANES) {
        let corner = [at / k / across * 4, at / k % across * 4];
        let d = from_fn(|row| from_fn(|column| m.load(&products, (row * 6 + column) * tiles * k + at)));
        let d: [[Lanes; 4]; 4] = both_ways(m, &OUTPUT, d);
        for position in 0..16 {
            let [row, column] = [position / 4, position % 4];
            let pixel = (corner[0] + row) * width + corner[1] + column;
            m.store(y, pixel * k + at % k, d[row][column]);
        }
    }
}

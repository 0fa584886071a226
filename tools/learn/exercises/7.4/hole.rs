use crate::layer::{Layer, TAPS};
use crate::meter::Meter;
use crate::microkernel::{COLS, ROWS, packed, tile};

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

/// Step 6: Winograd's F(4 x 4, 3 x 3). Height and width are multiples of 4, the number of tiles of 4 x 4 pixels is a
/// multiple of 4, c is a multiple of 8 and k one of 16. All loads, stores and multiplications go through `m`, those of
/// the transforms by `Meter::scaled`.
pub fn run<M: Meter>(m: &mut M, layer: &Layer, x: &[f32], w: &[f32], y: &mut [f32]) {
    let tiles = layer.height / 4 * (layer.width / 4);
    let _ = (m, x, w, y);
    todo!("36 products of matrices [{tiles}, {}] by [{}, {}]", layer.c, layer.c, layer.k)
}

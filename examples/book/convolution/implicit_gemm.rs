//! Step 3: the same product of matrices, without the unfolded image.

use super::im2col::transposed;
use super::layer::{Layer, TAPS};
use super::meter::{Cost, Meter, values_of_filters};

// ANCHOR: implicit
#[inline(always)]
pub fn run<M: Meter>(m: &mut M, layer: &Layer, x: &[f32], w: &[f32], y: &mut [f32]) {
    let (c, k) = (layer.c, layer.k);
    let columns = transposed(m, w, k);
    m.clear(y);
    for (pixel, sums) in y.chunks_exact_mut(k).enumerate() {
        for tap in 0..TAPS {
            let Some(from) = layer.under(pixel, tap) else { continue };
            for c_at in 0..c {
                let [a] = m.load(x, from * c + c_at);
                m.add_product_in_memory(sums, a, &columns[(tap * c + c_at) * k..][..k]);
            }
        }
    }
}
// ANCHOR_END: implicit

pub fn cost(layer: &Layer) -> Cost {
    let factors = layer.taps_inside() * layer.c;
    let sums = layer.pixels() * layer.k;
    Cost::new(factors * layer.k, values_of_filters(layer) + sums + factors + 3 * factors * layer.k)
}

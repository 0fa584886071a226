//! Step 2: unfold the image (im2col), then multiply two matrices.

use super::layer::{Layer, TAPS};
use super::meter::{Cost, Meter, values_of_filters};

/// Filters `[k, depth]` as `[depth, k]`: the filters' values for one element of the depth lie side by side.
#[inline(always)]
pub fn transposed<M: Meter>(m: &mut M, w: &[f32], k: usize) -> Vec<f32> {
    let depth = w.len() / k;
    let mut columns = vec![0.0; w.len()];
    for d in 0..depth {
        for k_at in 0..k {
            let value: [f32; 1] = m.load(w, k_at * depth + d);
            m.store(&mut columns, d * k + k_at, value);
        }
    }
    columns
}

// ANCHOR: im2col
#[inline(always)]
pub fn run<M: Meter>(m: &mut M, layer: &Layer, x: &[f32], w: &[f32], y: &mut [f32]) {
    let (c, k, depth) = (layer.c, layer.k, TAPS * layer.c);
    // [pixels, depth]: for each pixel of the result, all values that its filters see.
    let mut unfolded = vec![0.0; layer.pixels() * depth];
    for (at, to) in unfolded.chunks_exact_mut(c).enumerate() {
        match layer.under(at / TAPS, at % TAPS) {
            Some(from) => m.copy(&x[from * c..][..c], to),
            None => m.clear(to),
        }
    }
    let columns = transposed(m, w, k);
    m.clear(y);
    for (pixel, sums) in y.chunks_exact_mut(k).enumerate() {
        for d in 0..depth {
            let [a] = m.load(&unfolded, pixel * depth + d);
            m.add_product_in_memory(sums, a, &columns[d * k..][..k]);
        }
    }
}
// ANCHOR_END: im2col

pub fn cost(layer: &Layer) -> Cost {
    let unfolded = layer.pixels() * TAPS * layer.c;
    let products = unfolded * layer.k;
    let unfolding = unfolded + layer.taps_inside() * layer.c;
    let sums = layer.pixels() * layer.k;
    Cost::new(products, unfolding + values_of_filters(layer) + sums + unfolded + 3 * products)
}

// Expect: dx still has the NaN that it held before
use crate::layer::{Layer, TAPS};
use crate::meter::Meter;

/// The walk over y: each element of dy adds to the pixels of x under its filter.
pub fn input_gradient<M: Meter>(m: &mut M, layer: &Layer, dy: &[f32], w: &[f32], dx: &mut [f32]) {
    for pixel in 0..layer.pixels() {
        for tap in 0..TAPS {
            let Some(to) = layer.under(pixel, tap) else { continue };
            for k in 0..layer.k {
                let [a] = m.load(dy, pixel * layer.k + k);
                let row = &w[(k * TAPS + tap) * layer.c..][..layer.c];
                m.add_product_in_memory(&mut dx[to * layer.c..][..layer.c], a, row);
            }
        }
    }
}

//! Step 1: the definition, a sum at a time.

use super::layer::{Layer, TAPS};
use super::meter::{Cost, Meter};

// ANCHOR: naive
#[inline(always)]
pub fn run<M: Meter>(m: &mut M, layer: &Layer, x: &[f32], w: &[f32], y: &mut [f32]) {
    for pixel in 0..layer.pixels() {
        for k in 0..layer.k {
            let mut sum = [0.0];
            for tap in 0..TAPS {
                let Some(from) = layer.under(pixel, tap) else { continue };
                for c in 0..layer.c {
                    let [a] = m.load(x, from * layer.c + c);
                    let b = m.load(w, (k * TAPS + tap) * layer.c + c);
                    m.add_product(&mut sum, a, &b);
                }
            }
            m.store(y, pixel * layer.k + k, sum);
        }
    }
}

pub fn cost(layer: &Layer) -> Cost {
    let products = layer.taps_inside() * layer.c * layer.k;
    Cost::new(products, 2 * products + layer.pixels() * layer.k)
}
// ANCHOR_END: naive

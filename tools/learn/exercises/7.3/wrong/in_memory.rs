// Expect: 12.10 bytes for a multiplication
use crate::layer::{Layer, TAPS};
use crate::meter::Meter;

pub fn filter_gradient<M: Meter>(m: &mut M, layer: &Layer, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (c, k) = (layer.c, layer.k);
    m.clear(dw);
    for pixel in 0..layer.pixels() {
        for tap in 0..TAPS {
            let Some(from) = layer.under(pixel, tap) else { continue };
            for k_at in 0..k {
                let [a] = m.load(dy, pixel * k + k_at);
                m.add_product_in_memory(&mut dw[(k_at * TAPS + tap) * c..][..c], a, &x[from * c..][..c]);
            }
        }
    }
}

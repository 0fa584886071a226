// Expect: at [c, 8 - t, k] of the new filters
// The layer has c and k exchanged, and the filters are rotated, but their values still lie in the order [k, tap, c].
use crate::implicit_gemm;
use crate::layer::{Layer, TAPS};
use crate::meter::Meter;

pub fn input_gradient<M: Meter>(m: &mut M, layer: &Layer, dy: &[f32], w: &[f32], dx: &mut [f32]) {
    let Layer { height, width, c, k } = *layer;
    let mut turned = vec![0.0; w.len()];
    for k_at in 0..k {
        for tap in 0..TAPS {
            for c_at in 0..c {
                let value: [f32; 1] = m.load(w, (k_at * TAPS + tap) * c + c_at);
                m.store(&mut turned, (k_at * TAPS + TAPS - 1 - tap) * c + c_at, value);
            }
        }
    }
    implicit_gemm::run(m, &Layer { height, width, c: k, k: c }, dy, &turned, dx);
}

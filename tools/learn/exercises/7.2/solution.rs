use crate::implicit_gemm;
use crate::layer::{Layer, TAPS};
use crate::meter::Meter;

/// The gradient dx [height, width, c] of the convolution's input, from dy [height, width, k] and the filters w
/// [k, 3, 3, c]. dx is overwritten. Call step 3 or step 4 (`implicit_gemm::run` or `microkernel::run`).
pub fn input_gradient<M: Meter>(m: &mut M, layer: &Layer, dy: &[f32], w: &[f32], dx: &mut [f32]) {
    let Layer { height, width, c, k } = *layer;
    // [c, tap, k]; tap 8 - t is tap t after a rotation by 180 degrees.
    let mut turned = vec![0.0; w.len()];
    for k_at in 0..k {
        for tap in 0..TAPS {
            for c_at in 0..c {
                let value: [f32; 1] = m.load(w, (k_at * TAPS + tap) * c + c_at);
                m.store(&mut turned, (c_at * TAPS + TAPS - 1 - tap) * k + k_at, value);
            }
        }
    }
    implicit_gemm::run(m, &Layer { height, width, c: k, k: c }, dy, &turned, dx);
}

use crate::layer::{Layer, TAPS};
use crate::meter::Meter;

/// The gradient dx [height, width, c] of the convolution's input, from dy [height, width, k] and the filters w
/// [k, 3, 3, c]. dx is overwritten. Call step 3 or step 4 (`implicit_gemm::run` or `microkernel::run`).
pub fn input_gradient<M: Meter>(m: &mut M, layer: &Layer, dy: &[f32], w: &[f32], dx: &mut [f32]) {
    let _ = (m, dy, w, dx);
    todo!("a convolution of {} channels with {} filters of {TAPS} taps", layer.k, layer.c)
}

//! Convolutions of few channels: the taps of one filter row, which are adjacent in memory where the images are stored with
//! their padding, count as one tap of many channels.
//!
//! Book: [chapter 7](../../../../../../docs/book/src/07-convolution.md).

use super::Geometry;
use crate::device::Device;
use crate::device::cpu::simd::convert;
use crate::element::Real;
use crate::tensor::Tensor;
use rayon::prelude::*;

/// The number of channels below which the taps of a filter row are merged.
const FEW_CHANNELS: usize = 16;

/// True if the taps of a filter row are merged.
pub fn suits(g: &Geometry) -> bool {
    g.c < FEW_CHANNELS && g.filter[1] > 1
}

/// The images with their zero padding in f32, if the taps of a filter row are merged and there is padding.
pub fn padded<E: Real>(device: &Device, g: &Geometry, x: &[E]) -> Option<Tensor> {
    (suits(g) && g.pad > 0).then(|| pad_images(device, g, x))
}

fn pad_images<E: Real>(device: &Device, g: &Geometry, x: &[E]) -> Tensor {
    let [height, width] = g.input;
    let (padded, row) = ([height + 2 * g.pad, width + 2 * g.pad], (width + 2 * g.pad) * g.c);
    let mut to = Tensor::scratch(device, [g.n, padded[0], padded[1], g.c]);
    to.f32_mut().par_chunks_mut(row).enumerate().for_each(|(i, to)| {
        let (n, h) = (i / padded[0], i % padded[0]);
        if h < g.pad || h >= height + g.pad {
            to.fill(0.0);
            return;
        }
        let from = (n * height + h - g.pad) * width * g.c;
        let (left, rest) = to.split_at_mut(g.pad * g.c);
        let (middle, right) = rest.split_at_mut(width * g.c);
        left.fill(0.0);
        convert(&x[from..from + width * g.c], middle);
        right.fill(0.0);
    });
    to
}

//! Max pooling: pool1 of a ResNet.
//!
//! y[n, oy, ox, c] = max of x[n, iy, ix, c] over the part of the window that lies inside the image. NaN is larger than
//! every number, and of equal values the first in row-major order is taken, as in PyTorch.
//!
//! The forward pass saves the position of each maximum in its window, one byte each. The backward pass *gathers*: each
//! input element sums over the few windows that cover it, so no two threads write one element and the order of the sum
//! is fixed.
//!
//! Book: [chapter 8](../../../../../docs/book/src/08-normalise.md).

use crate::autograd::{Backward, Sinks, Tape, Var};
use crate::element::{DType, Shape};
use crate::tensor::Tensor;
use crate::{Error, Result};
use std::ops::Range;

/// The parameters of max pooling with a square window; sizes in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// The side of the window.
    pub kernel: usize,
    /// The step from one window to the next.
    pub stride: usize,
    /// The padding on each side; at most half a window.
    pub pad: usize,
    /// Rounds the number of windows up, so that the last window may reach past the padding (Caffe); otherwise down
    /// (torchvision). A window that would begin beyond the image and its padding is dropped in both cases.
    pub ceil: bool,
}

impl MaxPool {
    /// The parameters of pool1 in torchvision's ResNet.
    pub const TORCHVISION: MaxPool = MaxPool { kernel: 3, stride: 2, pad: 1, ceil: false };
    /// The parameters of pool1 in Caffe's ResNet.
    pub const CAFFE: MaxPool = MaxPool { kernel: 3, stride: 2, pad: 0, ceil: true };

    // ANCHOR: windows
    /// The number of windows along a side of `size` pixels; none if no window fits.
    pub fn windows(&self, size: usize) -> Option<usize> {
        let room = (size + 2 * self.pad).checked_sub(self.kernel)?;
        let whole = room.checked_div(self.stride)?;
        let steps = whole + usize::from(self.ceil && whole * self.stride < room);
        let dropped = steps * self.stride >= size + self.pad;
        Some(steps + 1 - usize::from(dropped))
    }
    // ANCHOR_END: windows
}

/// Computes the maximum over each window of `x` `[N, H, W, C]`: `[N, windows(H), windows(W), C]`.
///
/// # Errors
/// If `x` does not have four dimensions, the window is 0 or above 16, the stride is 0, the padding is more than half a
/// window, or no window fits.
pub fn maxpool(tape: &mut Tape<'_>, x: Var, pool: MaxPool) -> Result<Var> {
    let MaxPool { kernel, stride, pad, .. } = pool;
    // The limit of 16 is there because positions in a window are saved as bytes.
    if !(1..=16).contains(&kernel) || stride == 0 || pad > kernel / 2 {
        return Err(Error::shape(
            "maxpool",
            format!(
                "kernel {kernel}, stride {stride}, pad {pad}: the kernel must be 1 to 16, the stride at least 1 \
                 and the pad at most half a kernel"
            ),
        ));
    }
    let output = match x.shape().nhwc() {
        Some([n, h, w, c]) if h * w * c > 0 => {
            pool.windows(h).zip(pool.windows(w)).map(|(oh, ow)| [n, oh, ow, c])
        }
        _ => None,
    };
    let Some(output) = output else {
        return Err(Error::shape(
            "maxpool",
            format!(
                "x is {}; it must be [N, H, W, C] and contain a window of {kernel}, pad {pad}",
                x.shape()
            ),
        ));
    };
    let mut y = Tensor::empty(&tape.device(), output, x.value.dtype())?;
    let geometry = PoolGeometry::new(pool, x.shape(), y.shape());
    if !tape.needs_grad(x.handle()) {
        match x.value.gpu() {
            None => cpu::forward(&geometry, &x.value, &mut y),
            Some(gpu) => cuda::forward(gpu, &geometry, &x.value, &mut y, None)?,
        }
        return Ok(tape.constant(y));
    }
    let mut places = Tensor::empty(&tape.device(), y.shape(), DType::U8)?;
    match x.value.gpu() {
        None => cpu::forward_saving(&geometry, &x.value, &mut y, &mut places),
        Some(gpu) => cuda::forward(gpu, &geometry, &x.value, &mut y, Some(&mut places))?,
    }
    Ok(tape.record(y, &[x.handle()], |_| MaxPoolBackward { geometry, places }))
}

/// The sizes of input and output images, and the pooling parameters.
struct PoolGeometry {
    pool: MaxPool,
    c: usize,
    input: [usize; 2],
    output: [usize; 2],
}

impl PoolGeometry {
    /// The geometry for an input and an output of NHWC shapes.
    fn new(pool: MaxPool, input: Shape, output: Shape) -> Self {
        let side = |shape: Shape| [shape.dims()[1], shape.dims()[2]];
        PoolGeometry { pool, c: input.last(), input: side(input), output: side(output) }
    }

    /// The pixels along one side that window `at` covers, and the position of the first of them in the window.
    fn window(&self, at: usize, side: usize) -> (Range<usize>, usize) {
        let start = at * self.pool.stride;
        let first = start.max(self.pool.pad) - self.pool.pad;
        let end = (start + self.pool.kernel - self.pool.pad).min(side);
        (first..end, first + self.pool.pad - start)
    }

    /// The windows along one side that cover pixel `at`.
    fn covering(&self, at: usize, windows: usize) -> Range<usize> {
        let at = at + self.pool.pad;
        let first = (at + 1).saturating_sub(self.pool.kernel).div_ceil(self.pool.stride);
        first..windows.min(at / self.pool.stride + 1)
    }
}

struct MaxPoolBackward {
    geometry: PoolGeometry,
    /// The position of each output's maximum in its window, a byte: row times kernel plus column.
    places: Tensor,
}

impl Backward for MaxPoolBackward {
    fn op(&self) -> &'static str {
        "maxpool"
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        sinks.add(0, |dx, mode| match dy.gpu() {
            None => {
                cpu::backward(&self.geometry, &dy, &self.places, dx, mode);
                Ok(())
            }
            Some(gpu) => cuda::backward(gpu, &self.geometry, &dy, &self.places, dx, mode),
        })
    }
}

mod cpu {
    use super::{MaxPool, PoolGeometry};
    use crate::device::cpu::lanes;
    use crate::element::{GradMode, Real, with_real};
    use crate::tensor::Tensor;
    use rayon::prelude::*;

    pub fn forward(geometry: &PoolGeometry, x: &Tensor, y: &mut Tensor) {
        fn run<E: Real>(geometry: &PoolGeometry, x: &[E], y: &mut [E]) {
            let [oh, ow] = geometry.output;
            y.par_chunks_mut(ow * geometry.c).enumerate().for_each(|(row, y)| {
                let mut unread = [0; 0];
                forward_row::<E, false>(geometry, image(geometry, x, row / oh), row % oh, y, &mut unread);
            });
        }
        with_real!(x, E => run::<E>(geometry, x.reals(), y.reals_mut()));
    }

    /// The forward pass that also saves the position of each maximum in its window.
    pub fn forward_saving(geometry: &PoolGeometry, x: &Tensor, y: &mut Tensor, places: &mut Tensor) {
        fn run<E: Real>(geometry: &PoolGeometry, x: &[E], y: &mut [E], places: &mut [u8]) {
            let [oh, ow] = geometry.output;
            let rows = y.par_chunks_mut(ow * geometry.c).zip(places.par_chunks_mut(ow * geometry.c));
            rows.enumerate().for_each(|(row, (y, places))| {
                forward_row::<E, true>(geometry, image(geometry, x, row / oh), row % oh, y, places);
            });
        }
        with_real!(x, E => run::<E>(geometry, x.reals(), y.reals_mut(), places.u8_mut()));
    }

    fn image<'a, E>(geometry: &PoolGeometry, x: &'a [E], n: usize) -> &'a [E] {
        let len = geometry.input[0] * geometry.input[1] * geometry.c;
        &x[n * len..(n + 1) * len]
    }

    /// Computes row `oy` of an image's output.
    fn forward_row<E: Real, const SAVE: bool>(
        geometry: &PoolGeometry,
        x: &[E],
        oy: usize,
        y: &mut [E],
        places: &mut [u8],
    ) {
        let c = geometry.c;
        for ox in 0..geometry.output[1] {
            let y = &mut y[ox * c..(ox + 1) * c];
            let places = if SAVE { &mut places[ox * c..(ox + 1) * c] } else { &mut [] };
            let at = maximum::<16, E, SAVE>(geometry, x, [oy, ox], y, places, 0);
            let at = maximum::<4, E, SAVE>(geometry, x, [oy, ox], y, places, at);
            maximum::<1, E, SAVE>(geometry, x, [oy, ox], y, places, at);
        }
    }

    /// Computes the channels of one output pixel from `from` on in whole groups of `L`; returns the first that is left.
    fn maximum<const L: usize, E: Real, const SAVE: bool>(
        geometry: &PoolGeometry,
        x: &[E],
        [oy, ox]: [usize; 2],
        y: &mut [E],
        places: &mut [u8],
        from: usize,
    ) -> usize {
        let kernel = geometry.pool.kernel;
        let (rows, row_offset) = geometry.window(oy, geometry.input[0]);
        let (columns, column_offset) = geometry.window(ox, geometry.input[1]);
        let end = geometry.c - (geometry.c - from) % L;
        for c in (from..end).step_by(L) {
            let mut best = [f32::NEG_INFINITY; L];
            // Positions are as wide as the values, so that one mask selects both in the vectorised loop.
            let mut place = [(row_offset * kernel + column_offset) as u32; L];
            for (i, iy) in rows.clone().enumerate() {
                for (j, ix) in columns.clone().enumerate() {
                    let x = lanes::<L, E>(x, (iy * geometry.input[1] + ix) * geometry.c + c);
                    let here = ((row_offset + i) * kernel + column_offset + j) as u32;
                    for l in 0..L {
                        let take = x[l] > best[l] || x[l].is_nan();
                        best[l] = if take { x[l] } else { best[l] };
                        place[l] = if take { here } else { place[l] };
                    }
                }
            }
            y[c..c + L].copy_from_slice(&best.map(E::narrow));
            if SAVE {
                places[c..c + L].copy_from_slice(&place.map(|p| p as u8));
            }
        }
        end
    }

    pub fn backward(geometry: &PoolGeometry, dy: &Tensor, places: &Tensor, dx: &mut Tensor, mode: GradMode) {
        with_real!(dy, E => gradient::<E>(geometry, dy.reals(), places.u8(), dx.reals_mut(), mode));
    }

    fn gradient<E: Real>(geometry: &PoolGeometry, dy: &[E], places: &[u8], dx: &mut [E], mode: GradMode) {
        let (c, [h, w], [oh, ow]) = (geometry.c, geometry.input, geometry.output);
        dx.par_chunks_mut(w * c).enumerate().for_each(|(row, dx)| {
            let output = row / h * oh * ow * c..(row / h + 1) * oh * ow * c;
            let (dy, places) = (&dy[output.clone()], &places[output]);
            for (ix, dx) in dx.chunks_exact_mut(c).enumerate() {
                let at = [row % h, ix];
                let end = gather::<16, E>(geometry, dy, places, at, dx, mode, 0);
                let end = gather::<4, E>(geometry, dy, places, at, dx, mode, end);
                gather::<1, E>(geometry, dy, places, at, dx, mode, end);
            }
        });
    }

    // ANCHOR: gather
    /// Computes the gradient of one input pixel's channels from `from` on in whole groups of `L`; returns the first
    /// channel that is left.
    fn gather<const L: usize, E: Real>(
        geometry: &PoolGeometry,
        dy: &[E],
        places: &[u8],
        [iy, ix]: [usize; 2],
        dx: &mut [E],
        mode: GradMode,
        from: usize,
    ) -> usize {
        let MaxPool { kernel, stride, pad, .. } = geometry.pool;
        let rows = geometry.covering(iy, geometry.output[0]);
        let columns = geometry.covering(ix, geometry.output[1]);
        let end = geometry.c - (geometry.c - from) % L;
        for c in (from..end).step_by(L) {
            let mut sum = [0.0; L];
            for oy in rows.clone() {
                for ox in columns.clone() {
                    let at = (oy * geometry.output[1] + ox) * geometry.c + c;
                    let here = ((iy + pad - oy * stride) * kernel + ix + pad - ox * stride) as u8;
                    let (dy, place) = (lanes::<L, E>(dy, at), &places[at..at + L]);
                    for l in 0..L {
                        sum[l] += if place[l] == here { dy[l] } else { 0.0 };
                    }
                }
            }
            mode.store(&mut dx[c..c + L], sum);
        }
        end
    }
    // ANCHOR_END: gather
}

mod cuda {
    use super::{MaxPool, PoolGeometry};
    use crate::Result;
    use crate::device::cuda::{CudaDevice, Grid, Out, kernels};
    use crate::element::GradMode;
    use crate::tensor::Tensor;

    pub fn forward(
        gpu: &CudaDevice,
        geometry: &PoolGeometry,
        x: &Tensor,
        y: &mut Tensor,
        places: Option<&mut Tensor>,
    ) -> Result<()> {
        let grid = Grid::blocks(y.shape().dims()[0] * geometry.output[0]);
        let PoolGeometry { pool: MaxPool { kernel, stride, pad, .. }, c, input: [h, w], output: [oh, ow] } =
            *geometry;
        let (x, y, places) = (x.into(), y.into(), places.map(Out::from));
        gpu.launch(grid, kernels::MaxpoolForward { x, y, places, h, w, c, oh, ow, kernel, stride, pad })
    }

    pub fn backward(
        gpu: &CudaDevice,
        geometry: &PoolGeometry,
        dy: &Tensor,
        places: &Tensor,
        dx: &mut Tensor,
        mode: GradMode,
    ) -> Result<()> {
        let grid = Grid::blocks(dx.shape().dims()[0] * geometry.input[0]);
        let PoolGeometry { pool: MaxPool { kernel, stride, pad, .. }, c, input: [h, w], output: [oh, ow] } =
            *geometry;
        let (dy, places, dx, accumulate) = (dy.into(), places.into(), dx.into(), mode.flag());
        let backward =
            kernels::MaxpoolBackward { dy, places, dx, accumulate, h, w, c, oh, ow, kernel, stride, pad };
        gpu.launch(grid, backward)
    }
}

//! Two-dimensional convolution (cross-correlation, as everywhere in the field).
//!
//! With x `[N, H, W, C]`, filters w `[K, R, S, C]`, stride t and p zeros of padding on each side:
//!
//! - fprop: y\[n, i, j, k\] = b\[k\] + sum over r, s, c of x\[n, t i + r - p, t j + s - p, c\] w\[k, r, s, c\]
//! - dgrad: dx\[n, h, w, c\] = sum over r, s, k of dy\[n, (h + p - r) / t, (w + p - s) / t, k\] w\[k, r, s, c\],
//!   over the taps where both divisions leave no remainder
//! - wgrad: dw\[k, r, s, c\] = sum over n, i, j of dy\[n, i, j, k\] x\[n, t i + r - p, t j + s - p, c\]
//! - dbias: db\[k\] = sum over n, i, j of dy\[n, i, j, k\]
//!
//! The output is `[N, P, Q, K]` with P = (H + 2p - R) / t + 1, Q likewise. On the CPU, fprop and dgrad are one implicit
//! GEMM (`implicit_gemm`), wgrad is another (`filter_gradient`), and 3 x 3 filters at stride 1 use an algorithm with
//! fewer multiplications (`winograd`). None of them unfolds the image in memory (im2col). On a GPU cuDNN computes all.
//! Inference on the CPU packs the filters once (`packed`).
//!
//! Book: [chapter 7](../../../../../docs/book/src/07-convolution.md).

mod cuda;
mod cudnn;
mod filter_gradient;
mod finish;
mod implicit_gemm;
mod indirect_product;
mod merged_taps;
mod packed;
mod source_part;
mod transforms;
mod winograd;

pub use packed::{PackedConv, conv2d_packed};

use crate::autograd::{Backward, Sinks, Tape, Var};
use crate::device::cuda::cudnn::{COLOURS, padded_channels};
use crate::element::Shape;
use crate::ops::{bias, check};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The parameters of a convolution, equal for both dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// The step of the filter in pixels, at least 1.
    pub stride: usize,
    /// The zero padding on each side of the image, in pixels.
    pub pad: usize,
}

/// All sizes of one convolution.
#[derive(Clone, Copy, Debug)]
struct Geometry {
    /// Images.
    n: usize,
    /// Height and width of the input.
    input: [usize; 2],
    /// Channels of the filters: those of the input, which on a GPU may have more of zeros behind them.
    c: usize,
    /// Height and width of the filter.
    filter: [usize; 2],
    /// Channels of the output.
    k: usize,
    /// Height and width of the output.
    output: [usize; 2],
    stride: usize,
    pad: usize,
}

impl Geometry {
    fn new(x: &Tensor, w: Shape, bias: Option<Shape>, conv: Conv) -> Result<Self> {
        let (on_gpu, dtype, x) = (x.gpu().is_some(), x.dtype(), x.shape());
        let invalid = |detail: String| Err(Error::shape("conv2d", detail));
        let Some([n, height, width, c]) = x.nhwc() else {
            return invalid(format!("the input must be [N, H, W, C], not {x}"));
        };
        let Some([k, r, s, depth]) = w.nhwc() else {
            return invalid(format!("the filters must be [K, R, S, C], not {w}"));
        };
        // Images and their filters may each have padded channels. (Filters that have as many of their own pass too.)
        let wide = padded_channels(COLOURS, dtype);
        let is_image = |c: usize| on_gpu && (c == COLOURS || c == wide);
        if depth != c && !(is_image(depth) && is_image(c)) {
            return invalid(format!("the input {x} has {c} channels, the filters {w} take {depth}"));
        }
        if x.len() == 0 || w.len() == 0 {
            return invalid(format!("the input {x} or the filters {w} are empty"));
        }
        if let Some(bias) = bias
            && bias.dims() != [k]
        {
            return invalid(format!("the bias must be [{k}] for the filters {w}, not {bias}"));
        }
        let Conv { stride, pad } = conv;
        if stride == 0 {
            return invalid("the stride must be at least 1".to_string());
        }
        if height + 2 * pad < r || width + 2 * pad < s {
            return invalid(format!("the filter {r} x {s} is larger than the input {x} padded by {pad}"));
        }
        let output = [(height + 2 * pad - r) / stride + 1, (width + 2 * pad - s) / stride + 1];
        Ok(Geometry { n, input: [height, width], c: depth, filter: [r, s], k, output, stride, pad })
    }

    /// The geometry with all pixels in one row, if a 1 x 1 filter makes that the same convolution; otherwise unchanged.
    fn in_one_row(self) -> Self {
        if self.filter != [1, 1] || self.stride != 1 || self.pad != 0 {
            return self;
        }
        let pixels = [1, self.n * self.input[0] * self.input[1]];
        Geometry { n: 1, input: pixels, output: pixels, ..self }
    }

    fn y_shape(&self) -> Shape {
        Shape::from([self.n, self.output[0], self.output[1], self.k])
    }
}

/// Convolves `x` `[N, H, W, C]` with the filters `w` `[K, R, S, C]` and adds `bias` `[K]` if there is one; returns
/// `[N, P, Q, K]`. On a GPU, images of 3 channels and their filters may have further channels of zeros
/// ([`padded_channels`]).
///
/// # Errors
/// If a rank is wrong, the channels or the types differ, the bias is not f32, the stride is 0, an input is empty, or the
/// filter is larger than the padded input.
pub fn conv2d(tape: &mut Tape<'_>, x: Var, w: Var, bias: Option<Var>, conv: Conv) -> Result<Var> {
    let geometry = Geometry::new(&x.value, w.shape(), bias.as_ref().map(Var::shape), conv)?;
    if x.value.dtype() != w.value.dtype() {
        let (x, w) = (x.value.dtype(), w.value.dtype());
        return Err(Error::shape(
            "conv2d",
            format!(
                "the input is {x}, the filters {w}: give the input in the type of the device's activations, and the \
                 filters by Tape::weight"
            ),
        ));
    }
    let device = tape.device();
    let mut y = Tensor::empty(&device, geometry.y_shape(), x.value.dtype())?;
    // The CPU's loops gain from one long row. cuDNN has algorithms for 1 x 1 filters, and some of them limit the width.
    let geometry = if x.value.gpu().is_none() { geometry.in_one_row() } else { geometry };
    let b = bias.as_ref().map(|b| &b.value);
    let x_value = match x.value.gpu() {
        None => {
            check::f32s("conv2d", b.map(|bias| ("bias", bias)))?;
            cpu::forward(&device, &geometry, &x.value, &w.value, b, &mut y);
            x.value.clone()
        }
        Some(gpu) => cuda::forward(gpu, &geometry, &x.value, &w.value, b, &mut y)?,
    };
    let mut inputs = vec![x.handle(), w.handle()];
    inputs.extend(bias.as_ref().map(Var::handle));
    // dgrad needs the filters, wgrad the input.
    let (keep_w, keep_x) = (tape.needs_grad(inputs[0]), tape.needs_grad(inputs[1]));
    let saved = Conv2dBackward {
        geometry,
        x: keep_x.then_some(x_value),
        w: keep_w.then_some(w.value),
        has_bias: bias.is_some(),
    };
    Ok(tape.record(y, &inputs, |_| saved))
}

struct Conv2dBackward {
    geometry: Geometry,
    x: Option<Tensor>,
    w: Option<Tensor>,
    has_bias: bool,
}

impl Backward for Conv2dBackward {
    fn op(&self) -> &'static str {
        "conv2d"
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        let Conv2dBackward { geometry, x, w, has_bias } = *self;
        let device = sinks.device().clone();
        if has_bias {
            sinks.add(2, |db, mode| match dy.gpu() {
                None => {
                    cpu::bias_gradient(&dy, db, mode);
                    Ok(())
                }
                Some(gpu) => bias::gradient(gpu, &dy, db, mode),
            })?;
        }
        if let Some(x) = x {
            sinks.add(1, |dw, mode| match dy.gpu() {
                None => {
                    cpu::filter_gradient(&device, &geometry, &x, &dy, dw, mode);
                    Ok(())
                }
                Some(gpu) => cuda::filter_gradient(gpu, &geometry, &x, &dy, dw, mode),
            })?;
            // `x` is freed here, before dgrad allocates a buffer of its size (on a GPU once wgrad is done).
        }
        if let Some(w) = w {
            sinks.add(0, |dx, mode| match dy.gpu() {
                None => {
                    cpu::input_gradient(&device, &geometry, &dy, &w, dx, mode);
                    Ok(())
                }
                Some(gpu) => cuda::input_gradient(gpu, &geometry, &dy, &w, dx, mode),
            })?;
        }
        Ok(())
    }
}

mod cpu {
    use super::{Geometry, filter_gradient, implicit_gemm, winograd};
    use crate::device::Device;
    use crate::element::{GradMode, Real, with_real};
    use crate::tensor::Tensor;
    use rayon::prelude::*;

    pub fn forward(
        device: &Device,
        g: &Geometry,
        x: &Tensor,
        w: &Tensor,
        bias: Option<&Tensor>,
        y: &mut Tensor,
    ) {
        fn run<E: Real>(device: &Device, g: &Geometry, x: &[E], w: &[E], bias: Option<&[f32]>, y: &mut [E]) {
            // ANCHOR: choose
            if winograd::suits(g) {
                winograd::fprop(device, g, x, w, bias, y);
            } else {
                implicit_gemm::fprop(device, g, x, w, bias, y);
            }
            // ANCHOR_END: choose
        }
        let bias = bias.map(Tensor::f32);
        with_real!(x, E => run::<E>(device, g, x.reals(), w.reals(), bias, y.reals_mut()));
    }

    pub fn input_gradient(
        device: &Device,
        g: &Geometry,
        dy: &Tensor,
        w: &Tensor,
        dx: &mut Tensor,
        mode: GradMode,
    ) {
        with_real!(dy, E => match winograd::suits(g) {
            true => winograd::dgrad::<E>(device, g, dy.reals(), w.reals(), dx.reals_mut(), mode),
            false => implicit_gemm::dgrad::<E>(device, g, dy.reals(), w.reals(), dx.reals_mut(), mode),
        });
    }

    pub fn filter_gradient(
        device: &Device,
        g: &Geometry,
        x: &Tensor,
        dy: &Tensor,
        dw: &mut Tensor,
        mode: GradMode,
    ) {
        with_real!(dy, E => match winograd::suits(g) {
            true => winograd::wgrad::<E>(device, g, x.reals(), dy.reals(), dw.reals_mut(), mode),
            false => filter_gradient::wgrad::<E>(device, g, x.reals(), dy.reals(), dw.reals_mut(), mode),
        });
    }

    /// Pixels of a task; the sums of the tasks are then added in order.
    const PIXELS: usize = 1024;

    pub fn bias_gradient(dy: &Tensor, db: &mut Tensor, mode: GradMode) {
        let db = db.f32_mut();
        let k = db.len();
        let parts = with_real!(dy, E => partial_sums::<E>(dy.reals(), k));
        let sums = (0..k).map(|k| parts.iter().map(|part| f64::from(part[k])).sum::<f64>() as f32);
        mode.store(db, sums);
    }

    /// The sums of each part of the pixels, for each channel.
    fn partial_sums<E: Real>(dy: &[E], k: usize) -> Vec<Vec<f32>> {
        let of_part = |dy: &[E]| {
            let mut sum = vec![0.0; k];
            dy.chunks_exact(k).for_each(|dy| sum.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy.widen()));
            sum
        };
        dy.par_chunks(PIXELS * k).map(of_part).collect()
    }
}

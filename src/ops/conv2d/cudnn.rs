//! Convolutions of tensors by cuDNN: a safe interface of [`CudaDevice::convolve`].
//!
//! Book: [chapter 14](../../../../../../docs/book/src/14-launches.md).

use crate::Result;
use crate::device::Precision;
use crate::device::cuda::cudnn::{Direction, Element, Plan, Problem};
use crate::device::cuda::{CudaDevice, Lane};
use crate::element::{DType, GradMode};
use crate::tensor::Tensor;
use std::sync::Arc;

/// A convolution with its cuDNN plan.
pub struct Convolution {
    plan: Arc<Plan>,
}

impl Convolution {
    /// The convolution of an input of sizes `x` `[N, H, W, C]` by filters of sizes `w` `[K, R, S, C]`.
    ///
    /// # Errors
    /// A problem that cuDNN does not support: 16-bit channels that are no multiple of 8, sizes of 2^31 or more.
    pub fn new(gpu: &CudaDevice, x: [usize; 4], w: [usize; 4], stride: usize, pad: usize) -> Result<Self> {
        let ([n, h, width, c], [k, r, s, _]) = (x, w);
        let element = match gpu.precision() {
            Precision::Bf16 => Element::Bf16,
            Precision::F32 | Precision::Tf32 => Element::F32,
        };
        let tf32 = gpu.precision() == Precision::Tf32;
        let problem = Problem { n, h, w: width, c, k, r, s, stride, pad, element, tf32 };
        Ok(Convolution { plan: gpu.convolution_plan(&problem)? })
    }

    /// Computes fprop: `y` of `x` and `w`.
    ///
    /// # Errors
    /// A cuDNN error; out of memory for the workspace.
    pub fn forward(&self, gpu: &Arc<CudaDevice>, x: &Tensor, w: &Tensor, y: &mut Tensor) -> Result<()> {
        self.run(gpu, Direction::Forward, [x, w], y, GradMode::Overwrite)
    }

    /// Computes dgrad: writes or adds dx of `w` and `dy`.
    ///
    /// # Errors
    /// As [`Convolution::forward`].
    pub fn input_gradient(
        &self,
        gpu: &Arc<CudaDevice>,
        w: &Tensor,
        dy: &Tensor,
        dx: &mut Tensor,
        mode: GradMode,
    ) -> Result<()> {
        self.run(gpu, Direction::InputGradient, [w, dy], dx, mode)
    }

    /// Computes wgrad beside the main stream ([`Lane::Side`]): writes or adds dw of `x` and `dy`.
    ///
    /// # Errors
    /// As [`Convolution::forward`].
    pub fn filter_gradient(
        &self,
        gpu: &Arc<CudaDevice>,
        x: &Tensor,
        dy: &Tensor,
        dw: &mut Tensor,
        mode: GradMode,
    ) -> Result<()> {
        self.run(gpu, Direction::FilterGradient, [x, dy], dw, mode)
    }

    fn run(
        &self,
        gpu: &Arc<CudaDevice>,
        direction: Direction,
        operands: [&Tensor; 2],
        result: &mut Tensor,
        mode: GradMode,
    ) -> Result<()> {
        self.check(direction, operands, result);
        let lane = match direction {
            Direction::Forward | Direction::InputGradient => Lane::Main,
            Direction::FilterGradient => Lane::Side,
        };
        // SAFETY: the tensors have the problem's sizes and element type, checked above; no other handle to the result's
        // memory exists, so it overlaps no operand.
        unsafe { gpu.convolve(lane, &self.plan, direction, operands.map(Into::into), result.into(), mode) }
    }

    /// Asserts that every tensor has the size and the type that the plan was made for.
    fn check(&self, direction: Direction, [a, b]: [&Tensor; 2], result: &Tensor) {
        let p = self.plan.problem();
        let (height, width) = p.output().expect("a plan exists only for a valid problem");
        let (x, w, y) = (p.n * p.h * p.w * p.c, p.k * p.r * p.s * p.c, p.n * height * width * p.k);
        let sizes = match direction {
            Direction::Forward => [x, w, y],
            Direction::InputGradient => [w, y, x],
            Direction::FilterGradient => [x, y, w],
        };
        let dtype = match p.element {
            Element::F32 => DType::F32,
            Element::Bf16 => DType::BF16,
        };
        for (tensor, elements) in [a, b, result].into_iter().zip(sizes) {
            assert_eq!(
                (tensor.shape().len(), tensor.dtype()),
                (elements, dtype),
                "size and type of a tensor of a convolution"
            );
        }
    }
}

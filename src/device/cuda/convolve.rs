//! Convolutions of tensors, by cuDNN.

use super::cudnn::{Direction, Element, Plan, Problem};
use super::{CudaDevice, Purpose};
use crate::Result;
use crate::device::Precision;
use crate::tensor::{DType, Tensor, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// One convolution with what cuDNN chose for it.
pub struct Convolution {
    plan: Arc<Plan>,
}

impl CudaDevice {
    /// The convolution of `x` `[N, H, W, C]` by `w` `[K, R, S, C]`.
    ///
    /// # Errors
    /// What cuDNN does not do: 16-bit channels in other than multiples of 8, sizes beyond 2^31.
    ///
    /// # Panics
    /// If a shape has other than four dimensions.
    pub(crate) fn convolution(
        &self,
        x: [usize; 4],
        w: [usize; 4],
        stride: usize,
        pad: usize,
    ) -> Result<Convolution> {
        let ([n, height, width, c], [k, r, s, _]) = (x, w);
        let element = match self.precision() {
            Precision::Bf16 => Element::Bf16,
            Precision::F32 | Precision::Tf32 => Element::F32,
        };
        let tf32 = self.precision() == Precision::Tf32;
        self.bind()?;
        let problem = Problem { n, h: height, w: width, c, k, r, s, stride, pad, element, tf32 };
        Ok(Convolution { plan: self.cudnn.plan(&problem)? })
    }
}

impl Convolution {
    /// fprop: `y` of `x` and `w`.
    ///
    /// # Errors
    /// What cuDNN says; no memory for its workspace.
    pub fn forward(&self, gpu: &Arc<CudaDevice>, x: &Tensor, w: &Tensor, y: &mut Tensor) -> Result<()> {
        self.run(gpu, Direction::Forward, [x, w], y, Write::Overwrite)
    }

    /// dgrad: writes or adds dx of `w` and `dy`.
    ///
    /// # Errors
    /// As [`Convolution::forward`].
    pub fn input_gradient(
        &self,
        gpu: &Arc<CudaDevice>,
        w: &Tensor,
        dy: &Tensor,
        dx: &mut Tensor,
        write: Write,
    ) -> Result<()> {
        self.run(gpu, Direction::InputGradient, [w, dy], dx, write)
    }

    /// wgrad: writes or adds dw of `x` and `dy`.
    ///
    /// # Errors
    /// As [`Convolution::forward`].
    pub fn filter_gradient(
        &self,
        gpu: &Arc<CudaDevice>,
        x: &Tensor,
        dy: &Tensor,
        dw: &mut Tensor,
        write: Write,
    ) -> Result<()> {
        self.run(gpu, Direction::FilterGradient, [x, dy], dw, write)
    }

    fn run(
        &self,
        gpu: &Arc<CudaDevice>,
        direction: Direction,
        operands: [&Tensor; 2],
        result: &mut Tensor,
        write: Write,
    ) -> Result<()> {
        self.check(direction, operands, result);
        gpu.bind()?;
        let operands = operands.map(|tensor| tensor.cuda().address());
        let to = result.cuda_mut().address();
        loop {
            let bytes = self.plan.workspace(direction)?;
            // Handed on as soon as the work is enqueued: whoever gets it next comes later in the stream.
            let workspace = match bytes {
                0 => None,
                _ => Some(gpu.allocate(bytes, &Purpose::of("the workspace of a convolution"))?),
            };
            let address = workspace.as_ref().map_or(0, |space| space.address());
            // SAFETY: the tensors are of the problem's sizes and type, checked above; the workspace has the bytes that the
            // plan asks for; memory is handed on in the order of the stream only.
            if unsafe { gpu.cudnn.run(&self.plan, direction, operands, to, write.beta(), address) }? {
                break;
            }
        }
        gpu.launches.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Asserts that every tensor has the size and the type that the plan was made for.
    fn check(&self, direction: Direction, [a, b]: [&Tensor; 2], result: &Tensor) {
        let p = self.plan.problem();
        let (height, width) = p.output().expect("a plan was made of it");
        let (x, w, y) = (p.n * p.h * p.w * p.c, p.k * p.r * p.s * p.c, p.n * height * width * p.k);
        let wanted = match direction {
            Direction::Forward => [x, w, y],
            Direction::InputGradient => [w, y, x],
            Direction::FilterGradient => [x, y, w],
        };
        let dtype = match p.element {
            Element::F32 => DType::F32,
            Element::Bf16 => DType::BF16,
        };
        for (tensor, elements) in [a, b, result].into_iter().zip(wanted) {
            assert_eq!(
                (tensor.shape().len(), tensor.dtype()),
                (elements, dtype),
                "a tensor of a convolution"
            );
        }
    }
}

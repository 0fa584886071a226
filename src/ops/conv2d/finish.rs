//! The operations behind a convolution in the same pass: a task finishes its part of the result while it is in a cache.
//!
//! A task computes in f32. In bf16 its part of the result is rounded once, at the end.
//!
//! Book: [chapter 7](../../../../../../docs/book/src/07-convolution.md).

use crate::device::Device;
use crate::device::cpu::simd::{convert, vectorized};
use crate::element::{GradMode, Real};
use crate::tensor::Tensor;

/// The operations behind a sum of products.
#[derive(Clone, Copy, Debug)]
pub struct Finish<'a, E> {
    /// A tensor of the result's shape, which is added.
    pub residual: Option<&'a [E]>,
    /// A ReLU at the end.
    pub relu: bool,
}

impl<E> Finish<'_, E> {
    /// No operation.
    pub const NONE: Self = Finish { residual: None, relu: false };
}

/// The destination of a convolution: the elements, whether sums are written or added, and what follows.
#[derive(Debug)]
pub struct Destination<'a, E> {
    /// The elements of the result.
    pub values: &'a mut [E],
    /// Whether the sums overwrite the elements.
    pub mode: GradMode,
    /// The operations behind the sums.
    pub finish: Finish<'a, E>,
}

impl<E: Real> Finish<'_, E> {
    /// Calls `work` to compute, or as `mode` says to add, the part of a result that begins at element `first`, and
    /// finishes it.
    #[inline]
    pub fn part(
        &self,
        device: &Device,
        first: usize,
        y: &mut [E],
        mode: GradMode,
        work: impl FnOnce(&mut [f32]),
    ) {
        let residual = self.residual.map(|residual| &residual[first..][..y.len()]);
        if let Some(y) = E::as_f32_mut(y) {
            work(y);
            self.apply(y, residual);
            return;
        }
        let mut sums = Tensor::scratch(device, [y.len()]);
        let sums = sums.f32_mut();
        if mode == GradMode::Accumulate {
            convert(y, sums);
        }
        work(sums);
        self.apply(sums, residual);
        convert(sums, y);
    }

    fn apply(&self, y: &mut [f32], residual: Option<&[E]>) {
        // As in batch normalisation, NaN stays NaN.
        let clip = |value: f32| if value < 0.0 { 0.0 } else { value };
        let relu = self.relu;
        vectorized(
            #[inline(always)]
            || match (residual, relu) {
                (None, false) => {}
                (None, true) => y.iter_mut().for_each(|y| *y = clip(*y)),
                (Some(residual), false) => {
                    y.iter_mut().zip(residual).for_each(|(y, more)| *y += more.widen())
                }
                (Some(residual), true) => {
                    y.iter_mut().zip(residual).for_each(|(y, more)| *y = clip(*y + more.widen()))
                }
            },
        );
    }
}

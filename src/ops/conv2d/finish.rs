//! The operations behind a convolution in the same pass: a task finishes its part of the result while it is in a cache.
//!
//! Book: [chapter 7](../../../../../../docs/book/src/07-convolution.md).

use crate::device::cpu::simd::vectorized;

/// The operations behind a sum of products.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finish<'a> {
    /// A tensor of the result's shape, which is added.
    pub residual: Option<&'a [f32]>,
    /// A ReLU at the end.
    pub relu: bool,
}

impl Finish<'_> {
    /// Finishes the part of a result that begins at element `first`.
    #[inline]
    pub fn apply(&self, first: usize, y: &mut [f32]) {
        // As in batch normalisation, NaN stays NaN.
        let clip = |value: f32| if value < 0.0 { 0.0 } else { value };
        let Finish { residual, relu } = *self;
        let residual = residual.map(|residual| &residual[first..][..y.len()]);
        vectorized(
            #[inline(always)]
            || match (residual, relu) {
                (None, false) => {}
                (None, true) => y.iter_mut().for_each(|y| *y = clip(*y)),
                (Some(residual), false) => y.iter_mut().zip(residual).for_each(|(y, more)| *y += more),
                (Some(residual), true) => {
                    y.iter_mut().zip(residual).for_each(|(y, more)| *y = clip(*y + more))
                }
            },
        );
    }
}

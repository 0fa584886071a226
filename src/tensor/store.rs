//! Copying or adding a whole tensor: the accumulation of gradients.

use super::Tensor;
use crate::Result;
use crate::device::cpu::simd::vectorized;
use crate::device::cuda::{Out, kernels};
use crate::element::{GradMode, Real, with_real};
use rayon::prelude::*;

/// Elements a thread takes at a time: 64 KiB.
const CHUNK: usize = 16 * 1024;

impl Tensor {
    /// Copies the elements of `from`, or adds them, as `mode` says. `from` is a tensor of the same type and number of
    /// elements on the same device.
    ///
    /// # Errors
    /// A device error.
    ///
    /// # Panics
    /// If type, size or device differ, or this buffer is shared.
    pub fn store(&mut self, from: &Tensor, mode: GradMode) -> Result<()> {
        match mode {
            GradMode::Overwrite => self.copy_from(from),
            GradMode::Accumulate => self.accumulate(from),
        }
    }

    /// Adds the elements of `from`.
    fn accumulate(&mut self, from: &Tensor) -> Result<()> {
        assert_eq!(
            (self.dtype(), self.shape().len()),
            (from.dtype(), from.shape().len()),
            "a sum of another type or size"
        );
        let Some(gpu) = from.gpu() else {
            with_real!(from, E => add_to::<E>(self.reals_mut(), from.reals()));
            return Ok(());
        };
        let (grid, n) = (gpu.flat(from.shape().len(), 16 / from.dtype().bytes()), from.shape().len());
        let y = Out::from(self);
        gpu.launch(grid, kernels::AddForward { a: y.into(), b: from.into(), y, n })
    }
}

/// Adds `from` to `to`, element by element.
fn add_to<E: Real>(to: &mut [E], from: &[E]) {
    to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK)).for_each(|(to, from)| {
        vectorized(
            #[inline(always)]
            || GradMode::Accumulate.store(to, from.iter().map(|value| value.widen())),
        );
    });
}

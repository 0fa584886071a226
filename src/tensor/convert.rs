//! Conversions between the types of floating-point elements: f32 and bf16.
//!
//! Book: [chapter 16](../../../../../docs/book/src/16-bits.md).

use super::Tensor;
use crate::Result;
use crate::device::Device;
use crate::device::cpu::simd;
use crate::device::cuda::kernels;
use crate::element::{DType, Real, Shape, with_real};
use rayon::prelude::*;

/// Elements a thread takes at a time: 64 KiB of f32.
const CHUNK: usize = 16 * 1024;

impl Tensor {
    /// Allocates a tensor of activations, in the type that the device has for them, and copies `values` to it.
    ///
    /// ```
    /// use bcreid::device::{Device, Precision};
    /// use bcreid::element::DType;
    /// use bcreid::tensor::Tensor;
    ///
    /// # fn main() -> bcreid::Result<()> {
    /// let x = Tensor::activations(&Device::cpu_in(Precision::Bf16), [2], &[1.0, 1.001])?;
    /// assert_eq!((x.dtype(), x.to_host_f32()?), (DType::BF16, vec![1.0, 1.0]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::empty`].
    ///
    /// # Panics
    /// If `values` does not have as many elements as `shape`.
    #[track_caller]
    pub fn activations(device: &Device, shape: impl Into<Shape>, values: &[f32]) -> Result<Self> {
        let exact = Self::from_f32(device, shape, values)?;
        if device.activations() == DType::F32 {
            return Ok(exact);
        }
        let mut rounded = Self::empty(device, exact.shape, device.activations())?;
        rounded.convert_from(&exact)?;
        Ok(rounded)
    }

    /// Casts the elements of `from`, a tensor with the same number of elements, of the other floating-point type, or on the
    /// CPU also of the same. f32 to bf16 rounds to nearest, bf16 to f32 is exact.
    ///
    /// # Errors
    /// A device error.
    ///
    /// # Panics
    /// If a type is neither f32 nor bf16, the sizes differ, or this buffer is shared.
    pub fn convert_from(&mut self, from: &Tensor) -> Result<()> {
        assert_eq!(self.shape.len(), from.shape.len(), "a conversion of another size");
        match from.gpu() {
            Some(gpu) => {
                let n = from.shape.len();
                gpu.launch(gpu.flat(n, 8), kernels::Cast { x: from.into(), y: self.into(), n })
            }
            None => {
                with_real!(from, F => with_real!(self, T => in_parallel::<F, T>(from.reals(), self.reals_mut())));
                Ok(())
            }
        }
    }

    /// This f32 tensor of the CPU in the type of the device's activations. Works on this thread alone: the threads of a
    /// loader run beside a step.
    ///
    /// # Errors
    /// As [`Tensor::empty`].
    pub(crate) fn into_activations(self, device: &Device) -> Result<Self> {
        if device.activations() == self.dtype {
            return Ok(self);
        }
        let mut narrow = Self::empty(device, self.shape, device.activations())?;
        with_real!(narrow, E => simd::convert::<f32, E>(self.f32(), narrow.reals_mut()));
        Ok(narrow)
    }
}

fn in_parallel<F: Real, T: Real>(from: &[F], to: &mut [T]) {
    to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK)).for_each(|(to, from)| simd::convert(from, to));
}

//! The element types of activations as the CPU's loops see them: arithmetic is f32, memory f32 or bf16.
//!
//! Book: [chapter 16](../../../../../docs/book/src/16-bits.md).

use super::DType;
use bytemuck::Pod;

pub use half::bf16;

mod sealed {
    /// Keeps [`super::Real`] to the two types whose layout a tensor knows.
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::bf16 {}
}

/// A floating-point element in memory: f32 or [`bf16`]. Loops widen it to f32, compute, and round once.
pub trait Real: Pod + Send + Sync + sealed::Sealed {
    /// The type as a tensor names it.
    const DTYPE: DType;

    /// The value in f32; exact.
    fn widen(self) -> f32;

    /// The value rounded to this type: to nearest, ties to even. NaN stays NaN. It is not named `round`: where a loop is
    /// written for f32 itself, `f32::round` would be called, which rounds to whole numbers.
    fn narrow(value: f32) -> Self;

    /// The elements themselves, if they are f32.
    #[doc(hidden)]
    fn as_f32(values: &[Self]) -> Option<&[f32]>;

    /// The elements themselves, if they are f32, mutable.
    #[doc(hidden)]
    fn as_f32_mut(values: &mut [Self]) -> Option<&mut [f32]>;
}

impl Real for f32 {
    const DTYPE: DType = DType::F32;

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn narrow(value: f32) -> f32 {
        value
    }

    fn as_f32(values: &[f32]) -> Option<&[f32]> {
        Some(values)
    }

    fn as_f32_mut(values: &mut [f32]) -> Option<&mut [f32]> {
        Some(values)
    }
}

impl Real for bf16 {
    const DTYPE: DType = DType::BF16;

    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    // ANCHOR: narrow
    /// As `bf16::from_f32`, without a branch, so that a loop over it is vectorised.
    #[inline(always)]
    fn narrow(value: f32) -> bf16 {
        let bits = value.to_bits();
        let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        // Rounding could carry the payload of a NaN over into an infinity.
        let quiet = bits >> 16 | 0x40;
        bf16::from_bits(if value.is_nan() { quiet } else { nearest } as u16)
    }
    // ANCHOR_END: narrow

    fn as_f32(_: &[bf16]) -> Option<&[f32]> {
        None
    }

    fn as_f32_mut(_: &mut [bf16]) -> Option<&mut [f32]> {
        None
    }
}

/// Evaluates an expression in which a name stands for the element type of a tensor, f32 or bf16.
///
/// ```
/// use bcreid::device::Device;
/// use bcreid::element::{Real, with_real};
/// use bcreid::tensor::Tensor;
///
/// fn sum<E: Real>(values: &[E]) -> f32 {
///     values.iter().map(|value| value.widen()).sum()
/// }
///
/// # fn main() -> bcreid::Result<()> {
/// let x = Tensor::full(&Device::cpu(), [2, 3], 0.5)?;
/// assert_eq!(with_real!(x, E => sum::<E>(x.reals())), 3.0);
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// If the tensor's elements are integers.
#[macro_export]
macro_rules! with_real {
    ($tensor:expr, $E:ident => $body:expr) => {
        match $tensor.dtype() {
            $crate::element::DType::F32 => {
                type $E = f32;
                $body
            }
            $crate::element::DType::BF16 => {
                type $E = $crate::element::bf16;
                $body
            }
            other => panic!("{other} elements where activations are expected"),
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All bf16 themselves, and between neighbours the middle and the floats beside it: subnormal numbers, ties, and
    /// values that overflow to infinity are among them.
    #[test]
    fn rounding_is_that_of_the_half_crate() {
        for bits in (0..=u16::MAX)
            .flat_map(|high| [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff].map(|low| u32::from(high) << 16 | low))
        {
            let value = f32::from_bits(bits);
            let (ours, theirs) = (bf16::narrow(value), bf16::from_f32(value));
            assert_eq!(ours.to_bits(), theirs.to_bits(), "{bits:#x}");
            assert_eq!(ours.widen().to_bits(), theirs.to_f32().to_bits(), "{bits:#x}");
        }
    }
}

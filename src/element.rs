//! Shapes of up to four dimensions (activations are NHWC), element types, and write modes of gradients.
//!
//! Book: [chapter 2](../../../../docs/book/src/02-memory.md), [chapter 4](../../../../docs/book/src/04-fan-out.md).

mod real;

pub use crate::with_real;
pub use real::{Real, bf16};

use std::fmt;

// ANCHOR: shape
/// The sizes of a tensor's dimensions, slowest first; activations are `[N, H, W, C]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    dims: [usize; 4],
    rank: usize,
}
// ANCHOR_END: shape

impl Shape {
    /// The sizes of all dimensions.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// The number of elements; the largest `usize` if it is beyond that, so that no memory is large enough.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        if self.dims().contains(&0) {
            return 0;
        }
        self.dims().iter().fold(1, |product: usize, &size| product.saturating_mul(size))
    }

    /// The sizes `[N, H, W, C]` of a shape of four dimensions; none for another rank.
    pub fn nhwc(&self) -> Option<[usize; 4]> {
        (self.rank == 4).then_some(self.dims)
    }

    /// The rows and columns of a shape of two dimensions; none for another rank.
    pub fn matrix(&self) -> Option<[usize; 2]> {
        (self.rank == 2).then_some([self.dims[0], self.dims[1]])
    }

    /// The last size: channels of an activation, columns of a matrix; 1 for a scalar.
    pub fn last(&self) -> usize {
        self.dims().last().copied().unwrap_or(1)
    }

    /// The same shape with another last size.
    pub(crate) fn with_last(mut self, size: usize) -> Self {
        if let Some(last) = self.dims[..self.rank].last_mut() {
            *last = size;
        }
        self
    }
}

impl<const R: usize> From<[usize; R]> for Shape {
    fn from(sizes: [usize; R]) -> Self {
        const { assert!(R <= 4, "a shape has at most four dimensions") };
        let mut dims = [1; 4];
        dims[..R].copy_from_slice(&sizes);
        Shape { dims, rank: R }
    }
}

impl TryFrom<&[usize]> for Shape {
    type Error = String;

    fn try_from(sizes: &[usize]) -> Result<Self, String> {
        if sizes.len() > 4 {
            return Err(format!("{sizes:?} has {} dimensions, at most 4 are possible", sizes.len()));
        }
        let mut dims = [1; 4];
        dims[..sizes.len()].copy_from_slice(sizes);
        Ok(Shape { dims, rank: sizes.len() })
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

// ANCHOR: dtype
/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// IEEE 754 single precision.
    F32,
    /// bfloat16: activations and weight copies of a run in that precision.
    BF16,
    /// 32-bit integers: labels and indices.
    I32,
    /// Unsigned bytes: images, and the positions of maxima in pooling windows.
    U8,
}
// ANCHOR_END: dtype

/// The name of the type: `f32`, `bf16`, `i32` or `u8`.
impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::BF16 => "bf16",
            DType::I32 => "i32",
            DType::U8 => "u8",
        })
    }
}

impl DType {
    /// The size of one element in bytes.
    pub fn bytes(self) -> usize {
        match self {
            DType::F32 | DType::I32 => 4,
            DType::BF16 => 2,
            DType::U8 => 1,
        }
    }
}

// ANCHOR: mode
/// The write mode of a gradient buffer: every backward pass adds, but the first writer need not read the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradMode {
    /// Mode of the first writer: the buffer is uninitialised.
    Overwrite,
    /// Mode of every later writer: the buffer holds a partial sum.
    Accumulate,
}
// ANCHOR_END: mode

impl GradMode {
    /// The factor for the buffer's old content: 0 or 1.
    pub fn beta(self) -> f32 {
        match self {
            GradMode::Overwrite => 0.0,
            GradMode::Accumulate => 1.0,
        }
    }

    /// The argument `accumulate` of a kernel: 0 or 1.
    pub(crate) fn flag(self) -> usize {
        usize::from(self == GradMode::Accumulate)
    }

    // ANCHOR: store
    /// Writes `values` to `to`, or adds them, element by element.
    #[inline(always)]
    pub fn store<E: Real>(self, to: &mut [E], values: impl IntoIterator<Item = f32>) {
        match self {
            GradMode::Overwrite => to.iter_mut().zip(values).for_each(|(t, v)| *t = E::narrow(v)),
            GradMode::Accumulate => {
                to.iter_mut().zip(values).for_each(|(t, v)| *t = E::narrow(t.widen() + v))
            }
        }
    }
    // ANCHOR_END: store
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_size_is_replaced_alone() {
        assert_eq!(Shape::from([2, 5, 7, 3]).with_last(4), Shape::from([2, 5, 7, 4]));
        assert_eq!(Shape::from([0; 0]).with_last(4), Shape::from([0; 0]));
    }

    #[test]
    fn the_number_of_elements_does_not_wrap() {
        assert_eq!(Shape::from([3, 4]).len(), 12);
        assert_eq!(Shape::from([1 << 40, 1 << 40]).len(), usize::MAX);
        assert_eq!(Shape::from([1 << 40, 1 << 40, 0]).len(), 0);
    }
}

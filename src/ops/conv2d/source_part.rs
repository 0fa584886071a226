//! The part of a convolution's source that a task reads, in f32. In bf16 each task widens its own part while the part is in
//! a cache: a widened copy of the whole source would be written to memory and read again.
//!
//! Book: [chapter 7](../../../../../../docs/book/src/07-convolution.md).

use crate::device::Device;
use crate::device::cpu::simd::convert;
use crate::element::Real;
use crate::tensor::Tensor;
use std::ops::Range;

/// A part of a source.
pub enum SourcePart<'a> {
    /// The whole source, which is f32.
    Whole(&'a [f32]),
    /// A copy in f32 of the elements from index `begin` on.
    Widened {
        /// The elements.
        values: Tensor,
        /// The index of the first one in the source.
        begin: usize,
    },
}

impl<'a> SourcePart<'a> {
    /// The elements of `source` whose range `range` returns; it is not called if no copy is needed.
    pub fn new<E: Real>(device: &Device, source: &'a [E], range: impl FnOnce() -> Range<usize>) -> Self {
        if let Some(source) = E::as_f32(source) {
            return SourcePart::Whole(source);
        }
        let range = range();
        let (begin, from) = (range.start, &source[range]);
        let mut values = Tensor::scratch(device, [from.len()]);
        convert(from, values.f32_mut());
        SourcePart::Widened { values, begin }
    }
}

impl SourcePart<'_> {
    /// `count` elements from index `at` of the source on.
    #[inline]
    pub fn values(&self, at: usize, count: usize) -> &[f32] {
        match self {
            SourcePart::Whole(source) => &source[at..at + count],
            SourcePart::Widened { values, begin } => &values.f32()[at - begin..][..count],
        }
    }
}

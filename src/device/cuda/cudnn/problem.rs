//! The description of a convolution for cuDNN: sizes, element type, directions.

use super::api;
use crate::element::DType;
use crate::{Error, Result};
use std::ffi::c_int;
use std::fmt;

/// The element type of tensors and filters. Sums are always f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// IEEE 754 single precision.
    F32,
    /// bfloat16: the upper 16 bits of an f32.
    Bf16,
}

/// A convolution of `[n, h, w, c]` by `[k, r, s, c]` to `[n, p, q, k]`, dense, with one stride and one padding for both
/// dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// The number of images.
    pub n: usize,
    /// Height of the input.
    pub h: usize,
    /// Width of the input.
    pub w: usize,
    /// Channels of the input.
    pub c: usize,
    /// The number of filters: channels of the output.
    pub k: usize,
    /// Height of a filter.
    pub r: usize,
    /// Width of a filter.
    pub s: usize,
    /// The step between two positions of the filter, down and across.
    pub stride: usize,
    /// The zeros around the input, on each side.
    pub pad: usize,
    /// The element type of input, filters and output.
    pub element: Element,
    /// Allows rounding of f32 to TF32's 10 bits of mantissa before a product, for the tensor cores. Ignored for bf16.
    pub tf32: bool,
}

/// The channels of images before they are padded.
pub const COLOURS: usize = 3;

/// The channels of a tensor that has `c` of them: the next multiple of 16 bytes. In bf16 cuDNN supports channels in
/// multiples of 8 only, and in f32 most of its algorithms for NHWC want multiples of 4; more channels of zeros change no
/// sum.
pub fn padded_channels(c: usize, dtype: DType) -> usize {
    c.next_multiple_of(16 / dtype.bytes())
}

/// A pass of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// fprop: y of x and w.
    Forward,
    /// dgrad: dx of w and dy.
    InputGradient,
    /// wgrad: dw of x and dy.
    FilterGradient,
}

impl Element {
    pub(super) fn code(self) -> c_int {
        match self {
            Element::F32 => api::FLOAT,
            Element::Bf16 => api::BFLOAT16,
        }
    }
}

impl Direction {
    /// The name in counts of launches.
    pub(in crate::device::cuda) fn kind(self) -> &'static str {
        match self {
            Direction::Forward => "convolution forward",
            Direction::InputGradient => "convolution input gradient",
            Direction::FilterGradient => "convolution filter gradient",
        }
    }

    /// True for algorithms that cuDNN's manual calls not deterministic, even if cuDNN lists them as deterministic.
    pub(super) fn avoids(self, algorithm: c_int) -> bool {
        match self {
            Direction::Forward => false,
            Direction::InputGradient => algorithm == api::DATA_ALGORITHM_0,
            Direction::FilterGradient => {
                algorithm == api::FILTER_ALGORITHM_0 || algorithm == api::FILTER_ALGORITHM_3
            }
        }
    }
}

impl Problem {
    /// The output's height p and width q; none if the filter is larger than the padded input.
    pub fn output(&self) -> Option<(usize, usize)> {
        let along = |size: usize, taps: usize| {
            let room = size.checked_add(self.pad.checked_mul(2)?)?.checked_sub(taps)?;
            room.checked_div(self.stride)?.checked_add(1)
        };
        Some((along(self.h, self.r)?, along(self.w, self.s)?))
    }

    /// The bytes of a direction's result: y, dx or dw.
    ///
    /// # Panics
    /// If the filter is larger than the padded input; a plan exists only for a valid problem.
    pub fn result_bytes(&self, direction: Direction) -> usize {
        let Problem { n, h, w, c, k, r, s, .. } = *self;
        let (p, q) = self.output().expect("a plan exists only for a valid problem");
        let elements = match direction {
            Direction::Forward => n * p * q * k,
            Direction::InputGradient => n * h * w * c,
            Direction::FilterGradient => k * r * s * c,
        };
        let bytes = match self.element {
            Element::F32 => 4,
            Element::Bf16 => 2,
        };
        elements * bytes
    }

    /// The bytes of x, w and y, and the multiplications and additions: the same in each direction.
    ///
    /// # Panics
    /// As [`Problem::result_bytes`].
    pub(in crate::device::cuda) fn work(&self) -> [usize; 2] {
        const ALL: [Direction; 3] = [Direction::Forward, Direction::InputGradient, Direction::FilterGradient];
        let (p, q) = self.output().expect("a plan exists only for a valid problem");
        let bytes = ALL.map(|direction| self.result_bytes(direction)).iter().sum();
        [bytes, 2 * self.n * p * q * self.k * self.r * self.s * self.c]
    }

    /// Checks the sizes; returns n, h, w, c, k, r, s, p, q, stride and pad as cuDNN takes them.
    pub(super) fn check(&self) -> Result<[c_int; 11]> {
        let Problem { n, h, w, c, k, r, s, stride, pad, element, .. } = *self;
        let invalid = |why: &str| Err(Error::Device(format!("cuDNN: {self}: {why}")));
        if [n, h, w, c, k, r, s, stride].contains(&0) {
            return invalid("a size or the stride is 0");
        }
        let Some((p, q)) = self.output() else {
            return invalid("the filter is larger than the padded input");
        };
        if element == Element::Bf16 && (c % 8 != 0 || k % 8 != 0) {
            return invalid(
                "in bf16 cuDNN supports channels c and k in multiples of 8 only; pad them with zeros",
            );
        }
        let sizes = [n, h, w, c, k, r, s, p, q, stride, pad];
        let fits = |factors: [usize; 4]| {
            let product = factors.into_iter().try_fold(1usize, usize::checked_mul);
            product.is_some_and(|product| c_int::try_from(product).is_ok())
        };
        if !fits([n, h, w, c])
            || !fits([k, r, s, c])
            || !fits([n, p, q, k])
            || !fits([stride, pad.max(1), 1, 1])
        {
            return invalid("cuDNN supports tensors of less than 2^31 elements only; use a smaller batch");
        }
        Ok(sizes.map(|size| size as c_int))
    }

    /// The math types that an algorithm may have, first the one that cuDNN's heuristics are asked for.
    pub(super) fn math_types(&self) -> &'static [c_int] {
        match (self.element, self.tf32) {
            (Element::Bf16, _) => &[api::TENSOR_OP_MATH, api::DEFAULT_MATH, api::FMA_MATH],
            (Element::F32, true) => &[api::DEFAULT_MATH, api::TENSOR_OP_MATH, api::FMA_MATH],
            (Element::F32, false) => &[api::FMA_MATH],
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { n, h, w, c, k, r, s, stride, pad, element, tf32 } = *self;
        let element = match (element, tf32) {
            (Element::Bf16, _) => "bf16",
            (Element::F32, true) => "f32 (tf32)",
            (Element::F32, false) => "f32",
        };
        write!(
            f,
            "{element} convolution of [{n}, {h}, {w}, {c}] by [{k}, {r}, {s}, {c}], stride {stride}, pad {pad}"
        )
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Forward => "the forward pass",
            Direction::InputGradient => "the input's gradient",
            Direction::FilterGradient => "the filters' gradient",
        })
    }
}

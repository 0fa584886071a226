//! The purpose of an allocation, in words.

use crate::element::{DType, Shape};
use std::fmt;
use std::panic::Location;
use std::path::Path;

/// The purpose of an allocation, for out-of-memory messages.
#[derive(Clone, Debug)]
pub enum Label {
    /// A tensor, with the source location of its allocation.
    Tensor(&'static Location<'static>, Shape, DType),
    /// The gradient of an input of an operation, which is named here.
    Gradient(&'static str, Shape, DType),
    /// Another buffer, such as a workspace.
    Other(&'static str),
}

impl Label {
    /// The label of a tensor that the caller allocates; the caller's file is named after the operation.
    #[track_caller]
    pub fn of_caller(shape: Shape, dtype: DType) -> Self {
        Label::Tensor(Location::caller(), shape, dtype)
    }

    /// The label of a buffer that is no tensor.
    pub(in crate::device::cuda) const fn of(what: &'static str) -> Self {
        Label::Other(what)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (location, shape, dtype) = match self {
            Label::Tensor(location, shape, dtype) => (location, shape, dtype),
            Label::Gradient(op, shape, dtype) => return write!(f, "{dtype} {shape}, a gradient of {op}"),
            Label::Other(what) => return f.write_str(what),
        };
        let file = Path::new(location.file());
        let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = match stem(file) {
            // For src/ops/conv2d/cuda.rs the folder's name is the operation.
            Some(name) if ["cuda", "mod"].contains(&name.as_str()) => file.parent().and_then(stem),
            other => other,
        };
        write!(f, "{dtype} {shape} of {}", name.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_is_named_by_the_file_that_allocates_it() {
        let label = Label::of_caller(Shape::from([2, 3]), DType::F32);
        assert_eq!(label.to_string(), "f32 [2, 3] of label");
    }

    #[test]
    fn a_gradient_is_named_by_its_operation() {
        let label = Label::Gradient("conv2d", Shape::from([2, 3]), DType::BF16);
        assert_eq!(label.to_string(), "bf16 [2, 3], a gradient of conv2d");
    }
}

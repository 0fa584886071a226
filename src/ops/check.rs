//! Checks of the inputs of operations on features and labels: shapes and types, and on the CPU the labels' values too.
//! (On a GPU a check of values would force a synchronisation.)
//!
//! Book: [chapter 14](../../../../../docs/book/src/14-launches.md).

use crate::element::DType;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Checks that `t` is a non-empty f32 matrix; returns its sizes.
pub(super) fn matrix(op: &'static str, name: &str, t: &Tensor) -> Result<[usize; 2]> {
    match t.shape().matrix() {
        Some(sizes) if t.dtype() == DType::F32 && t.shape().len() > 0 => Ok(sizes),
        _ => Err(Error::shape(
            op,
            format!("{name} is {} {}, expected a non-empty f32 matrix", t.dtype(), t.shape()),
        )),
    }
}

/// Checks that tensors, given with their names, are f32: features, parameters, statistics.
pub(super) fn f32s<'a>(
    op: &'static str,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
) -> Result<()> {
    for (name, t) in tensors {
        if t.dtype() != DType::F32 {
            return Err(Error::shape(op, format!("{name} is {} {}, expected f32", t.dtype(), t.shape())));
        }
    }
    Ok(())
}

/// Checks that `t` is f32 `[1]`: a learning rate, a loss.
pub(super) fn scalar(op: &'static str, name: &str, t: &Tensor) -> Result<()> {
    if t.dtype() != DType::F32 || t.shape().dims() != [1] {
        return Err(Error::shape(op, format!("{name} is {} {}, expected f32 [1]", t.dtype(), t.shape())));
    }
    Ok(())
}

/// Checks that `labels` is i32 `[m]`.
pub(super) fn labels(op: &'static str, labels: &Tensor, m: usize) -> Result<()> {
    if labels.dtype() != DType::I32 || labels.shape().dims() != [m] {
        return Err(Error::shape(
            op,
            format!("labels are {} {}, expected i32 [{m}]", labels.dtype(), labels.shape()),
        ));
    }
    Ok(())
}

pub(super) mod cpu {
    use crate::{Error, Result};

    /// Checks that every label is in 0..`classes`.
    pub fn classes(op: &'static str, labels: &[i32], classes: usize) -> Result<()> {
        let wrong = |&y: &i32| usize::try_from(y).map_or(true, |y| y >= classes);
        match labels.iter().position(wrong) {
            Some(i) => Err(Error::shape(
                op,
                format!("label {} of image {i} is not one of the {classes} classes 0..{classes}", labels[i]),
            )),
            None => Ok(()),
        }
    }
}

//! Tensors as arguments of kernels.

use super::Tensor;
use crate::device::cuda::{In, Out};

/// A tensor that is read.
impl From<&Tensor> for In {
    fn from(tensor: &Tensor) -> In {
        In::new(tensor.cuda().address(), tensor.dtype())
    }
}

/// A tensor that is written. No other handle to its memory exists.
impl From<&mut Tensor> for Out {
    fn from(tensor: &mut Tensor) -> Out {
        Out::new(tensor.cuda_mut().address(), tensor.dtype())
    }
}

impl Tensor {
    /// The tensor as one that is written although others hold its memory: a flat array of parameters, or state of the
    /// device that steps change one after the other.
    pub(crate) fn shared_out(&self) -> Out {
        Out::new(self.cuda().address(), self.dtype())
    }
}

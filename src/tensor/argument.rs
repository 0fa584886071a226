//! Conversions of tensors to kernel arguments.

use super::Tensor;
use crate::device::cuda::{In, Out};

/// The kernel argument of a tensor that the kernel reads.
impl From<&Tensor> for In {
    fn from(tensor: &Tensor) -> In {
        let buffer = tensor.cuda();
        In::new(buffer.address(), buffer.bytes(), buffer.device().id(), tensor.dtype())
    }
}

/// The kernel argument of a tensor that the kernel writes. No other handle to its memory exists.
impl From<&mut Tensor> for Out {
    fn from(tensor: &mut Tensor) -> Out {
        let buffer = tensor.cuda_mut();
        Out::new(buffer.address(), buffer.bytes(), buffer.device().id(), tensor.dtype())
    }
}

impl Tensor {
    /// The kernel argument of a tensor that is written although its memory is shared: a flat array of parameters, or
    /// device state that successive steps change in stream order.
    pub(crate) fn shared_out(&self) -> Out {
        let buffer = self.cuda();
        Out::new(buffer.address(), buffer.bytes(), buffer.device().id(), self.dtype())
    }
}

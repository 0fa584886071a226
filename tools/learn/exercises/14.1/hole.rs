use crate::fatbin::FATBIN;
use bcreid::autograd::{Backward, Sinks, Tape, Var};
use bcreid::device::cuda::{CudaDevice, In, Module, Out};
use bcreid::element::{DType, Real, with_real};
use bcreid::tensor::Tensor;
use bcreid::{Error, Result};

// SAFETY: the grader compiles answer.cu; FATBIN stands for the file that nvcc makes of it.
static MODULE: Module = unsafe { Module::new(FATBIN, include_str!("answer.cu")) };

/// y = x / (1 + |x|), element by element; any shape, f32 or bf16.
///
/// # Errors
/// Another element type; errors of the device.
pub fn softsign(tape: &mut Tape<'_>, x: Var) -> Result<Var> {
    let _ = (tape, x);
    todo!("the check of the type, the output, the two devices, the node on the tape")
}

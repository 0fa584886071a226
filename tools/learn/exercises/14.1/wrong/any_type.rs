// Expect: `softsign` panics: compare x.dtype()
use crate::fatbin::FATBIN;
use bcreid::autograd::{Backward, Sinks, Tape, Var};
use bcreid::device::cuda::{CudaDevice, In, Module, Out};
use bcreid::element::{Real, with_real};
use bcreid::tensor::Tensor;
use bcreid::Result;

// SAFETY: the grader compiles answer.cu; FATBIN stands for the file that nvcc makes of it.
static MODULE: Module = unsafe { Module::new(FATBIN, include_str!("answer.cu")) };

/// y = x / (1 + |x|), element by element; any shape, f32 or bf16.
///
/// # Errors
/// Another element type; errors of the device.
pub fn softsign(tape: &mut Tape<'_>, x: Var) -> Result<Var> {
    let input = x.handle();
    let x = x.value;
    let mut y = Tensor::empty(&tape.device(), x.shape(), x.dtype())?;
    match x.gpu() {
        None => {
            with_real!(x, E => for (y, x) in y.reals_mut::<E>().iter_mut().zip(x.reals::<E>()) {
                let x = x.widen();
                *y = E::narrow(x / (1.0 + x.abs()));
            });
        }
        Some(gpu) => forward(gpu, &x, &mut y)?,
    }
    Ok(tape.record(y, &[input], |_| SoftsignBackward { x }))
}

struct SoftsignBackward {
    x: Tensor,
}

impl Backward for SoftsignBackward {
    fn op(&self) -> &'static str {
        "softsign"
    }

    /// dx = dy / (1 + |x|)^2, in the place of dy.
    fn backward(self: Box<Self>, mut dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        match self.x.gpu() {
            None => {
                with_real!(dy, E => for (dy, x) in dy.reals_mut::<E>().iter_mut().zip(self.x.reals::<E>()) {
                    let d = 1.0 + x.widen().abs();
                    *dy = E::narrow(dy.widen() / (d * d));
                });
            }
            Some(gpu) => backward(gpu, &self.x, &mut dy)?,
        }
        sinks.give(0, dy)
    }
}

/// Elements that a thread computes at least.
const EACH: usize = 4;

fn forward(gpu: &CudaDevice, x: &Tensor, y: &mut Tensor) -> Result<()> {
    let n = x.shape().len();
    let arguments = [("x", In::from(x).into()), ("y", Out::from(y).into()), ("n", n.into())];
    // SAFETY: x and y have n elements each, and the kernel accesses elements below n only.
    unsafe { gpu.launch_from(&MODULE, gpu.flat(n, EACH), "softsign_forward", &arguments) }
}

fn backward(gpu: &CudaDevice, x: &Tensor, dy: &mut Tensor) -> Result<()> {
    let n = x.shape().len();
    let dx = Out::from(dy);
    let arguments =
        [("x", In::from(x).into()), ("dy", In::from(dx).into()), ("dx", dx.into()), ("n", n.into())];
    // SAFETY: x and dy have n elements each, and the kernel accesses elements below n only.
    unsafe { gpu.launch_from(&MODULE, gpu.flat(n, EACH), "softsign_backward", &arguments) }
}

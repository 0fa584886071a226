//! Swish, y = x s(beta x) with s(z) = 1 / (1 + exp(-z)) (Ramachandran, Zoph and Le 2017, arXiv:1710.05941), as an
//! operation outside of bcreid: forward, saved value and backward on the CPU and on a GPU, through public items only.
//!
//! dx = dy (s + beta x s (1 - s)), with s at beta x. The input is saved.

use bcreid::autograd::{Backward, Sinks, Tape, Var};
use bcreid::tensor::Tensor;
use bcreid::{Error, Result};

// ANCHOR: operation
/// x s(beta x), element by element; any shape, f32 or bf16.
///
/// # Errors
/// A beta that is not finite; errors of the device.
pub fn swish(tape: &mut Tape<'_>, x: Var, beta: f32) -> Result<Var> {
    if !beta.is_finite() {
        return Err(Error::shape("swish", format!("beta is {beta}; give a finite number")));
    }
    let input = x.handle();
    let x = x.value;
    let mut y = Tensor::empty(&tape.device(), x.shape(), x.dtype())?;
    match x.gpu() {
        None => cpu::forward(&x, &mut y, beta),
        Some(gpu) => cuda::forward(gpu, &x, &mut y, beta)?,
    }
    Ok(tape.record(y, &[input], |_| SwishBackward { x, beta }))
}
// ANCHOR_END: operation

struct SwishBackward {
    x: Tensor,
    beta: f32,
}

// ANCHOR: backward
impl Backward for SwishBackward {
    fn op(&self) -> &'static str {
        "swish"
    }

    /// The gradient of the input takes the place of dy.
    fn backward(self: Box<Self>, mut dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        match self.x.gpu() {
            None => cpu::backward(&self.x, &mut dy, self.beta),
            Some(gpu) => cuda::backward(gpu, &self.x, &mut dy, self.beta)?,
        }
        sinks.give(0, dy)
    }
}
// ANCHOR_END: backward

mod cpu {
    use bcreid::element::{Real, with_real};
    use bcreid::tensor::Tensor;
    use rayon::prelude::*;

    /// Elements of a task: 64 KiB.
    const CHUNK: usize = 16 * 1024;

    fn sigmoid(z: f32) -> f32 {
        1.0 / (1.0 + (-z).exp())
    }

    pub fn forward(x: &Tensor, y: &mut Tensor, beta: f32) {
        with_real!(x, E => swish::<E>(x.reals(), y.reals_mut(), beta));
    }

    fn swish<E: Real>(x: &[E], y: &mut [E], beta: f32) {
        y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| {
            y.iter_mut().zip(x).for_each(|(y, x)| *y = E::narrow(x.widen() * sigmoid(beta * x.widen())));
        });
    }

    pub fn backward(x: &Tensor, dy: &mut Tensor, beta: f32) {
        with_real!(x, E => gradient::<E>(x.reals(), dy.reals_mut(), beta));
    }

    fn gradient<E: Real>(x: &[E], dy: &mut [E], beta: f32) {
        dy.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(dy, x)| {
            dy.iter_mut().zip(x).for_each(|(dy, x)| {
                let (x, s) = (x.widen(), sigmoid(beta * x.widen()));
                *dy = E::narrow(dy.widen() * (s + beta * x * s * (1.0 - s)));
            });
        });
    }
}

mod cuda {
    use bcreid::device::cuda::{CudaDevice, In, Module, Out};
    use bcreid::tensor::Tensor;
    use bcreid::{Error, Result};

    const FATBIN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swish.fatbin"));
    // ANCHOR: module
    // SAFETY: the build script compiled the one from the other.
    static MODULE: Module = unsafe { Module::new(FATBIN, include_str!("../cuda/swish.cu")) };
    // ANCHOR_END: module

    /// Elements that a thread computes at least.
    const EACH: usize = 4;

    fn require_kernels() -> Result<()> {
        if !FATBIN.is_empty() {
            return Ok(());
        }
        Err(Error::Device(
            "this build of foreign-op has no CUDA kernels: install nvcc and build again".into(),
        ))
    }

    // ANCHOR: launch
    pub fn forward(gpu: &CudaDevice, x: &Tensor, y: &mut Tensor, beta: f32) -> Result<()> {
        require_kernels()?;
        let n = x.shape().len();
        let (grid, x, y) = (gpu.flat(n, EACH), In::from(x), Out::from(y));
        let arguments = [("x", x.into()), ("y", y.into()), ("beta", beta.into()), ("n", n.into())];
        // SAFETY: x and y have n elements each, and the kernel accesses elements below n only.
        unsafe { gpu.launch_from(&MODULE, grid, "swish_forward", &arguments) }
    }
    // ANCHOR_END: launch

    pub fn backward(gpu: &CudaDevice, x: &Tensor, dy: &mut Tensor, beta: f32) -> Result<()> {
        require_kernels()?;
        let n = x.shape().len();
        let (grid, x, dx) = (gpu.flat(n, EACH), In::from(x), Out::from(dy));
        let arguments = [
            ("x", x.into()),
            ("dy", In::from(dx).into()),
            ("dx", dx.into()),
            ("beta", beta.into()),
            ("n", n.into()),
        ];
        // SAFETY: x and dy have n elements each, and the kernel accesses elements below n only.
        unsafe { gpu.launch_from(&MODULE, grid, "swish_backward", &arguments) }
    }
}

//! Stochastic gradient descent with momentum and weight decay, in the two conventions in use.
//!
//! With g' = g + weight_decay decay_mult w and r = rate lr_mult:
//!
//! | | velocity | weight |
//! |---|---|---|
//! | [`Convention::PyTorch`] | v = momentum v + g' | w -= r v |
//! | [`Convention::Caffe`] | v = momentum v + r g' | w -= v |
//!
//! At a constant rate the two take the same steps. When the rate drops, Caffe's velocity keeps the old rate
//! for as long as it remembers, while PyTorch's steps shrink at once. The paper trained with Caffe.
//!
//! The velocity starts at 0, so the first step takes v = g' as PyTorch's does.

use crate::autograd::Params;
mod velocities;

pub use velocities::Velocities;

use crate::ops::check;
use crate::tensor::Tensor;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

const OP: &str = "sgd";

/// Which of the two forms of momentum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Convention {
    /// The velocity is a sum of gradients; the rate scales each step.
    PyTorch,
    /// The velocity is a sum of steps, each scaled by the rate of its time.
    Caffe,
}

/// The solver's constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// The share of the velocity that a step keeps, in [0, 1).
    pub momentum: f32,
    /// The factor of the weights in the gradient, at least 0.
    pub weight_decay: f32,
    /// The form of momentum.
    pub convention: Convention,
}

/// Moves every parameter by its gradient, at `rate` f32 `[1]`. A parameter whose `lr_mult` is 0 keeps its
/// value and its velocity. Gradients are left as they are. `velocities` are those of the same parameters.
///
/// # Errors
/// If `rate` is not one number, or a constant of `solver` lies outside its range.
///
/// # Panics
/// If a tape still holds a parameter's value, on the CPU.
pub fn sgd(params: &mut Params, velocities: &mut Velocities, rate: &Tensor, solver: Sgd) -> Result<()> {
    check::scalar(OP, "rate", rate)?;
    if !(0.0..1.0).contains(&solver.momentum) {
        return Err(Error::shape(OP, format!("momentum {} is outside [0, 1)", solver.momentum)));
    }
    if !(0.0..f32::INFINITY).contains(&solver.weight_decay) {
        return Err(Error::shape(OP, format!("weight decay {} is not at least 0", solver.weight_decay)));
    }
    velocities.upload_segments(params, solver.weight_decay)?;
    match (params.flat(), rate.gpu()) {
        (Some(flat), Some(gpu)) => cuda::step(gpu, flat, velocities, rate, solver),
        _ => {
            cpu::step(params.params_mut(), velocities.each_mut(), rate, solver);
            Ok(())
        }
    }
}

mod cpu {
    use super::{Convention, Sgd};
    use crate::autograd::Param;
    use crate::tensor::Tensor;
    use rayon::prelude::*;

    /// Elements a thread takes at a time: three times 64 KiB.
    const CHUNK: usize = 16 * 1024;

    /// One pass over weights, gradients and velocities, in chunks of all parameters at once.
    pub fn step(params: &mut [Param], velocities: &mut [Tensor], rate: &Tensor, solver: Sgd) {
        let rate = rate.f32()[0];
        let both = params.par_iter_mut().zip(velocities);
        both.filter(|(param, _)| param.lr_mult != 0.0).for_each(|(param, velocity)| {
            let rate = rate * param.lr_mult;
            let decay = solver.weight_decay * param.decay_mult;
            let grad = param.grad.f32().par_chunks(CHUNK);
            let value = param.value.f32_mut().par_chunks_mut(CHUNK);
            let velocity = velocity.f32_mut().par_chunks_mut(CHUNK);
            value.zip(grad).zip(velocity).for_each(|((w, g), v)| match solver.convention {
                Convention::PyTorch => pytorch(w, g, v, solver.momentum, decay, rate),
                Convention::Caffe => caffe(w, g, v, solver.momentum, decay, rate),
            });
        });
    }

    fn pytorch(w: &mut [f32], g: &[f32], v: &mut [f32], momentum: f32, decay: f32, rate: f32) {
        for ((w, &g), v) in w.iter_mut().zip(g).zip(v) {
            *v = momentum * *v + (g + decay * *w);
            *w -= rate * *v;
        }
    }

    fn caffe(w: &mut [f32], g: &[f32], v: &mut [f32], momentum: f32, decay: f32, rate: f32) {
        for ((w, &g), v) in w.iter_mut().zip(g).zip(v) {
            *v = momentum * *v + rate * (g + decay * *w);
            *w -= *v;
        }
    }
}

mod cuda {
    use super::{Convention, Sgd, Velocities};
    use crate::Result;
    use crate::autograd::FlatParams;
    use crate::device::cuda::{CudaDevice, Grid, In, kernels};
    use crate::tensor::Tensor;

    /// One launch a group of parameters, a block for each segment of them.
    pub fn step(
        gpu: &CudaDevice,
        params: &FlatParams,
        velocities: &Velocities,
        rate: &Tensor,
        solver: Sgd,
    ) -> Result<()> {
        for (group, velocities) in params.groups.iter().zip(velocities.flat()) {
            let Some((table, count)) = velocities.segments() else { continue };
            // Parameters are parts of these arrays; nothing reads them between the backward pass and the next step.
            let [weights, velocities] = [&group.values, &velocities.values].map(Tensor::shared_out);
            let copy = group.copy.as_ref().map(Tensor::shared_out);
            let (segments, gradients) = (In::from(table), In::from(&group.grads));
            let (rate, momentum, grid) = (In::from(rate), solver.momentum, Grid::blocks(count));
            match solver.convention {
                Convention::PyTorch => gpu.launch(
                    grid,
                    kernels::SgdPytorch { segments, weights, gradients, velocities, copy, rate, momentum },
                ),
                Convention::Caffe => gpu.launch(
                    grid,
                    kernels::SgdCaffe { segments, weights, gradients, velocities, copy, rate, momentum },
                ),
            }?;
        }
        Ok(())
    }
}

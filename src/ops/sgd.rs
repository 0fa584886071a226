//! Stochastic gradient descent with momentum and weight decay, in the conventions of PyTorch and Caffe.
//!
//! With g' = g + weight_decay decay_mult w and r = lr lr_mult:
//!
//! | | velocity | weight |
//! |---|---|---|
//! | [`Convention::PyTorch`] | v = momentum v + g' | w -= r v |
//! | the same with [`Sgd::nesterov`] | v = momentum v + g' | w -= r (g' + momentum v) |
//! | [`Convention::Caffe`] | v = momentum v + r g' | w -= v |
//!
//! At a constant learning rate both conventions take the same steps. When the learning rate drops, Caffe's velocity
//! still contains steps at the old one, while PyTorch's steps shrink at once. The paper trained with Caffe.
//!
//! Nesterov momentum is that of `torch.optim.SGD`. Caffe's solver `Nesterov` keeps other velocities; it does not exist
//! here.
//!
//! The velocity starts at 0, so the first velocity is g' as in PyTorch (r g' in Caffe's convention).
//!
//! Book: [chapter 10](../../../../../docs/book/src/10-optimisers.md).

mod velocities;

pub use velocities::Velocities;

use crate::autograd::Params;
use crate::ops::check;
use crate::tensor::Tensor;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

const OP: &str = "sgd";

/// The convention of momentum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Convention {
    /// The velocity sums gradients; the learning rate scales each step.
    PyTorch,
    /// The velocity sums steps, each scaled by the learning rate at its time.
    Caffe,
}

/// The constants of SGD.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// The factor on the velocity in each step, in [0, 1).
    pub momentum: f32,
    /// The L2 penalty: the factor on the weights that are added to the gradient, at least 0.
    pub weight_decay: f32,
    /// The convention of momentum.
    pub convention: Convention,
    /// Nesterov momentum, in PyTorch's convention only; `momentum` must be above 0.
    pub nesterov: bool,
}

/// Updates every parameter by its gradient, at the learning rate `rate` f32 `[1]`. A parameter that is frozen, or whose
/// `lr_mult` is 0, keeps its value and its velocity. The gradients are not changed. `velocities` belong to the same
/// parameters.
///
/// # Errors
/// If `rate` is not f32 `[1]`, or a constant of `solver` is outside its range.
///
/// # Panics
/// If a tape still holds a parameter's value, on the CPU.
pub fn sgd(params: &mut Params, velocities: &mut Velocities, rate: &Tensor, solver: Sgd) -> Result<()> {
    (0..params.sections()).try_for_each(|section| sgd_section(params, velocities, section, rate, solver))
}

/// As [`sgd`], for the parameters of one section ([`Params::sections`]).
///
/// # Errors
/// As [`sgd`].
///
/// # Panics
/// As [`sgd`]; if there is no such section.
pub fn sgd_section(
    params: &mut Params,
    velocities: &mut Velocities,
    section: usize,
    rate: &Tensor,
    solver: Sgd,
) -> Result<()> {
    assert!(section < params.sections(), "there is no section {section}");
    check::scalar(OP, "the learning rate", rate)?;
    if !(0.0..1.0).contains(&solver.momentum) {
        return Err(Error::shape(OP, format!("momentum {} is outside [0, 1)", solver.momentum)));
    }
    if !(0.0..f32::INFINITY).contains(&solver.weight_decay) {
        return Err(Error::shape(
            OP,
            format!("weight decay {} is not a finite number of at least 0", solver.weight_decay),
        ));
    }
    if solver.nesterov && (solver.convention == Convention::Caffe || solver.momentum == 0.0) {
        return Err(Error::shape(OP, "Nesterov momentum needs PyTorch's convention and a momentum above 0"));
    }
    velocities.segments.upload(params, section, solver.weight_decay)?;
    match (params.flat(), rate.gpu()) {
        (Some(flat), Some(gpu)) => cuda::step(gpu, flat, velocities, section, rate, solver),
        _ => cpu::step(params.params_mut(), velocities.each_mut(), rate, solver),
    }
}

mod cpu {
    use super::{Convention, Sgd};
    use crate::Result;
    use crate::autograd::Param;
    use crate::element::{Real, with_real};
    use crate::tensor::Tensor;
    use rayon::prelude::*;

    /// Elements of a task: three times 64 KiB.
    const CHUNK: usize = 16 * 1024;

    /// Updates weights and velocities in one pass, in parallel over chunks of all parameters.
    pub fn step(params: &mut [Param], velocities: &mut [Tensor], rate: &Tensor, solver: Sgd) -> Result<()> {
        let rate = rate.f32()[0];
        let both = params.par_iter_mut().zip(velocities);
        both.filter(|(param, _)| param.is_updated()).try_for_each(|(param, velocity)| {
            let rate = rate * param.lr_mult;
            let decay = solver.weight_decay * param.decay_mult;
            let value = param.value.f32_mut().par_chunks_mut(CHUNK);
            let velocity = velocity.f32_mut().par_chunks_mut(CHUNK);
            with_real!(param.grad, G => {
                let grad = param.grad.reals::<G>().par_chunks(CHUNK);
                value.zip(grad).zip(velocity).for_each(|((w, g), v)| match solver.convention {
                    Convention::PyTorch if solver.nesterov => nesterov(w, g, v, solver.momentum, decay, rate),
                    Convention::PyTorch => pytorch(w, g, v, solver.momentum, decay, rate),
                    Convention::Caffe => caffe(w, g, v, solver.momentum, decay, rate),
                });
            });
            param.fill_compute_copy()
        })
    }

    /// The gradients in f32.
    fn widened<G: Real>(g: &[G]) -> impl Iterator<Item = f32> {
        g.iter().map(|g| g.widen())
    }

    // ANCHOR: rules
    fn pytorch<G: Real>(w: &mut [f32], g: &[G], v: &mut [f32], momentum: f32, decay: f32, rate: f32) {
        for ((w, g), v) in w.iter_mut().zip(widened(g)).zip(v) {
            *v = momentum * *v + (g + decay * *w);
            *w -= rate * *v;
        }
    }

    fn nesterov<G: Real>(w: &mut [f32], g: &[G], v: &mut [f32], momentum: f32, decay: f32, rate: f32) {
        for ((w, g), v) in w.iter_mut().zip(widened(g)).zip(v) {
            let own = g + decay * *w;
            *v = momentum * *v + own;
            *w -= rate * (own + momentum * *v);
        }
    }

    fn caffe<G: Real>(w: &mut [f32], g: &[G], v: &mut [f32], momentum: f32, decay: f32, rate: f32) {
        for ((w, g), v) in w.iter_mut().zip(widened(g)).zip(v) {
            *v = momentum * *v + rate * (g + decay * *w);
            *w -= *v;
        }
    }
    // ANCHOR_END: rules
}

mod cuda {
    use super::{Convention, Sgd, Velocities};
    use crate::Result;
    use crate::autograd::FlatParams;
    use crate::device::cuda::{CudaDevice, Grid, In, Lane, kernels};
    use crate::tensor::Tensor;

    /// Enqueues one launch beside the main stream, with a block for each segment.
    pub fn step(
        gpu: &CudaDevice,
        params: &FlatParams,
        velocities: &Velocities,
        section: usize,
        rate: &Tensor,
        solver: Sgd,
    ) -> Result<()> {
        let Some((table, count)) = velocities.segments.table(section) else { return Ok(()) };
        let (flat, velocities) = (&params.sections[section], &velocities.state.flat()[section]);
        // Parameters are views of these arrays; the streams order all work that uses them.
        let [weights, velocities] = [&flat.values, velocities].map(Tensor::shared_out);
        let copy = flat.compute_copy.as_ref().map(Tensor::shared_out);
        let (segments, gradients) = (In::from(table), In::from(&flat.grads));
        let (rate, momentum, grid) = (In::from(rate), solver.momentum, Grid::blocks(count));
        match solver.convention {
            Convention::PyTorch if solver.nesterov => gpu.launch_in(
                Lane::Side,
                grid,
                kernels::SgdNesterov { segments, weights, gradients, velocities, copy, rate, momentum },
            ),
            Convention::PyTorch => gpu.launch_in(
                Lane::Side,
                grid,
                kernels::SgdPytorch { segments, weights, gradients, velocities, copy, rate, momentum },
            ),
            Convention::Caffe => gpu.launch_in(
                Lane::Side,
                grid,
                kernels::SgdCaffe { segments, weights, gradients, velocities, copy, rate, momentum },
            ),
        }
    }
}

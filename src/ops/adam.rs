//! Adam (Kingma & Ba 2015), AMSGrad (Reddi et al. 2018) and AdamW (Loshchilov & Hutter 2019), as `torch.optim` computes
//! them.
//!
//! With r = lr lr_mult, d = weight_decay decay_mult, and t the number of the step from 1, counted
//! from the parameter's first update (`Param::first_step`):
//!
//! | | |
//! |---|---|
//! | gradient | g' = g + d w ([`WeightDecay::L2`], Adam), or g' = g and w = (1 - r d) w ([`WeightDecay::Decoupled`], AdamW) |
//! | mean | m = beta1 m + (1 - beta1) g' |
//! | mean square | v = beta2 v + (1 - beta2) g'^2 |
//! | AMSGrad | u = max(u, v); else u = v |
//! | weight | w -= r / (1 - beta1^t) m / (sqrt(u / (1 - beta2^t)) + epsilon) |
//!
//! Each state starts at 0. The step number is a device value, and the corrections 1 - beta^t are computed from it on
//! the device, so that a captured step can be replayed with another number.
//!
//! Book: [chapter 10](../../../../../docs/book/src/10-optimisers.md).

mod moments;

pub use moments::Moments;

use crate::autograd::Params;
use crate::element::DType;
use crate::ops::check;
use crate::tensor::Tensor;
use crate::{Error, Result};

const OP: &str = "adam";

/// The form of weight decay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightDecay {
    /// The decay is part of the gradient, and so of both moments: Adam.
    L2,
    /// The decay shrinks the weights apart from the gradient: AdamW.
    Decoupled,
}

/// The constants of Adam.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// The factor on the mean in each step, in [0, 1).
    pub beta1: f64,
    /// The factor on the mean square in each step, in [0, 1).
    pub beta2: f64,
    /// Added to the root of the mean square, above 0.
    pub epsilon: f32,
    /// The factor on the weights of the decay, at least 0.
    pub weight_decay: f32,
    /// The form of weight decay.
    pub form: WeightDecay,
}

/// Updates every parameter by its gradient, at the learning rate `rate` f32 `[1]`; `step` i32 `[1]` is the number of the
/// step, from 0. A parameter that is frozen, or whose `lr_mult` is 0, keeps its value and its moments. The gradients are not changed.
/// `moments` belong to the same parameters; they decide whether the update is that of AMSGrad.
///
/// # Errors
/// If `rate` is not f32 `[1]`, `step` not i32 `[1]`, or a constant of `solver` is outside its range.
///
/// # Panics
/// If a tape still holds a parameter's value, on the CPU.
pub fn adam(
    params: &mut Params,
    moments: &mut Moments,
    rate: &Tensor,
    step: &Tensor,
    solver: Adam,
) -> Result<()> {
    (0..params.sections()).try_for_each(|section| adam_section(params, moments, section, rate, step, solver))
}

/// As [`adam`], for the parameters of one section ([`Params::sections`]).
///
/// # Errors
/// As [`adam`].
///
/// # Panics
/// As [`adam`]; if there is no such section.
pub fn adam_section(
    params: &mut Params,
    moments: &mut Moments,
    section: usize,
    rate: &Tensor,
    step: &Tensor,
    solver: Adam,
) -> Result<()> {
    assert!(section < params.sections(), "there is no section {section}");
    check::scalar(OP, "the learning rate", rate)?;
    if step.dtype() != DType::I32 || step.shape().dims() != [1] {
        let given = format!("the step number is {} {}, expected i32 [1]", step.dtype(), step.shape());
        return Err(Error::shape(OP, given));
    }
    for (name, beta) in [("beta1", solver.beta1), ("beta2", solver.beta2)] {
        if !(0.0..1.0).contains(&beta) {
            return Err(Error::shape(OP, format!("{name} {beta} is outside [0, 1)")));
        }
    }
    if !(solver.epsilon > 0.0 && solver.epsilon.is_finite()) {
        let given = format!("epsilon {} is not a finite number above 0", solver.epsilon);
        return Err(Error::shape(OP, given));
    }
    if !(0.0..f32::INFINITY).contains(&solver.weight_decay) {
        let given = format!("weight decay {} is not a finite number of at least 0", solver.weight_decay);
        return Err(Error::shape(OP, given));
    }
    moments.segments.upload(params, section, solver.weight_decay)?;
    match (params.flat(), rate.gpu()) {
        (Some(flat), Some(gpu)) => cuda::step(gpu, flat, moments, section, rate, step, solver),
        _ => cpu::step(params.params_mut(), moments, rate, step, solver),
    }
}

mod cpu {
    use super::{Adam, Moments, WeightDecay};
    use crate::Result;
    use crate::autograd::Param;
    use crate::element::{Real, with_real};
    use crate::tensor::Tensor;
    use rayon::prelude::*;

    /// Elements of a task: four times 64 KiB.
    const CHUNK: usize = 16 * 1024;

    /// The constants of one parameter.
    #[derive(Clone, Copy)]
    struct Factors {
        /// beta and 1 - beta of both moments.
        first: [f32; 2],
        second: [f32; 2],
        epsilon: f32,
        /// The L2 penalty: 0 where the decay is decoupled.
        penalty: f32,
        /// The factor on the weight: 1 where the decay is part of the gradient.
        shrink: f32,
        /// The rate divided by the correction of the mean.
        step_size: f32,
        /// The root of the correction of the mean square.
        root: f32,
    }

    /// Updates weights and moments in one pass, in parallel over chunks of all parameters.
    pub fn step(
        params: &mut [Param],
        moments: &mut Moments,
        rate: &Tensor,
        number: &Tensor,
        solver: Adam,
    ) -> Result<()> {
        let rate = rate.f32()[0];
        let number = f64::from(number.i32()[0]);
        let Moments { means, squares, largest, .. } = moments;
        let mut largest = largest.as_mut().map(|largest| largest.each_mut().iter_mut());
        let states: Vec<_> = means
            .each_mut()
            .iter_mut()
            .zip(squares.each_mut())
            .map(|(mean, square)| (mean, square, largest.as_mut().and_then(Iterator::next)))
            .collect();
        let all = params.par_iter_mut().zip(states);
        all.filter(|(param, _)| param.is_updated()).try_for_each(|(param, (mean, square, largest))| {
            let t = number - f64::from(param.first_step) + 1.0;
            let [correction1, correction2] =
                [solver.beta1, solver.beta2].map(|beta| -(t * beta.ln()).exp_m1());
            let rate = rate * param.lr_mult;
            let decay = solver.weight_decay * param.decay_mult;
            let (penalty, shrink) = match solver.form {
                WeightDecay::L2 => (decay, 1.0),
                WeightDecay::Decoupled => (0.0, 1.0 - rate * decay),
            };
            let pair = |beta: f64| [beta as f32, (1.0 - beta) as f32];
            let factors = Factors {
                first: pair(solver.beta1),
                second: pair(solver.beta2),
                epsilon: solver.epsilon,
                penalty,
                shrink,
                step_size: (f64::from(rate) / correction1) as f32,
                root: correction2.sqrt() as f32,
            };
            let value = param.value.f32_mut().par_chunks_mut(CHUNK);
            let mean = mean.f32_mut().par_chunks_mut(CHUNK);
            let square = square.f32_mut().par_chunks_mut(CHUNK);
            with_real!(param.grad, G => {
                let grad = param.grad.reals::<G>().par_chunks(CHUNK);
                let chunks = value.zip(grad).zip(mean).zip(square);
                match largest {
                    None => chunks.for_each(|(((w, g), m), v)| plain(w, g, m, v, factors)),
                    Some(largest) => chunks
                        .zip(largest.f32_mut().par_chunks_mut(CHUNK))
                        .for_each(|((((w, g), m), v), u)| amsgrad(w, g, m, v, u, factors)),
                }
            });
            param.fill_compute_copy()
        })
    }

    // ANCHOR: update
    /// Updates both moments of an element.
    #[inline(always)]
    fn observe(w: f32, g: f32, m: &mut f32, v: &mut f32, f: Factors) {
        let own = g + f.penalty * w;
        *m = f.first[0] * *m + f.first[1] * own;
        *v = f.second[0] * *v + f.second[1] * own * own;
    }

    /// The new weight of an element.
    #[inline(always)]
    fn moved(w: f32, m: f32, u: f32, f: Factors) -> f32 {
        f.shrink * w - f.step_size * (m / (u.sqrt() / f.root + f.epsilon))
    }
    // ANCHOR_END: update

    fn plain<G: Real>(w: &mut [f32], g: &[G], m: &mut [f32], v: &mut [f32], f: Factors) {
        for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            observe(*w, g.widen(), m, v, f);
            *w = moved(*w, *m, *v, f);
        }
    }

    fn amsgrad<G: Real>(w: &mut [f32], g: &[G], m: &mut [f32], v: &mut [f32], u: &mut [f32], f: Factors) {
        for ((((w, g), m), v), u) in w.iter_mut().zip(g).zip(m).zip(v).zip(u) {
            observe(*w, g.widen(), m, v, f);
            // Not f32::max: a NaN must stay.
            *u = if *u >= *v { *u } else { *v };
            *w = moved(*w, *m, *u, f);
        }
    }
}

mod cuda {
    use super::{Adam, Moments, WeightDecay};
    use crate::Result;
    use crate::autograd::FlatParams;
    use crate::device::cuda::{CudaDevice, Grid, In, Lane, kernels};
    use crate::tensor::Tensor;

    /// Enqueues one launch beside the main stream, with a block for each segment.
    pub fn step(
        gpu: &CudaDevice,
        params: &FlatParams,
        moments: &Moments,
        section: usize,
        rate: &Tensor,
        number: &Tensor,
        solver: Adam,
    ) -> Result<()> {
        let Moments { means, squares, largest, segments } = moments;
        let Some((table, count)) = segments.table(section) else { return Ok(()) };
        let flat = &params.sections[section];
        // Parameters are views of these arrays; the streams order all work that uses them.
        let [weights, means, squares] =
            [&flat.values, &means.flat()[section], &squares.flat()[section]].map(Tensor::shared_out);
        let constants = |beta: f64| [beta as f32, (1.0 - beta) as f32, beta.ln() as f32];
        let [beta1, rest1, log1] = constants(solver.beta1);
        let [beta2, rest2, log2] = constants(solver.beta2);
        gpu.launch_in(
            Lane::Side,
            Grid::blocks(count),
            kernels::Adam {
                segments: In::from(table),
                weights,
                gradients: In::from(&flat.grads),
                means,
                squares,
                largest: largest.as_ref().map(|largest| largest.flat()[section].shared_out()),
                copy: flat.compute_copy.as_ref().map(Tensor::shared_out),
                rate: In::from(rate),
                number: In::from(number),
                beta1,
                rest1,
                log1,
                beta2,
                rest2,
                log2,
                epsilon: solver.epsilon,
                decoupled: usize::from(solver.form == WeightDecay::Decoupled),
            },
        )
    }
}

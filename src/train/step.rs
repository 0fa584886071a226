//! One training step: algorithm 1 of the paper, line by line.

use super::schedule::{CENTER_RATE, LAMBDA, LR};
use crate::autograd::{Params, StepValues, Tape};
use crate::config::{self, Config, Normalization};
use crate::data::Batch;
use crate::model::Model;
use crate::ops::batchnorm::Statistics;
use crate::ops::center_step::center_step;
use crate::ops::sgd::Sgd;
use crate::optim::{MomentumSgd, Optimizer};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The losses of a step, on the device. A step does not wait for them; the caller downloads them.
#[derive(Clone, Debug)]
pub struct StepOutput {
    /// f32 `[1]`: L_s, equation (2).
    pub softmax: Tensor,
    /// The terms of the batch-contrastive loss: see [`crate::ops::batch_contrastive`].
    pub terms: Tensor,
}

/// The phases of a step, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The network and both losses.
    Forward,
    /// The gradient.
    Backward,
    /// The class centers.
    Centers,
    /// The weights.
    Weights,
}

/// Forward, backward, center step, weight step. `values` holds the step number and the scalars of
/// [`super::schedule::SCALARS`].
///
/// # Errors
/// A model without a head; shapes that do not fit; a scalar that is not declared.
pub fn step(
    model: &Model,
    params: &mut Params,
    optimizer: &mut dyn Optimizer,
    values: &StepValues,
    batch: Batch,
    config: &Config,
) -> Result<StepOutput> {
    step_with_hook(model, params, optimizer, values, batch, config, &mut |_| Ok(()))
}

/// As [`step`]; calls `done` behind each phase, when all work of the phase is in the stream.
///
/// # Errors
/// As [`step`], and what `done` returns.
pub fn step_with_hook(
    model: &Model,
    params: &mut Params,
    optimizer: &mut dyn Optimizer,
    values: &StepValues,
    batch: Batch,
    config: &Config,
    done: &mut dyn FnMut(Phase) -> Result<()>,
) -> Result<StepOutput> {
    let Some(head) = model.head else {
        return Err(Error::Run("a model without classes cannot be trained".into()));
    };
    let statistics = match config.solver.batchnorm {
        Normalization::Batch => Statistics::Batch { momentum: config.solver.batchnorm_momentum },
        Normalization::Frozen => Statistics::Frozen,
    };
    let Batch { pixels, labels, .. } = batch;

    // Line 3: L = L_s + lambda (L_b + L_c); L_s may have a weight too.
    let mut tape = Tape::new(params, values);
    let pixels = tape.constant(pixels);
    let pool5 = model.backbone.forward(&mut tape, pixels, statistics)?;
    let losses = head.losses(&mut tape, pool5, &labels, config.model.dropout, &config.loss)?;
    let softmax = losses.softmax.value.clone();
    let terms = losses.batch_contrastive.terms;
    done(Phase::Forward)?;

    // Line 4: the gradient; each loss enters with its weight.
    let mut seeds = Vec::new();
    if config.loss.softmax.weight != 0.0 {
        seeds.push((losses.softmax, Tensor::full(&tape.device(), [1], config.loss.softmax.weight)?));
    }
    if config.loss.batch_contrastive.weight != 0.0 {
        let lambda = values.scalar(LAMBDA)?.duplicate(&tape.device())?;
        seeds.push((losses.batch_contrastive.loss, lambda));
    }
    tape.backward(seeds)?;
    done(Phase::Backward)?;

    // Line 5: the centers of the classes in the batch.
    center_step(params.buffer_mut(head.centers), &losses.normalized, &labels, values.scalar(CENTER_RATE)?)?;
    done(Phase::Centers)?;

    // Line 6: the weights.
    optimizer.step(params, values.scalar(LR)?)?;
    done(Phase::Weights)?;
    Ok(StepOutput { softmax, terms })
}

/// The optimiser of a run with these settings.
///
/// # Errors
/// If the device lacks the memory.
pub fn optimizer(params: &Params, config: &Config) -> Result<MomentumSgd> {
    let config::Solver { momentum, weight_decay, convention, nesterov, .. } = config.solver;
    MomentumSgd::new(params, Sgd { momentum, weight_decay, convention, nesterov })
}

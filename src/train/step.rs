//! One training step: algorithm 1 of the paper, line by line.
//!
//! Book: [chapter 1](../../../../../docs/book/src/01-one-step.md).

use super::schedule::{CENTER_RATE, LAMBDA, LR};
use super::{gradient_sum, running_statistics};
use crate::autograd::{Params, StepValues, Tape};
use crate::config::{BatchnormScope, Config, Normalization, Optimizer as Kind};
use crate::data::Batch;
use crate::device::Device;
use crate::model::Model;
use crate::ops::adam::{Adam, WeightDecay};
use crate::ops::batch_contrastive::Term;
use crate::ops::batchnorm::Statistics;
use crate::ops::center_step::center_step;
use crate::ops::sgd::Sgd;
use crate::optim::{self, MomentumSgd, Optimizer};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The losses of a step, on the device. A step does not wait for them; the caller downloads them.
#[derive(Clone, Debug)]
pub struct StepOutput {
    /// f32 `[1]`: L_s, equation (2).
    pub softmax: Tensor,
    /// The terms of the batch-contrastive loss: see [`crate::ops::batch_contrastive`]; 0 if it is not computed.
    pub terms: Tensor,
    /// The losses of other methods, f32 `[1]` each, in the order of [`crate::config::Loss::metric_losses`].
    pub metric_losses: Vec<Tensor>,
}

/// The phases of a step, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The network and the losses.
    Forward,
    /// The gradient; on a GPU also the weights, section by section.
    Backward,
    /// The class centers.
    Centers,
    /// The weights on a CPU; their average.
    Weights,
}

/// Forward, backward, center step, weight step. `values` holds the step number and the scalars of
/// [`super::schedule::SCALARS`].
///
/// # Errors
/// A model without a head; shapes that do not fit; a scalar that is not declared. After an error of the backward pass a
/// part of the weights may be updated on a GPU: go on from a checkpoint.
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
    let Some(head) = &model.head else {
        return Err(Error::Run("a model without classes cannot be trained".into()));
    };
    let momentum = config.solver.batchnorm_momentum;
    // Statistics of the backbone may be frozen; an embedding and a neck are new, and learn their own.
    let of_new = match config.solver.batchnorm_scope {
        BatchnormScope::All => Statistics::Batch { momentum },
        BatchnormScope::Rank => Statistics::ShareOfBatch { momentum },
    };
    let statistics = match config.solver.batchnorm {
        Normalization::Batch => of_new,
        Normalization::Frozen => Statistics::Frozen,
    };
    let Batch { pixels, labels, .. } = batch;

    // ANCHOR: forward
    // Line 3: L = L_s + lambda (L_b + L_c); L_s may have a weight too, and other losses enter with theirs.
    let mut tape = Tape::new(params, values);
    let pixels = tape.constant(pixels);
    let pool5 = model.pool5(&mut tape, pixels, statistics)?;
    // ANCHOR_END: forward
    let features = model.behind(&mut tape, pool5, of_new)?;
    let has_unlabelled = config.data.unlabelled.is_some();
    let losses =
        head.losses(&mut tape, features, &labels, config.model.dropout, &config.loss, has_unlabelled)?;
    let softmax = losses.softmax.value.clone();
    let (batch_contrastive, terms) = match losses.batch_contrastive {
        Some(own) => (Some(own.loss), own.terms),
        None => (None, Tensor::zeros(&tape.device(), [Term::COUNT])?),
    };
    let metric_losses = losses.metric_losses.iter().map(|loss| loss.value.clone()).collect();
    done(Phase::Forward)?;

    // ANCHOR: seeds
    // Line 4: the gradient; each loss enters with its weight.
    let mut seeds = Vec::new();
    if config.loss.softmax.weight != 0.0 {
        seeds.push((losses.softmax, Tensor::full(&tape.device(), [1], config.loss.softmax.weight)?));
    }
    if let Some(loss) = batch_contrastive.filter(|_| config.loss.batch_contrastive.weight != 0.0) {
        seeds.push((loss, values.scalar(LAMBDA)?.duplicate(&tape.device())?));
    }
    for (loss, (_, weight)) in losses.metric_losses.into_iter().zip(config.loss.metric_losses()) {
        seeds.push((loss, Tensor::full(&tape.device(), [1], weight)?));
    }
    // Line 6 on a GPU: the weights of a section are updated beside the rest of the backward pass, as soon as their
    // gradients are complete. A CPU has nothing to run beside, so there the weights come last.
    let (lr, is_early) = (values.scalar(LR)?, matches!(tape.device(), Device::Cuda(_)));
    let group = tape.device().group();
    tape.backward_by_section(seeds, &mut |params, section| match is_early {
        true => optimizer.step_section(params, section, lr, &values.step),
        false => Ok(()),
    })?;
    // ANCHOR_END: seeds
    // With several ranks each has the gradient of its own images.
    gradient_sum::sum(params, &group)?;
    if config.solver.batchnorm_scope == BatchnormScope::Rank {
        running_statistics::average(params, &group)?;
    }
    done(Phase::Backward)?;

    // Line 5: the centers of the classes in the batch, which belong to the batch-contrastive loss; those of the
    // separate center loss likewise.
    if !has_unlabelled {
        let centers = params.buffer_mut(head.centers);
        center_step(centers, &losses.normalized, &labels, values.scalar(CENTER_RATE)?)?;
    }
    if let (Some(centers), Some(x)) = (head.center_loss, &losses.of_center_loss) {
        let rate = Tensor::full(&params.device().clone(), [1], config.loss.center.rate)?;
        center_step(params.buffer_mut(centers), x, &labels, &rate)?;
    }
    done(Phase::Centers)?;

    // ANCHOR: weights
    // Line 6: the weights.
    match is_early {
        true => optimizer.finish_step(params)?,
        false => optimizer.step(params, lr, &values.step)?,
    }
    // ANCHOR_END: weights
    done(Phase::Weights)?;
    Ok(StepOutput { softmax, terms, metric_losses })
}

/// The optimiser of a run with these settings.
///
/// # Errors
/// If the device lacks the memory.
pub fn optimizer(params: &Params, config: &Config) -> Result<Box<dyn Optimizer + Send>> {
    let inner = plain_optimizer(params, config)?;
    match config.solver.ema {
        0.0 => Ok(inner),
        decay => Ok(Box::new(optim::Averaged::new(params, inner, decay)?)),
    }
}

/// The optimiser without an average of the weights.
fn plain_optimizer(params: &Params, config: &Config) -> Result<Box<dyn Optimizer + Send>> {
    let solver = &config.solver;
    let (weight_decay, kind) = (solver.weight_decay, solver.optimizer);
    if kind == Kind::Sgd {
        let (momentum, convention, nesterov) = (solver.momentum, solver.convention, solver.nesterov);
        let constants = Sgd { momentum, weight_decay, convention, nesterov };
        return Ok(Box::new(MomentumSgd::new(params, constants)?));
    }
    // 0.999 as it was written: the f32 next to it would change 1 - beta2 by 1e-5 of itself.
    let as_written = |beta: f32| beta.to_string().parse().unwrap_or(f64::from(beta));
    let form = if kind == Kind::Adamw { WeightDecay::Decoupled } else { WeightDecay::L2 };
    let constants = Adam {
        beta1: as_written(solver.beta1),
        beta2: as_written(solver.beta2),
        epsilon: solver.epsilon,
        weight_decay,
        form,
    };
    Ok(Box::new(optim::Adam::new(params, constants, kind == Kind::Amsgrad)?))
}

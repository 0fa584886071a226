//! Rounds of decomposition, restraint and relaxation (Sun et al. 2017, "SVDNet for Pedestrian Retrieval").
//!
//! A run with `solver.svd_lr` trains `svd_start` iterations as any other, then does a round for each learning rate of
//! this list:
//!
//! 1. the weights of the last layer of the embedding are decomposed ([`super::decomposition`]), between two steps;
//! 2. restraint: `svd_restraint` iterations in which this layer is frozen;
//! 3. relaxation: `svd_relaxation` iterations in which it is trained, and the parameters of `svd_freeze` are frozen.
//!
//! The last relaxation lasts until the end of the run. Restraint and relaxation begin with a new optimiser, as they do
//! in the source, where each is a run of its own: its state is 0, and Adam counts its steps anew.
//!
//! Centers of losses that take the embedded feature are rotated with it. The classifiers are not; they learn.

use super::decomposition::{Decomposition, orthogonality};
use crate::autograd::{ParamId, Params};
use crate::config::{Config, FeatureKind, Solver};
use crate::model::Model;
use crate::model::embedding::Embedding;
use crate::optim::Optimizer;
use crate::{Error, Result};

/// A part of a run, with its own frozen parameters and learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before the first decomposition; the whole of a run without rounds.
    Plain,
    /// The decomposed layer is frozen.
    Restraint,
    /// The parameters of `solver.svd_freeze` are frozen.
    Relaxation,
}

/// The place of a step in the stages of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The stage.
    pub stage: Stage,
    /// The number of the round, from 0; 0 too before the first.
    pub round: usize,
    /// The number of the first step of the stage.
    pub first: u64,
}

impl Position {
    /// The place of step `number`, counted from 0.
    pub fn of(solver: &Solver, number: u64) -> Self {
        let rounds = solver.svd_lr.len() as u64;
        if rounds == 0 || number < solver.svd_start {
            return Position { stage: Stage::Plain, round: 0, first: 0 };
        }
        let length = solver.svd_restraint + solver.svd_relaxation;
        let round = ((number - solver.svd_start) / length).min(rounds - 1);
        let begin = solver.svd_start + round * length;
        let relaxation = begin + solver.svd_restraint;
        let (stage, first) = match number < relaxation {
            true => (Stage::Restraint, begin),
            false => (Stage::Relaxation, relaxation),
        };
        Position { stage, round: round as usize, first }
    }

    /// Whether step `number` is the first of a restraint or a relaxation.
    pub fn begins(solver: &Solver, number: u64) -> bool {
        let position = Position::of(solver, number);
        position.stage != Stage::Plain && position.first == number
    }
}

/// The learning rate of step `number` in a restraint or a relaxation; `None` before the first.
pub fn lr(solver: &Solver, number: u64) -> Option<f32> {
    let Position { stage, round, first } = Position::of(solver, number);
    let drops = solver.svd_lr_milestones.iter().filter(|&&drop| number - first >= drop).count();
    (stage != Stage::Plain).then(|| solver.svd_lr[round] * solver.lr_gamma.powi(drops as i32))
}

/// The iteration of the last decomposition; `None` without rounds.
pub fn last_decomposition(solver: &Solver) -> Option<u64> {
    let rounds = solver.svd_lr.len() as u64;
    let length = solver.svd_restraint + solver.svd_relaxation;
    rounds.checked_sub(1).map(|last| solver.svd_start + last * length)
}

/// The weight that is decomposed: that of the last layer of the embedding.
pub fn layer(model: &Model) -> Option<ParamId> {
    model.embedding.as_ref().map(Embedding::last_weight)
}

/// Begins the restraint or relaxation whose first step is `number`, if there is one: decomposes the layer in front of a
/// restraint, and sets the state of the optimiser to 0. Returns a line about the decomposition, if there was one.
///
/// # Errors
/// Weights that are not finite; errors of the device.
pub fn begin(
    config: &Config,
    model: &Model,
    params: &mut Params,
    optimizer: &mut dyn Optimizer,
    number: u64,
) -> Result<Option<String>> {
    if !Position::begins(&config.solver, number) {
        return Ok(None);
    }
    let position = Position::of(&config.solver, number);
    let said = match (position.stage, layer(model)) {
        (Stage::Restraint, Some(layer)) => {
            let rounds = config.solver.svd_lr.len();
            let rate = if position.round == 0 { "solver.lr" } else { "solver.svd_lr" };
            let line = decompose(config, model, params, layer, rate)?;
            Some(format!("iteration {number}, round {} of {rounds}: {line}", position.round + 1))
        }
        _ => None,
    };
    optimizer.state_mut(params).into_iter().try_for_each(|(_, state)| state.clear())?;
    Ok(said)
}

/// Decomposes the layer, and rotates the centers of losses that take its output. `rate` is the setting of the learning
/// rate of the steps before it.
fn decompose(
    config: &Config,
    model: &Model,
    params: &mut Params,
    layer: ParamId,
    rate: &str,
) -> Result<String> {
    let param = params.get_mut(layer);
    let (outputs, name) = (param.value.shape().dims()[0], param.name.clone());
    let found = Decomposition::of(&param.value.to_host_f32()?, outputs)
        .map_err(|fault| Error::Run(format!("{name} cannot be decomposed: {fault}; lower {rate}")))?;
    let weight = found.weight();
    param.load(&weight)?;
    let losses = &config.loss;
    let of_losses = model.head.iter().flat_map(|head| {
        let own = (losses.batch_contrastive.feature, Some(head.centers));
        [own, (losses.center.feature, head.center_loss)]
    });
    let centers = of_losses.filter(|(feature, _)| *feature == FeatureKind::Embedding);
    for centers in centers.filter_map(|(_, centers)| centers) {
        let centers = params.buffer_mut(centers);
        let rotated = found.rotated(&centers.to_host_f32()?);
        centers.copy_from_host_f32(&rotated)?;
    }
    let [largest, smallest] = found.singular_values;
    Ok(format!(
        "{name} is decomposed: S(W) was {:.4} and is {:.4}, singular values {largest:.3} to {smallest:.3}",
        found.orthogonality,
        orthogonality(&weight, outputs)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::{StepValues, Tape};
    use crate::device::Device;
    use crate::ops::batchnorm::Statistics;
    use crate::tensor::Tensor;
    use crate::tensor::philox::{Philox, RngStream};
    use crate::train::step::optimizer;

    fn config(settings: &[&str]) -> Config {
        let rounds = [
            "model.arch=slim",
            "model.width=8",
            "model.depths=[1, 1, 1, 1]",
            "model.embedding=[12]",
            "model.embedding_bias=false",
            "solver.svd_lr=[1e-3, 1e-4]",
            "solver.svd_start=10",
            "solver.svd_restraint=3",
            "solver.svd_relaxation=4",
            "solver.svd_lr_milestones=[2]",
            "solver.iterations=40",
            "solver.lr_milestones=[5]",
        ];
        let all: Vec<String> = rounds.iter().chain(settings).map(|setting| setting.to_string()).collect();
        Config::resolve_text("", &all).unwrap()
    }

    #[test]
    fn stages_and_rates_of_all_iterations() {
        use Stage::{Plain, Relaxation, Restraint};
        let solver = config(&[]).solver;
        for (number, stage, round, first, rate) in [
            (0, Plain, 0, 0, None),
            (9, Plain, 0, 0, None),
            (10, Restraint, 0, 10, Some(1e-3)),
            (11, Restraint, 0, 10, Some(1e-3)),
            (12, Restraint, 0, 10, Some(1e-4)),
            (13, Relaxation, 0, 13, Some(1e-3)),
            (16, Relaxation, 0, 13, Some(1e-4)),
            (17, Restraint, 1, 17, Some(1e-4)),
            (20, Relaxation, 1, 20, Some(1e-4)),
            (39, Relaxation, 1, 20, Some(1e-5)),
        ] {
            assert_eq!(Position::of(&solver, number), Position { stage, round, first }, "{number}");
            let ours = lr(&solver, number);
            let same = ours.zip(rate).is_some_and(|(a, b): (f32, f32)| (a / b - 1.0).abs() < 1e-6);
            assert!(same || (ours, rate) == (None, None), "{number}: {ours:?}");
        }
        let begins: Vec<u64> = (0..40).filter(|number| Position::begins(&solver, *number)).collect();
        assert_eq!((begins, last_decomposition(&solver)), (vec![10, 13, 17, 20], Some(17)));
        let solver = Config::default().solver;
        assert!((0..9).all(|number| !Position::begins(&solver, number) && lr(&solver, number).is_none()));
        assert_eq!(last_decomposition(&solver), None);
        let solver = config(&["solver.svd_start=0"]).solver;
        assert!(Position::begins(&solver, 0) && Position::of(&solver, 0).stage == Restraint);
    }

    /// The features of some images have the same distances from each other and from the centers of both losses.
    #[test]
    fn a_decomposition_between_two_steps_keeps_all_distances() {
        let config = config(&[
            "loss.batch_contrastive.feature=embedding",
            "loss.center.weight=0.1",
            "loss.center.feature=embedding",
            "solver.optimizer=adam",
        ]);
        let device = Device::cpu();
        let (model, mut params) = Model::new(&config, 3, &device).unwrap();
        let draw = Philox::new(1, 0, 0, RngStream::Test);
        let noise = |len: usize| (0..len as u32).map(|i| draw.normal(i)).collect::<Vec<f32>>();
        let head = model.head.as_ref().unwrap();
        let centers = [head.centers, head.center_loss.unwrap()];
        for id in centers {
            params.buffer_mut(id).copy_from_host_f32(&noise(36)).unwrap();
        }
        let mut optimizer = optimizer(&params, &config).unwrap();
        for (_, state) in optimizer.state_mut(&params) {
            let ones = vec![1.0; state.shape().len()];
            state.copy_from_host_f32(&ones).unwrap();
        }
        let pool5 = noise(5 * model.backbone.features());
        let points = |params: &mut Params| -> Vec<Vec<f32>> {
            let of_centers: Vec<f32> =
                centers.iter().flat_map(|id| params.buffer(*id).f32().to_vec()).collect();
            let mut tape = Tape::new(params, &StepValues::new(&device, 0).unwrap());
            let x = Tensor::from_f32(&device, [5, pool5.len() / 5], &pool5).unwrap();
            let x = tape.constant(x);
            let features = model.behind(&mut tape, x, Statistics::Frozen).unwrap().embedding;
            let all = [features.value.f32(), &of_centers].concat();
            all.chunks(12).map(<[f32]>::to_vec).collect()
        };
        let distances = |points: &[Vec<f32>]| -> Vec<f64> {
            let square = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
            let of = |a: &Vec<f32>, b: &Vec<f32>| a.iter().zip(b).map(square).sum::<f64>().sqrt();
            points.iter().flat_map(|a| points.iter().map(move |b| of(a, b))).collect()
        };
        let before = points(&mut params);
        let said = begin(&config, &model, &mut params, &mut *optimizer, 17).unwrap().unwrap();
        assert!(said.starts_with("iteration 17, round 2 of 2: embedding.0.weight is decomposed: "), "{said}");
        assert!(said.contains("is 1.0000"), "{said}");
        let after = points(&mut params);
        assert_ne!(before, after);
        for (old, new) in distances(&before).into_iter().zip(distances(&after)) {
            assert!((old - new).abs() <= 1e-5 * old.max(1.0), "{old} became {new}");
        }
        let states = optimizer.state(&params);
        assert!(states.iter().all(|(_, state)| state.f32().iter().all(|value| *value == 0.0)));
        // A relaxation begins without a decomposition.
        let weight = params.get(layer(&model).unwrap()).value.f32().to_vec();
        for number in [20, 21, 5] {
            assert_eq!(begin(&config, &model, &mut params, &mut *optimizer, number).unwrap(), None);
        }
        assert_eq!(params.get(layer(&model).unwrap()).value.f32(), weight);
    }

    #[test]
    fn weights_that_are_not_finite_are_an_error() {
        let config = config(&[]);
        let (model, mut params) = Model::new(&config, 3, &Device::cpu()).unwrap();
        params.get_mut(layer(&model).unwrap()).value.f32_mut()[5] = f32::NAN;
        let mut optimizer = optimizer(&params, &config).unwrap();
        let error = begin(&config, &model, &mut params, &mut *optimizer, 10).unwrap_err().to_string();
        assert!(error.contains("embedding.0.weight cannot be decomposed: a weight is not finite"), "{error}");
    }
}

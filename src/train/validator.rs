//! Evaluations during training: when they are due, which one is the best, and when a run ends without a better one.

use super::observer::{Observer, Observers};
use crate::autograd::Params;
use crate::config::Config;
use crate::eval::in_training::TestImages;
use crate::model::Model;
use crate::optim::Optimizer;
use crate::ranks::Group;
use crate::run::checkpoint::Checkpoint;
use crate::run::validation::{self, Validation};
use crate::run::{Layout, RunFolder};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs;

/// The evaluations of a run, made so far and to come.
pub(super) struct Validator {
    images: TestImages,
    every: u64,
    patience: u64,
    /// The folder of the run; none on ranks that write no files.
    layout: Option<Layout>,
    /// The evaluations so far.
    done: Vec<Validation>,
    /// The mAP of the best weights, if the lines of their evaluation were moved away.
    recorded: Option<f64>,
}

impl Validator {
    /// The evaluations of a run that starts or is resumed after `first` iterations.
    ///
    /// # Errors
    /// A `validation.jsonl` that training did not write; errors of the file system.
    pub fn new(
        images: TestImages,
        config: &Config,
        run: Option<&RunFolder>,
        group: &Group,
        first: u64,
        observers: &mut Observers<'_>,
    ) -> Result<Self> {
        let (every, patience) = (config.run.eval_every, config.run.patience);
        let earlier =
            run.map_or(Ok(Earlier::default()), |run| Earlier::continue_at(run, first, observers))?;
        // The ranks decide together when a run ends.
        let Earlier { done, recorded } = earlier.of_rank_0(group)?;
        let layout = run.map(|run| Layout::of(run.path()));
        Ok(Validator { images, every, patience, layout, done, recorded })
    }

    /// Whether an evaluation is due after `done` iterations, and was not made before an interruption.
    pub fn is_due(&self, done: u64) -> bool {
        let is_new = self.done.last().is_none_or(|last| last.iterations < done);
        done > 0 && done.is_multiple_of(self.every) && is_new
    }

    /// Evaluates the network after `done` iterations, whose checkpoint is on the disk, with the average of its weights if
    /// the optimiser has one. Weights that are better than all before are written first, then the line of the evaluation.
    ///
    /// # Errors
    /// Errors of the device and of the file system.
    pub fn evaluate(
        &mut self,
        done: u64,
        model: &Model,
        params: &mut Params,
        optimizer: &mut dyn Optimizer,
        checkpoint: Option<&Checkpoint>,
        observers: &mut Observers<'_>,
    ) -> Result<()> {
        let params = match optimizer.average(params)? {
            Some(average) => average,
            None => params,
        };
        let one = match self.images.evaluate(model, params) {
            Ok(report) => Validation {
                iterations: done,
                rank1: Some(report.rank1),
                map_market: Some(report.map_market),
                map_sum: Some(report.map_sum),
                minp: Some(report.minp),
                queries: report.queries,
                gallery: report.gallery,
                fault: None,
            },
            // A collapsed network ranks nothing. It may recover.
            Err(Error::Data(fault)) => {
                let (queries, gallery) = self.images.sizes();
                Validation { iterations: done, queries, gallery, fault: Some(fault), ..Validation::default() }
            }
            Err(error) => return Err(error),
        };
        let before = validation::best(&self.done).and_then(|best| best.map_market);
        let is_best = one.map_market > before && one.map_market > self.recorded;
        if let (Some(layout), Some(checkpoint)) = (&self.layout, checkpoint) {
            if is_best {
                checkpoint.write_best(layout, params, &one)?;
            }
            validation::append(&layout.validation(), &one)?;
        }
        observers.validated(&one, is_best)?;
        self.done.push(one);
        Ok(())
    }

    /// Why the run ends after these evaluations; `None` if it goes on.
    pub fn end(&self, iterations: u64) -> Option<String> {
        let last = self.done.last()?.iterations;
        validation::is_exhausted(&self.done, self.patience).then(|| {
            let best = validation::best(&self.done);
            let best = best.map_or("there is none".into(), |best| {
                format!("the best is {} after {} iterations", best.in_words(), best.iterations)
            });
            format!(
                "the run ends early, after {last} of {iterations} iterations: no better mAP in {} evaluations \
                 (run.patience = {}); {best}. To go on, set run.patience in {} to 0 or higher, and resume",
                validation::since_best(&self.done),
                self.patience,
                self.layout.as_ref().map_or("config.toml".into(), |layout| layout.config().display().to_string())
            )
        })
    }
}

/// The evaluations of a run before it starts or is resumed.
#[derive(Default, Serialize, Deserialize)]
struct Earlier {
    done: Vec<Validation>,
    recorded: Option<f64>,
}

impl Earlier {
    /// Reads the evaluations of the run's folder, and removes the best weights behind iteration `first`.
    fn continue_at(run: &RunFolder, first: u64, observers: &mut Observers<'_>) -> Result<Self> {
        let done = validation::continue_at(&run.validation(), first)?;
        // The best weights of an evaluation that the run has not reached again would outlive a run that ends before.
        let record = validation::read_best(run)?;
        let recorded =
            record.as_ref().filter(|best| best.iterations < first).and_then(|best| best.map_market);
        if let Some(best) = record.filter(|best| best.iterations > first) {
            for file in [run.best(), run.best_record()] {
                match fs::remove_file(&file) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Error::io(&file)(error));
                    }
                    _ => {}
                }
            }
            observers.note(&format!(
                "the best weights were those after {} iterations, behind the checkpoint; they are removed, and written \
                 again when the run gets there",
                best.iterations
            ));
        }
        Ok(Earlier { done, recorded })
    }

    /// The evaluations that rank 0 has read, on each rank.
    fn of_rank_0(self, group: &Group) -> Result<Self> {
        if group.ranks() == 1 {
            return Ok(self);
        }
        // Finite numbers always have a JSON form, which is read as the same bits.
        let text = serde_json::to_string(&self).unwrap_or_default();
        let text = group.broadcast_text("the evaluations so far", &text)?;
        serde_json::from_str(&text).map_err(|e| Error::Run(format!("the evaluations that rank 0 sends: {e}")))
    }
}

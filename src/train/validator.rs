//! Evaluations during training: when they are due, which one is the best, and when a run ends without a better one.

use super::observer::{Observer, Observers};
use crate::autograd::Params;
use crate::config::Config;
use crate::eval::in_training::TestImages;
use crate::model::Model;
use crate::optim::Optimizer;
use crate::run::checkpoint::Checkpoint;
use crate::run::validation::{self, Validation};
use crate::run::{Layout, RunFolder};
use crate::{Error, Result};
use std::fs;

/// The evaluations of a run, made so far and to come.
pub(super) struct Validator {
    images: TestImages,
    every: u64,
    patience: u64,
    layout: Layout,
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
        run: &RunFolder,
        first: u64,
        observers: &mut Observers<'_>,
    ) -> Result<Self> {
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
        let (every, patience) = (config.run.eval_every, config.run.patience);
        Ok(Validator { images, every, patience, layout: Layout::of(run.path()), done, recorded })
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
        checkpoint: &Checkpoint,
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
        if is_best {
            checkpoint.write_best(&self.layout, params, &one)?;
        }
        validation::append(&self.layout.validation(), &one)?;
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
                self.layout.config().display()
            )
        })
    }
}

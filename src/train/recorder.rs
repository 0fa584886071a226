//! Recorder of a run: downloads of the steps' losses, in their order, to the log and the observers.

use super::observer::{Observer, Observers};
use super::schedule::Scheduled;
use super::step_runner::PendingOutput;
use crate::config::MetricLoss;
use crate::ops::batch_contrastive::Term;
use crate::run::collapse::Watch;
use crate::run::metrics::{Log, StepLosses, StepMetrics};
use crate::{Error, Result};
use std::collections::VecDeque;

/// Steps that may be in flight on a GPU while earlier ones are logged: waiting for the newest step would leave the GPU
/// idle.
pub(super) const RUNNING: usize = 2;
/// The largest number of pending downloads; more than the host runs ahead of a GPU.
pub(super) const MOST_PENDING: usize = 256;

/// The outputs of steps whose downloads are pending, and the log that receives them.
pub(super) struct Recorder<'a> {
    pub pending: VecDeque<(u64, Scheduled, PendingOutput)>,
    /// The number of newest steps that a download does not wait for.
    pub running: usize,
    /// The log; none on ranks that write no files.
    pub log: Option<Log>,
    pub observers: Observers<'a>,
    pub watch: Watch,
    /// Weight of the softmax loss.
    pub softmax_weight: f32,
    /// Losses of other methods, with their weights.
    pub metric_losses: Vec<(MetricLoss, f32)>,
    /// Whether the batch-contrastive loss is not computed, because batches have images without an identity.
    pub has_unlabelled: bool,
}

impl Recorder<'_> {
    /// Waits for all pending steps but the newest `running`, and hands their values to the log and the observers.
    pub fn read_back(&mut self, running: usize) -> Result<()> {
        let mut newest = None;
        let finished = self.pending.len().saturating_sub(running);
        for (number, scheduled, sent) in self.pending.drain(..finished) {
            let (softmax, mut terms) = (sent.softmax.wait()?, sent.terms.wait()?);
            if self.has_unlabelled {
                // Distances that were not measured.
                for distance in [Term::IntraMean, Term::InterMean, Term::InterMin] {
                    terms[distance as usize] = f32::NAN;
                }
            }
            let own = self.metric_losses.iter().zip(sent.metric_losses);
            let metric_losses = own.map(|(&(loss, weight), sent)| Ok((loss, weight, sent.wait()?[0])));
            let losses = StepLosses {
                softmax: softmax[0],
                softmax_weight: self.softmax_weight,
                terms: &terms,
                lambda: scheduled.lambda,
                metric_losses: &metric_losses.collect::<Result<Vec<_>>>()?,
            };
            let step = StepMetrics::new(number, scheduled.lr, losses);
            self.log.as_mut().map_or(Ok(()), |log| log.write(&step))?;
            self.observers.measured(&step)?;
            if let Some((loss, value)) = step.not_finite() {
                self.log.as_mut().map_or(Ok(()), Log::flush)?;
                self.observers.caught_up(&step)?;
                return Err(Error::Diverged(format!("step {number}: the {loss} is {value}")));
            }
            if let Some(warning) = self.watch.see(&step) {
                self.observers.note(&warning);
            }
            newest = Some(step);
        }
        self.log.as_mut().map_or(Ok(()), Log::flush)?;
        newest.map_or(Ok(()), |step| self.observers.caught_up(&step))
    }
}

//! The end of `bcreid train`: the last losses and the next command.

use super::counter::clock;
use crate::config::MetricLoss;
use crate::console::counted;
use crate::data::Dataset;
use crate::run::metrics::{self, StepMetrics};
use crate::run::{Layout, RunFolder, validation};
use crate::{Result, note, shell};
use std::path::Path;
use std::time::Duration;

/// Number of steps whose losses are averaged: one batch alone is noisy.
const AVERAGED: usize = 100;

/// Prints the time, the mean losses of the last steps, and the command that follows; `data` holds the options of the
/// data sets as they are typed.
///
/// # Errors
/// Standard output cannot be written.
pub fn say(
    run: &RunFolder,
    dataset: &Dataset,
    data: &str,
    steps: std::ops::Range<u64>,
    time: Duration,
) -> Result<()> {
    let done = counted(steps.end - steps.start, "iteration");
    let all = if steps.start == 0 { String::new() } else { format!(", {} in all", steps.end) };
    super::say(format_args!("trained {done} in {}{all}: {}", clock(time), run.weights().display()))?;
    // The training is done, whether its curves can be read or not.
    if let Ok(steps) = metrics::read(&run.metrics()) {
        super::say(losses(&steps[steps.len().saturating_sub(AVERAGED)..]))?;
    }
    if let Some(best) = validation::read_best(run)?.filter(|_| run.best().is_file()) {
        super::say(format_args!(
            "best evaluation: {} after {} iterations: {}",
            best.in_words(),
            best.iterations,
            run.best().display()
        ))?;
    }
    let out = shell::quoted(run.path());
    if !dataset.query.is_empty() && !dataset.gallery.is_empty() {
        note!("next: bcreid eval --run {out} {data}");
    } else {
        note!("next: bcreid extract --weights {out} --images DIR --out FILE.safetensors");
    }
    Ok(())
}

/// A line of the mean losses of these steps.
fn losses(steps: &[StepMetrics]) -> String {
    let mean = |value: &dyn Fn(&StepMetrics) -> Option<f32>| {
        let values: Vec<f64> = steps.iter().filter_map(value).map(f64::from).collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    let others =
        MetricLoss::ALL.into_iter().map(|loss| (loss.full_name(), mean(&|step| step.metric_loss(loss))));
    let others = others.filter(|(_, mean)| !mean.is_nan());
    let others: String = others.map(|(name, mean)| format!("; {name} {mean:.3}")).collect();
    format!(
        "mean of the last {}: loss {:.3} (softmax {:.3}; batch {:.3}, center {:.3}{others}), distances {:.2} between images of \
         one identity, {:.2} between identities",
        counted(steps.len(), "step"),
        mean(&|step| step.loss),
        mean(&|step| step.softmax),
        mean(&StepMetrics::batch),
        mean(&|step| step.center),
        mean(&|step| step.intra),
        mean(&|step| step.inter),
    )
}

/// The number of steps that the newest checkpoint of a run has behind it, for a message.
pub fn say_resumed(folder: &Path, first: u64, iterations: u64) {
    let newest = Layout::of(folder).checkpoints();
    if first >= iterations {
        note!(
            "{}: all {iterations} iterations are done; --iterations N trains the run longer",
            folder.display()
        );
    } else {
        note!(
            "resuming after {first} of {iterations} iterations, from the newest file in {}",
            newest.display()
        );
    }
}

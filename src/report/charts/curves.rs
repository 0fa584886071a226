//! Training curves: losses, learning rate and the weight of the batch-contrastive loss over the iterations, several
//! runs in one panel.
//!
//! The dark line is the running mean over a hundredth of the longest run's steps; the pale line behind it spans the
//! smallest and largest value of each interval, so that no spike is hidden.

use super::super::downsample;
use super::super::figure::{Axis, Figure, Key, Mark, Panel, Scale, Series};
use super::super::palette::Colour;
use super::super::run::{Run, points};
use super::{diverged_key, on_divergence};
use crate::run::metrics::StepMetrics;
use crate::run::validation::Validation;

/// Largest number of points of a line of means.
const MEANS: usize = 400;
/// Largest number of intervals of which the pale line shows both extremes.
const INTERVALS: usize = 200;

/// The runs for which a curve has a panel.
#[derive(Clone, Copy, PartialEq)]
enum Shown {
    Always,
    /// If one of the runs has the value.
    IfMeasured,
    /// If the value changes in one of the runs; otherwise the caption states it.
    IfVaried,
}

/// A curve: heading, value, true for a noisy value, scale of the axis, and the runs for which it is shown.
type Curve = (&'static str, fn(&StepMetrics) -> Option<f32>, bool, Scale, Shown);
/// The curves of the figure.
const CURVES: [Curve; 13] = [
    ("Total loss (9)", |s| s.loss, true, Scale::Linear, Shown::Always),
    ("Softmax loss (2)", |s| s.softmax, true, Scale::Linear, Shown::Always),
    ("Batch loss (3): pairs of one identity", |s| s.positive, true, Scale::Linear, Shown::Always),
    ("Batch loss (3): hinge", |s| s.hinge, true, Scale::Linear, Shown::Always),
    ("Center loss (4)", |s| s.center, true, Scale::Linear, Shown::Always),
    ("Triplet loss", |s| s.triplet, true, Scale::Linear, Shown::IfMeasured),
    ("Circle loss", |s| s.circle, true, Scale::Linear, Shown::IfMeasured),
    ("Contrastive loss of pairs", |s| s.contrastive, true, Scale::Linear, Shown::IfMeasured),
    ("Separate center loss", |s| s.center_loss, true, Scale::Linear, Shown::IfMeasured),
    ("Verification loss", |s| s.verification, true, Scale::Linear, Shown::IfMeasured),
    ("Loss of attributes", |s| s.attributes, true, Scale::Linear, Shown::IfMeasured),
    ("Learning rate", |s| s.rate, false, Scale::Log, Shown::Always),
    ("Weight \u{3bb} of the batch-contrastive loss", |s| s.lambda, false, Scale::Linear, Shown::IfVaried),
];

/// The curves of evaluations during training: heading and value.
type OfValidation = fn(&Validation) -> Option<f64>;
const VALIDATIONS: [(&str, OfValidation); 2] = [
    ("Rank-1 of evaluations during training", |one| one.rank1),
    ("mAP of evaluations during training", |one| one.map_market),
];

/// The panel of a figure of the evaluations during training, in percent; `None` if no run has one.
fn validation_panel(runs: &[Run], title: &str, value: OfValidation, last: u64) -> Option<Panel> {
    let point = |one: &Validation| Some((one.iterations as f64, 100.0 * value(one)?));
    let points: Vec<Vec<(f64, f64)>> =
        runs.iter().map(|run| run.validations.iter().filter_map(point).collect()).collect();
    points.iter().any(|points| !points.is_empty()).then(|| Panel {
        title: title.into(),
        x: Axis::up_to("iteration", last as f64),
        y: Axis::up_to("percent", 100.0),
        series: points
            .into_iter()
            .enumerate()
            .map(|(run, points)| Series { colour: Colour::Run(run), mark: Mark::Line, points })
            .collect(),
    })
}

/// The figure of training curves: a panel for each curve with a line for every run.
pub fn figure(runs: &[Run]) -> Figure {
    let longest = runs.iter().map(|run| run.steps.len()).max().unwrap_or(1);
    let window = (longest / 100) | 1;
    let last =
        runs.iter().filter_map(|run| run.steps.last()).map(|s| s.step.saturating_add(1)).max().unwrap_or(1);
    let constant: Vec<Option<f32>> = runs.iter().map(constant_lambda).collect();
    let all_constant = constant.iter().all(Option::is_some);
    let drawn = CURVES.iter().filter(|(_, value, .., shown)| match shown {
        Shown::Always => true,
        Shown::IfMeasured => runs.iter().flat_map(|run| &run.steps).any(|step| value(step).is_some()),
        Shown::IfVaried => !all_constant,
    });
    let panels = drawn.map(|&(title, value, noisy, scale, _)| {
        // Values of a run that diverged would flatten all others.
        let points: Vec<Vec<(f64, f64)>> = runs
            .iter()
            .map(|run| points(if noisy { run.sound_steps() } else { &run.steps }, value))
            .map(|points| points.into_iter().filter(|p| scale == Scale::Linear || p.1 > 0.0).collect())
            .collect();
        let values = points.iter().flatten().map(|p| p.1);
        let y = match scale {
            Scale::Linear => Axis::up_to("", values.fold(0.0, f64::max)),
            Scale::Log => Axis::decades("", values),
        };
        let mut series = Vec::new();
        for (mark, of) in [(Mark::Faint, noisy && window > 1), (Mark::Line, true)] {
            series.extend(points.iter().enumerate().filter(|_| of).map(|(run, points)| Series {
                colour: Colour::Run(run),
                mark,
                points: match mark {
                    Mark::Faint => downsample::extremes(points, INTERVALS),
                    _ if noisy => {
                        downsample::every_and_last(&downsample::running_mean(points, window), MEANS)
                    }
                    _ => corners(points),
                },
            }));
        }
        let gone =
            runs.iter().enumerate().filter_map(|(run, of)| Some((run, of.diverged().filter(|_| noisy)?)));
        series.extend(gone.map(|(run, step)| Series {
            colour: Colour::Run(run),
            mark: Mark::Cross,
            points: vec![(step as f64, y.to)],
        }));
        Panel { title: title.into(), x: Axis::up_to("iteration", last as f64), y, series }
    });
    let validations =
        VALIDATIONS.iter().filter_map(|(title, value)| validation_panel(runs, title, *value, last));
    let legend = runs.iter().enumerate().map(|(index, run)| Key {
        name: run.remarked_name(),
        colour: Colour::Run(index),
        mark: Mark::Line,
    });
    Figure {
        title: "Losses and rates during training".into(),
        caption: caption(runs, window, downsample::stride(longest, INTERVALS), &constant),
        legend: legend.chain(diverged_key(runs)).collect(),
        panels: panels.chain(validations).collect(),
        columns: if all_constant { 3 } else { 4 },
    }
}

/// The caption: only what applies to these runs. `window` is that of the running mean, `interval` the number of steps
/// of which the pale line shows both extremes.
fn caption(runs: &[Run], window: usize, interval: usize, constant: &[Option<f32>]) -> String {
    let mut parts = Vec::new();
    if window > 1 {
        let pale = match interval {
            1 => "passes through every value".to_string(),
            n => format!("spans the smallest and largest value of every {n} steps or fewer"),
        };
        parts.push(format!(
            "Losses: the dark line is the running mean over {window} steps (fewer at the ends); the pale line {pale}."
        ));
    }
    parts.push(reductions(runs));
    parts.push(
        "The softmax loss is a mean over the batch; numbers in brackets are the paper's equations."
            .to_string(),
    );
    let has_zero = runs.iter().flat_map(|run| &run.steps).any(|step| step.lambda == Some(0.0));
    if has_zero {
        parts.push(
            "Where \u{3bb}, the weight of the batch-contrastive loss, is 0, batch and center losses are measured but \
             not trained on."
                .to_string(),
        );
    }
    if let Some(lambdas) = constant.iter().copied().collect::<Option<Vec<f32>>>() {
        let same = lambdas.iter().all(|lambda| *lambda == lambdas[0]);
        let each: Vec<String> =
            runs.iter().zip(&lambdas).map(|(run, lambda)| format!("{lambda} ({})", run.name)).collect();
        let value = if same { lambdas[0].to_string() } else { each.join(", ") };
        parts.push(format!("\u{3bb} was the same in all steps: {value}."));
    }
    parts.push("The learning rate's axis is logarithmic.".to_string());
    if runs.len() > 1 {
        parts.push("Where runs agree, the last covers the others.".to_string());
    }
    parts.join(" ") + &on_divergence(runs)
}

/// A sentence that says if the batch and center losses are sums or means, for each run where runs differ.
fn reductions(runs: &[Run]) -> String {
    let of = |run: &Run| run.settings.reduction().name();
    match runs.split_first() {
        Some((first, others)) if others.iter().any(|run| of(run) != of(first)) => {
            let each: Vec<String> =
                runs.iter().map(|run| format!("{}s over the batch in {}", of(run), run.name)).collect();
            format!("Batch and center losses are {}.", each.join(", "))
        }
        Some((first, _)) => format!("Batch and center losses are {}s over the batch.", of(first)),
        None => String::new(),
    }
}

/// Lambda, if it is the same in all of a run's steps.
fn constant_lambda(run: &Run) -> Option<f32> {
    let first = run.steps.first()?.lambda?;
    run.steps.iter().all(|step| step.lambda == Some(first)).then_some(first)
}

/// Drops the inner points of constant segments from a piecewise constant line.
fn corners(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let inner = |i: usize| i > 0 && i + 1 < points.len();
    let level = |i: usize| points[i - 1].1 == points[i].1 && points[i].1 == points[i + 1].1;
    let kept: Vec<_> = (0..points.len()).filter(|&i| !(inner(i) && level(i))).map(|i| points[i]).collect();
    // A ramp has no constant segments, so its points are thinned.
    downsample::every_and_last(&kept, MEANS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_keeps_its_corners() {
        let points: Vec<(f64, f64)> =
            (0..100).map(|i| (f64::from(i), if i < 60 { 1.0 } else { 0.1 })).collect();
        assert_eq!(corners(&points), [(0.0, 1.0), (59.0, 1.0), (60.0, 0.1), (99.0, 0.1)]);
        assert_eq!(corners(&points[..1]), [(0.0, 1.0)]);
        let ramp: Vec<(f64, f64)> = (0..5000).map(|i| (f64::from(i), f64::from(i))).collect();
        assert!(corners(&ramp).len() <= MEANS + 1 && corners(&ramp).last() == ramp.last());
    }
}

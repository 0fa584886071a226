//! Figure 1 of the paper: distances between features during training without and with the batch-contrastive loss.
//!
//! Each step whose batch has a pair of one identity (section 1 of the paper: other batches have no intra-class
//! distance) has three dots: the mean distance of such pairs (blue), the mean distance of pairs of different
//! identities (green) and the smallest distance of pairs of different identities (orange). Distances are not squared
//! and are between normalised features: 0 to 2, and at most 1.41 where no value of a feature is negative.
//!
//! Of more than 600 such steps, every k-th is drawn, from the first on, with the smallest k that leaves at most 600.
//! The choice depends on the number of steps, not on their values.

use super::super::downsample;
use super::super::figure::{Axis, Figure, Key, Mark, Panel, Series};
use super::super::palette::Colour;
use super::super::run::Run;
use super::{diverged_key, on_divergence};
use crate::run::metrics::StepMetrics;
use crate::{Error, Result};

/// Largest number of steps drawn in a panel.
pub const MOST: usize = 600;

/// Figure 1 of the given runs: one panel a run, all with the same axes.
///
/// # Errors
/// If no batch of any run had a pair of one identity.
pub fn figure(runs: &[Run]) -> Result<Figure> {
    let drawn: Vec<(usize, Vec<StepMetrics>)> = runs.iter().map(chosen).collect();
    if drawn.iter().all(|(pairs, _)| *pairs == 0) {
        return Err(Error::Run(format!(
            "{}: no batch had a pair of one identity, so there are no intra-class distances to draw; larger batches or \
             data.sampler=pk have such pairs",
            runs.iter().map(|run| run.name.as_str()).collect::<Vec<_>>().join(", ")
        )));
    }
    let distances = drawn.iter().flat_map(|(_, steps)| steps).flat_map(|s| [s.intra, s.inter, s.inter_min]);
    let largest = distances.flatten().fold(0.0f32, f32::max);
    let last =
        runs.iter().filter_map(|run| run.steps.last()).map(|s| s.step.saturating_add(1)).max().unwrap_or(1);
    // All panels have the same axes, so that heights compare.
    let y = Axis::up_to("distance", f64::from(largest));
    let panels = runs.iter().zip(&drawn).enumerate().map(|(index, (run, (_, steps)))| {
        let series = |colour, value: fn(&StepMetrics) -> Option<f32>| Series {
            colour,
            mark: Mark::Dots,
            points: steps.iter().filter_map(|s| Some((s.step as f64, f64::from(value(s)?)))).collect(),
        };
        let letter = (b'a' + index as u8) as char;
        let title = format!("{}: {}", run.remarked_name(), run.losses());
        let gone = run.diverged().map(|step| Series {
            colour: Colour::Muted,
            mark: Mark::Cross,
            points: vec![(step as f64, y.to)],
        });
        Panel {
            title: if runs.len() > 1 { format!("({letter}) {title}") } else { title },
            x: Axis::up_to("iteration", last as f64),
            y: y.clone(),
            series: [
                series(Colour::Inter, |s| s.inter),
                series(Colour::InterMin, |s| s.inter_min),
                series(Colour::Intra, |s| s.intra),
            ]
            .into_iter()
            .chain(gone)
            .collect(),
        }
    });
    Ok(Figure {
        title: "Distances between features of a batch during training".into(),
        caption: caption(runs, &drawn),
        legend: [
            ("intra-class (mean)", Colour::Intra),
            ("inter-class (mean)", Colour::Inter),
            ("inter-class (minimum)", Colour::InterMin),
        ]
        .map(|(name, colour)| Key { name: name.into(), colour, mark: Mark::Dots })
        .into_iter()
        .chain(diverged_key(runs))
        .collect(),
        panels: panels.collect(),
        columns: 2,
    })
}

/// The number of steps that have a pair of one identity, and the steps among them that are drawn.
fn chosen(run: &Run) -> (usize, Vec<StepMetrics>) {
    let with_pair: Vec<StepMetrics> =
        run.sound_steps().iter().copied().filter(|step| step.intra.is_some()).collect();
    (with_pair.len(), downsample::every(&with_pair, MOST))
}

fn caption(runs: &[Run], drawn: &[(usize, Vec<StepMetrics>)]) -> String {
    let counts = runs.iter().zip(drawn).map(|(run, (pairs, _))| {
        let all = run.sound_steps().len();
        let of = format!("{pairs} of {all} steps have a pair of one identity");
        let which = match downsample::stride(*pairs, MOST) {
            _ if *pairs == 0 => ", so the panel is empty".to_string(),
            1 => "; all of these are drawn".to_string(),
            n => format!("; of these, one in {n} is drawn, from the first on"),
        };
        if runs.len() > 1 { format!("{}: {of}{which}.", run.name) } else { format!("{of}{which}.") }
    });
    let counts: Vec<String> = counts.collect();
    format!(
        "Euclidean distances between the normalised features of a batch, one dot a step; after figure 1 of the paper. \
         Where blue lies under orange, images of one identity are on average nearer than the two nearest identities. \
         {}{}",
        counts.join(" "),
        on_divergence(runs)
    )
}

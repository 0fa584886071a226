//! The charts, one file each: they turn the values of runs into a [`super::figure::Figure`].

pub mod cmc;
pub mod curves;
pub mod figure1;
pub mod map;
pub mod pairs;

use super::figure::{Key, Mark, Panel};
use super::palette::Colour;
use super::run::Run;

/// Legend of the runs that have a series of their own, with a line in the run's colour for each.
fn legend_of_runs(runs: &[Run], drawn: &[Panel]) -> Vec<Key> {
    let is_drawn =
        |run: usize| drawn.iter().flat_map(|panel| &panel.series).any(|s| s.colour == Colour::Run(run));
    let key = |(index, run): (usize, &Run)| Key {
        name: run.name.clone(),
        colour: Colour::Run(index),
        mark: Mark::Line,
    };
    runs.iter().enumerate().filter(|(run, _)| is_drawn(*run)).map(key).collect()
}

/// The key of the crosses at the top of the axes where runs diverged; none if all runs are sound.
fn diverged_key(runs: &[Run]) -> Option<Key> {
    let any = runs.iter().any(|run| run.diverged().is_some());
    any.then(|| Key { name: "end of a diverged run".into(), colour: Colour::Muted, mark: Mark::Cross })
}

/// A sentence on the runs that diverged, with a space before it; empty if all runs are sound.
fn on_divergence(runs: &[Run]) -> String {
    let each = runs.iter().filter_map(|run| {
        let last = run.steps.last().map_or(0, |step| step.step);
        Some(format!("{} from step {} on (its last is step {last})", run.name, run.diverged()?))
    });
    let each: Vec<String> = each.collect();
    if each.is_empty() {
        return String::new();
    }
    format!(
        " Diverged, with a total loss that stays above twice its first value: {}. Losses and distances are drawn up to \
         there, where a cross stands.",
        each.join(", ")
    )
}

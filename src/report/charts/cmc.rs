//! CMC curves: the share of queries with a match among the first k images; one panel a data set, one line a run.

use super::super::figure::{Axis, Figure, Mark, Panel, Series};
use super::super::palette::Colour;
use super::super::run::Run;
use super::legend_of_runs;
use crate::eval::run_evaluations::Evaluation;

/// Largest number of ranks drawn.
const RANKS: usize = 100;

/// The evaluations of one data set.
pub struct Evaluated<'a> {
    /// Name of the data set.
    pub name: &'a str,
    /// Evaluations, one for each run that was evaluated on the data set.
    pub all: Vec<&'a Evaluation>,
}

impl<'a> Evaluated<'a> {
    /// Groups evaluations by data set; `all` must be sorted by data set.
    pub fn by_set(all: &[&'a Evaluation]) -> Vec<Self> {
        let of_one_set = all.chunk_by(|a, b| a.kept.name == b.kept.name);
        let gather = |of: &[&'a Evaluation]| Evaluated { name: &of[0].kept.name, all: of.to_vec() };
        of_one_set.map(gather).collect()
    }
}

/// The CMC figure, one panel a data set.
pub fn figure(runs: &[Run], sets: &[Evaluated<'_>]) -> Figure {
    // All panels have the same vertical axis. It starts at a multiple of ten below the lowest curve, so that near
    // curves stay distinguishable.
    let first = |of: &&Evaluation| of.kept.report.cmc.first().map(|share| 100.0 * share.clamp(0.0, 1.0));
    let least = sets.iter().flat_map(|set| &set.all).filter_map(first).fold(100.0, f64::min);
    let from = (least / 10.0).floor().min(9.0) * 10.0;
    let panel = |set: &Evaluated<'_>| {
        // A file from elsewhere may have values outside 0 to 1, and more ranks than this program writes.
        let percent = |(i, share): (usize, &f64)| ((i + 1) as f64, 100.0 * share.clamp(0.0, 1.0));
        let series = |of: &&Evaluation| Series {
            colour: Colour::Run(of.run),
            mark: Mark::Line,
            points: of.kept.report.cmc.iter().take(RANKS).enumerate().map(percent).collect(),
        };
        let series: Vec<Series> = set.all.iter().map(series).collect();
        let ranks = series.iter().map(|s| s.points.len()).max().unwrap_or(1);
        Panel {
            title: set.name.to_string(),
            x: Axis::ranks("rank k", ranks),
            y: Axis::between("queries with a match by rank k [%]", from, 100.0),
            series,
        }
    };
    let panels: Vec<Panel> = sets.iter().map(panel).collect();
    Figure {
        title: "Cumulative matching characteristic (CMC)".into(),
        caption: format!(
            "The share of queries that have a match among the first k images, over the same queries as the averages in \
             the table; at k = 1 it is rank-1.{}",
            if from > 0.0 { " The vertical axis does not start at 0." } else { "" }
        ),
        legend: legend_of_runs(runs, &panels),
        panels,
        columns: 2,
    }
}

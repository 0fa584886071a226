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
    let panel = |set: &Evaluated<'_>| {
        // A file from elsewhere may have values outside 0 to 1, and more ranks than this program writes.
        let percent = |(i, share): (usize, &f64)| ((i + 1) as f64, 100.0 * share.clamp(0.0, 1.0));
        let series = |of: &&Evaluation| Series {
            colour: Colour::Run(of.run),
            mark: Mark::Line,
            points: of.kept.report.cmc.iter().take(RANKS).enumerate().map(percent).collect(),
        };
        let series: Vec<Series> = set.all.iter().map(series).collect();
        let least = series.iter().flat_map(|s| s.points.first()).map(|p| p.1).fold(100.0, f64::min);
        let ranks = series.iter().map(|s| s.points.len()).max().unwrap_or(1).max(2);
        Panel {
            title: set.name.to_string(),
            x: Axis::between("rank k", 1.0, ranks as f64),
            // The axis starts at a multiple of ten below the lowest curve, so that near curves stay distinguishable.
            y: Axis::between(
                "queries with a match by rank k [%]",
                (least / 10.0).floor().min(9.0) * 10.0,
                100.0,
            ),
            series,
        }
    };
    Figure {
        title: "Cumulative matching characteristic (CMC)".into(),
        caption: "The share of queries that have a match among the first k images, over the same queries as the \
                  averages in the table; at k = 1 it is rank-1. The vertical axis does not start at 0 where all \
                  curves are higher."
            .into(),
        legend: legend_of_runs(runs),
        panels: sets.iter().map(panel).collect(),
        columns: 2,
    }
}

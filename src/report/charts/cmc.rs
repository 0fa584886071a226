//! CMC curves: how often a match is among the first k images, one panel a data set, a line a run.

use super::super::figure::{Axis, Figure, Mark, Panel, Series};
use super::super::palette::Colour;
use super::super::run::Run;
use super::legend_of_runs;
use crate::eval::run_evaluations::Evaluation;

/// Ranks drawn, at most.
const RANKS: usize = 100;

/// The evaluations of one data set.
pub struct Evaluated<'a> {
    /// The data set's name.
    pub name: &'a str,
    /// One of each run that was evaluated on it.
    pub all: Vec<&'a Evaluation>,
}

impl<'a> Evaluated<'a> {
    /// Evaluations, which are in the order of their data sets, gathered by it.
    pub fn by_set(all: &[&'a Evaluation]) -> Vec<Self> {
        let of_one_set = all.chunk_by(|a, b| a.kept.name == b.kept.name);
        let gather = |of: &[&'a Evaluation]| Evaluated { name: &of[0].kept.name, all: of.to_vec() };
        of_one_set.map(gather).collect()
    }
}

/// One panel a data set.
pub fn figure(runs: &[Run], sets: &[Evaluated<'_>]) -> Figure {
    let panel = |set: &Evaluated<'_>| {
        // A file may say anything; shares of more ranks than are ever written are no curve of ours.
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
            // From a round ten below the lowest curve, so that near curves can be told apart.
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
        caption: "The share of queries that have a match among the first k images, over the queries that the averages of \
                  the table are over; at k = 1 it is rank-1. The upward axis does not begin at 0 where all curves lie \
                  higher."
            .into(),
        legend: legend_of_runs(runs),
        panels: sets.iter().map(panel).collect(),
        columns: 2,
    }
}

//! The summary of a page: one row for each run, one column for each data set.

use super::charts::cmc::Evaluated;
use super::palette::Colour;
use super::run::Run;
use super::view_models::class_of;
use crate::eval::run_evaluations::Evaluation;

/// Rank-1 and mAP of all runs on all data sets.
#[derive(Debug)]
pub struct SummaryView {
    /// Names of the data sets.
    pub sets: Vec<String>,
    pub rows: Vec<SummaryRow>,
}

#[derive(Debug)]
pub struct SummaryRow {
    /// The class of the run's colour.
    pub key: &'static str,
    pub name: String,
    /// For each data set rank-1 and mAP in percent; `None` if the run has no evaluation on it.
    pub cells: Vec<Option<[String; 2]>>,
}

impl SummaryView {
    /// The summary; `None` if there is only one data set, whose table tells the same, or none.
    pub fn new(runs: &[Run], sets: &[Evaluated<'_>]) -> Option<Self> {
        let percent = |share: f64| format!("{:.2}", 100.0 * share);
        let cell = |of: &&Evaluation| [of.kept.report.rank1, of.kept.report.map_market].map(percent);
        let row = |run: usize| SummaryRow {
            key: class_of(Colour::Run(run)),
            name: runs[run].name.clone(),
            cells: sets.iter().map(|set| set.all.iter().find(|of| of.run == run).map(cell)).collect(),
        };
        let names = sets.iter().map(|set| set.name.to_string()).collect();
        (sets.len() > 1).then(|| SummaryView { sets: names, rows: (0..runs.len()).map(row).collect() })
    }
}

//! Tables of operating points, and the data of the page's threshold slider.

use super::charts::pairs::{self, Counted};
use super::draw;
use super::palette::Colour;
use super::run::Run;
use super::view_models::{FigureView, class_of};
use crate::Result;
use crate::eval::pairs::{ACCEPTS, Pairs};
use serde::Serialize;
use std::collections::BTreeSet;

/// False-accept rates of the table.
const FARS: [(f64, &str); 4] = [(1e-1, "10 %"), (1e-2, "1 %"), (1e-3, "0.1 %"), (1e-4, "0.01 %")];

/// View of the section on pairs and thresholds.
#[derive(Debug)]
pub struct PairsView {
    pub histograms: FigureView,
    pub roc: FigureView,
    pub several_sets: bool,
    pub fars: Vec<&'static str>,
    pub rows: Vec<PairsRow>,
    pub notes: Vec<String>,
    /// Insets of a panel's plot area and the ends of the distance axis, by which the page places its threshold line.
    pub inset: [f64; 4],
    pub from: f64,
    pub to: f64,
    /// Lower end and initial value of the slider, as powers of ten.
    pub slider_from: String,
    pub slider_at: String,
    /// Histograms as JSON, inserted into the page without escaping.
    pub data: String,
}

#[derive(Debug)]
pub struct PairsRow {
    pub key: &'static str,
    pub run: String,
    pub set: String,
    /// Threshold and true-accept rate for each of [`FARS`].
    pub cells: Vec<String>,
    pub eer: String,
    pub auc: String,
}

/// Bins of an evaluation, from the first to the last that is not empty.
#[derive(Serialize)]
struct Bins<'a> {
    width: f64,
    first: usize,
    same: &'a [u64],
    different: &'a [u64],
}

impl PairsView {
    /// Creates the view of at least one evaluation.
    ///
    /// # Errors
    /// As [`FigureView::new`].
    pub fn new(runs: &[Run], counted: &[Counted<'_>]) -> Result<Self> {
        let histograms = pairs::histograms(runs, counted);
        let axis = histograms.panels[0].x.clone();
        let supported: Vec<(f64, &str)> =
            FARS.into_iter().filter(|(far, _)| counted.iter().any(|of| of.pairs.supports(*far))).collect();
        let most = counted.iter().map(|of| of.pairs.different_pairs()).max().unwrap_or(0).max(1);
        // Rounded to steps of the slider, so that it can reach both of its ends.
        let steps = |power: f64| format!("{:.2}", (power * 20.0).ceil() / 20.0);
        let least = (ACCEPTS / most as f64).log10().min(-1.0);
        let at = if counted.iter().any(|of| of.pairs.supports(1e-3)) { -3.0 } else { -1.0 };
        let data: Vec<Bins<'_>> = counted.iter().map(|of| bins(of.pairs)).collect();
        let data = serde_json::to_string(&data).expect("numbers are JSON");
        Ok(PairsView {
            histograms: FigureView::new(&histograms)?,
            roc: FigureView::new(&pairs::roc(runs, counted))?,
            several_sets: counted.iter().any(|of| of.name != counted[0].name),
            fars: supported.iter().map(|(_, text)| *text).collect(),
            rows: counted.iter().map(|of| row(runs, of, &supported)).collect(),
            notes: notes(counted, &supported),
            inset: draw::INSET,
            from: axis.from,
            to: axis.to,
            slider_from: steps(least),
            slider_at: steps(at),
            // A script element has no escaping, and "</script>" would end it.
            data: data.replace('<', "\\u003c"),
        })
    }
}

fn row(runs: &[Run], of: &Counted<'_>, fars: &[(f64, &str)]) -> PairsRow {
    let cell = |(far, _): &(f64, &str)| match of.pairs.at_far(*far).filter(|_| of.pairs.supports(*far)) {
        Some(point) => [format!("{:.4}", point.threshold), format!("{:.2} %", 100.0 * point.tar)],
        None => ["–".to_string(), "–".to_string()],
    };
    PairsRow {
        key: class_of(Colour::Run(of.run)),
        run: runs[of.run].name.clone(),
        set: of.name.to_string(),
        cells: fars.iter().flat_map(cell).collect(),
        eer: of
            .pairs
            .eer()
            .map_or("–".into(), |eer| format!("{:.2} % at {:.4}", 100.0 * eer.rate, eer.threshold)),
        auc: of.pairs.auc().map_or("–".into(), |area| format!("{:.4}", area.value)),
    }
}

fn notes(counted: &[Counted<'_>], fars: &[(f64, &str)]) -> Vec<String> {
    let width = counted.iter().map(|of| of.pairs.bin_width()).fold(0.0, f64::max);
    let off_by = counted.iter().filter_map(|of| of.pairs.auc()).map(|area| area.off_by).fold(0.0, f64::max);
    let spread = counted.iter().filter_map(|of| of.pairs.eer()).map(|eer| eer.bounds.1 - eer.bounds.0);
    let spread = spread.fold(0.0, f64::max);
    let too_few = counted.iter().any(|of| fars.iter().any(|(far, _)| !of.pairs.supports(*far)));
    let mut notes = vec![
        format!(
            "Distances are counted in bins {width:.5} wide. A threshold is always a bin's edge, and its rates are \
             exact; it may be one bin below the largest threshold with the required rate. AUC is within {off_by:.1e}, \
             EER within {:.1e} of the value without bins.",
            spread.max(0.0)
        ),
        format!(
            "A rate is shown where it corresponds to at least {ACCEPTS} pairs of different identities{}. Pairs that \
             share an image are not independent, so the uncertainty is larger than their number suggests.",
            if too_few { "; \"–\": there are too few" } else { "" }
        ),
        "EER: the rate at which the refused share of pairs of one identity equals the accepted share of pairs of \
         different identities. AUC: the probability that a pair of one identity is nearer than a pair of two."
            .to_string(),
    ];
    let reranked: BTreeSet<&str> = counted.iter().filter(|of| of.reranked).map(|of| of.name).collect();
    if !reranked.is_empty() {
        let names = reranked.iter().copied().collect::<Vec<_>>().join(", ");
        notes.push(format!(
            "{names}: thresholds are for distances before re-ranking; a re-ranked distance depends on the whole \
             gallery."
        ));
    }
    if counted.iter().any(|of| of.pairs.same_pairs() == 0 || of.pairs.different_pairs() == 0) {
        notes.push("Where one of the two kinds of pairs is missing, there is no threshold.".into());
    }
    notes
}

fn bins(pairs: &Pairs) -> Bins<'_> {
    let occupied = |i: &usize| pairs.same()[*i] + pairs.different()[*i] > 0;
    let all = 0..pairs.same().len();
    let first = all.clone().find(occupied).unwrap_or(0);
    let last = all.rev().find(occupied).unwrap_or(first);
    Bins {
        width: pairs.bin_width(),
        first,
        same: &pairs.same()[first..=last],
        different: &pairs.different()[first..=last],
    }
}

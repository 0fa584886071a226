//! Histograms of the distances of pairs of one identity and of two identities, and the ROC curve of a threshold.

use super::super::downsample;
use super::super::figure::{Axis, Figure, Key, Mark, Panel, Scale, Series};
use super::super::palette::Colour;
use super::super::run::Run;
use super::legend_of_runs;
use crate::eval::pairs::Pairs;
use crate::eval::run_evaluations::Evaluation;
use crate::eval::stored_evaluation::StoredEvaluation;

/// Approximate number of bars in a histogram.
const BARS: usize = 70;
/// Largest number of points in an ROC curve.
const POINTS: usize = 400;
/// Smallest false-accept rate of the axis.
const LEAST_FAR: f64 = 1e-5;

/// The pairs of one evaluation.
pub struct Counted<'a> {
    /// Name of the data set.
    pub name: &'a str,
    /// Index of the run.
    pub run: usize,
    /// Histograms of the pairs' distances.
    pub pairs: &'a Pairs,
    /// True if the evaluation is re-ranked, so that these are the distances before that.
    pub reranked: bool,
    /// True if the query's person under the query's own camera is left out.
    pub cameras: bool,
}

impl<'a> Counted<'a> {
    /// The pairs of an evaluation.
    pub fn new(evaluation: &'a Evaluation, pairs: &'a Pairs) -> Self {
        let StoredEvaluation { name, query, gallery, report, .. } = &evaluation.kept;
        Counted {
            name,
            run: evaluation.run,
            pairs,
            reranked: report.protocol.rerank.is_some(),
            cameras: report.protocol.counts_cameras(query, gallery),
        }
    }
}

/// The figure of histograms: a panel an evaluation, all with the same axes.
pub fn histograms(runs: &[Run], counted: &[Counted<'_>]) -> Figure {
    let ends = counted
        .iter()
        .map(|of| range(of.pairs))
        .fold((f64::INFINITY, 0.0f64), |(low, high), (l, h)| (low.min(l), high.max(h)));
    let (from, to) = if ends.0 < ends.1 { ends } else { (0.0, 1.0) };
    let several_sets = counted.iter().any(|of| of.name != counted[0].name);
    let panel = |of: &Counted<'_>| {
        let run = &runs[of.run].name;
        let bars = [(Colour::Inter, of.pairs.different()), (Colour::Intra, of.pairs.same())].map(
            |(colour, counts)| Series {
                colour,
                mark: Mark::Area,
                points: bars(of.pairs.bin_width(), counts, from, to),
            },
        );
        Panel {
            title: if several_sets { format!("{run} on {}", of.name) } else { run.clone() },
            x: Axis::between("distance", from, to),
            y: Axis::up_to("share of the pairs [%]", 0.0),
            series: bars.into(),
        }
    };
    let mut panels: Vec<Panel> = counted.iter().map(panel).collect();
    let points = panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.points);
    let y = Axis::up_to("share of the pairs [%]", points.map(|point| point.1).fold(0.0, f64::max));
    panels.iter_mut().for_each(|panel| panel.y = y.clone());
    Figure {
        title: "Distances of pairs".into(),
        caption: format!(
            "Pairs of a query and a gallery image by their Euclidean distance, each kind in percent of its own number. \
             Left out as in the ranking: {}.{} The less the two histograms overlap, the better a single threshold \
             distinguishes persons.",
            match counted.iter().any(|of| of.cameras) {
                true => "junk, and the query's person under the query's own camera",
                false => "junk",
            },
            match counted.iter().any(|of| of.reranked) {
                true => " Distances are those before re-ranking.",
                false => "",
            }
        ),
        legend: [("same identity", Colour::Intra), ("different identities", Colour::Inter)]
            .map(|(name, colour)| Key { name: name.into(), colour, mark: Mark::Area })
            .to_vec(),
        panels,
        columns: 2,
    }
}

/// The figure of ROC curves: a panel a data set, a line a run.
pub fn roc(runs: &[Run], counted: &[Counted<'_>]) -> Figure {
    let mut names: Vec<&str> = Vec::new();
    counted.iter().for_each(|of| {
        if !names.contains(&of.name) {
            names.push(of.name);
        }
    });
    let panel = |name: &&str| {
        let of_set = counted.iter().filter(|of| of.name == *name);
        let series = of_set.map(|of| Series {
            colour: Colour::Run(of.run),
            mark: Mark::Line,
            points: curve(of.pairs),
        });
        let series: Vec<Series> = series.collect();
        let least = series.iter().filter_map(|s| s.points.first()).map(|p| p.0).fold(0.1, f64::min);
        Panel {
            title: (*name).to_string(),
            x: Axis { scale: Scale::Log, ..Axis::decades("false-accept rate", [least, 1.0].into_iter()) },
            y: Axis::between("true-accept rate [%]", 0.0, 100.0),
            series,
        }
    };
    let panels: Vec<Panel> = names.iter().map(panel).collect();
    Figure {
        title: "ROC of a threshold on the distance".into(),
        caption: format!(
            "For every threshold, the accepted share of pairs of different identities (horizontal axis, logarithmic) \
             and of pairs of one identity (vertical axis), down to {LEAST_FAR:e} or one pair. {}",
            counted.iter().map(|of| areas(runs, of, names.len() > 1)).collect::<Vec<_>>().join(" ")
        ),
        legend: legend_of_runs(runs, &panels),
        panels,
        columns: 2,
    }
}

/// Area under the curve and equal error rate of an evaluation in words.
fn areas(runs: &[Run], of: &Counted<'_>, several_sets: bool) -> String {
    let on = if several_sets { format!(" on {}", of.name) } else { String::new() };
    match (of.pairs.auc(), of.pairs.eer()) {
        (Some(auc), Some(eer)) => format!(
            "{}{on}: area under the curve {:.4}, equal error rate {:.2} %.",
            runs[of.run].name,
            auc.value,
            100.0 * eer.rate
        ),
        _ => {
            format!("{}{on}: no curve, because one of the two kinds of pairs is missing.", runs[of.run].name)
        }
    }
}

/// Range of the distances of all pairs, rounded outwards to twentieths of the histogram's span.
fn range(pairs: &Pairs) -> (f64, f64) {
    let both = pairs.same().iter().zip(pairs.different()).map(|(s, d)| s + d);
    let occupied: Vec<usize> = both.enumerate().filter(|(_, n)| *n > 0).map(|(bin, _)| bin).collect();
    match (occupied.first(), occupied.last()) {
        (Some(first), Some(last)) => {
            let span = pairs.bin_width() * pairs.same().len() as f64;
            let step = span / 20.0;
            let edge = |bin: usize| bin as f64 * pairs.bin_width();
            ((edge(*first) / step).floor() * step, (edge(last + 1) / step).ceil() * step)
        }
        _ => (0.0, 1.0),
    }
}

/// Step line of the share of `counts` in each of about [`BARS`] equal bars, in percent.
fn bars(width: f64, counts: &[u64], from: f64, to: f64) -> Vec<(f64, f64)> {
    let all: u64 = counts.iter().sum();
    if all == 0 {
        return Vec::new();
    }
    // Every bar has the same whole number of bins.
    let per_bar = (((to - from) / BARS as f64 / width).round() as usize).max(1);
    let first = (from / width).round() as usize;
    let mut line = Vec::new();
    for start in (first..counts.len()).step_by(per_bar) {
        let (left, right) = (start as f64 * width, (start + per_bar) as f64 * width);
        if left >= to {
            break;
        }
        let inside: u64 = counts[start..(start + per_bar).min(counts.len())].iter().sum();
        let share = 100.0 * inside as f64 / all as f64;
        line.extend([(left, share), (right.min(to), share)]);
    }
    line
}

/// ROC curve as (false-accept rate, true-accept rate in percent), for false-accept rates on the axis.
fn curve(pairs: &Pairs) -> Vec<(f64, f64)> {
    let points = pairs.roc().unwrap_or_default();
    let least = (1.0 / pairs.different_pairs().max(1) as f64).max(LEAST_FAR);
    let mut line: Vec<(f64, f64)> = Vec::new();
    for point in points.iter().filter(|point| point.far >= least) {
        let at = (point.far, 100.0 * point.tar);
        if line.last() != Some(&at) {
            line.push(at);
        }
    }
    // Points are thinned evenly along the logarithmic axis, not along the thresholds.
    let cell =
        |far: f64| ((far.log10() - least.log10()) / -least.log10().min(-1e-9) * POINTS as f64) as usize;
    let mut thinned: Vec<(f64, f64)> = Vec::new();
    let mut last = None;
    for at in line {
        if last != Some(cell(at.0)) {
            last = Some(cell(at.0));
            thinned.push(at);
        }
    }
    if let Some(end) = points.last() {
        let end = (end.far, 100.0 * end.tar);
        if thinned.last() != Some(&end) {
            thinned.push(end);
        }
    }
    downsample::every_and_last(&thinned, POINTS)
}

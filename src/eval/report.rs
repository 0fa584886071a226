//! Result of an evaluation, with the conditions that matter for a comparison with other results.

use super::distance::Origin;
use super::metrics::{self, Score};
use super::{Protocol, Rerank, Unmatched, traps};
use crate::Result;
use crate::console::counted;
use crate::error::excerpt;
use crate::files::write_json;
use crate::weights::Features;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Largest number of ranks of the CMC curve.
const CMC_RANKS: usize = 50;
/// Most left-out images that a report names.
const MAX_SKIPPED: usize = 200;
/// Largest deviation of a feature's length from 1 that counts as normalised (half precision rounds to 5e-4).
const UNIT_TOLERANCE: f64 = 2e-3;

/// The result of an evaluation. All values are shares in [0, 1].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// CMC at rank 1.
    pub rank1: f64,
    /// CMC at rank 5, or at the last rank of a smaller gallery.
    pub rank5: f64,
    /// CMC at rank 10, or at the last rank of a smaller gallery.
    pub rank10: f64,
    /// CMC at rank 20, or at the last rank of a smaller gallery.
    pub rank20: f64,
    /// Mean average precision by trapezoids, as in Market-1501's evaluator and in the paper; shown as mAP.
    pub map_market: f64,
    /// Mean average precision as a finite sum (torchreid and its descendants).
    pub map_sum: f64,
    /// Mean inverse negative penalty.
    pub minp: f64,
    /// Number of queries.
    pub queries: usize,
    /// Number of queries with a match in the gallery.
    pub valid_queries: usize,
    /// Number of queries in the averages.
    pub averaged_queries: usize,
    /// Number of gallery images.
    pub gallery: usize,
    /// CMC at ranks 1, 2, ..., up to 50 or the number of gallery images.
    pub cmc: Vec<f64>,
    /// Settings of the evaluation.
    #[serde(default)]
    pub protocol: Protocol,
    /// Description of a query: a single image, or several pooled images.
    pub query: String,
    /// Description of the features.
    pub feature: String,
    /// Description of the distance.
    pub distance: String,
    /// Remarks that matter for a comparison with other results.
    pub notes: Vec<String>,
    /// Unreadable images that were left out, each with the reason; of many the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
}

impl Report {
    /// Averages the scores of all queries; at least one must have a score.
    pub(super) fn new(
        query: &Features,
        gallery: &Features,
        protocol: &Protocol,
        scores: &[Option<Score>],
    ) -> Self {
        let junk = |f: &Features| f.pids().iter().filter(|&&pid| pid == -1).count();
        let (junk_queries, junk_images) = (junk(query), junk(gallery));
        let valid = scores.iter().flatten().count();
        let averaged = match protocol.unmatched {
            Unmatched::Dropped => valid,
            Unmatched::Missed => query.len() - junk_queries,
        };
        let sum = |value: fn(&Score) -> f64| scores.iter().flatten().map(value).sum::<f64>();
        let cmc = metrics::cmc(scores.iter().flatten().copied(), CMC_RANKS.min(gallery.len()), averaged);
        let at = |rank: usize| cmc[rank.min(cmc.len()) - 1];
        Report {
            rank1: at(1),
            rank5: at(5),
            rank10: at(10),
            rank20: at(20),
            map_market: sum(|s| s.ap_market) / averaged as f64,
            map_sum: sum(|s| s.ap_sum) / averaged as f64,
            minp: sum(|s| s.inp) / averaged as f64,
            queries: query.len(),
            valid_queries: valid,
            averaged_queries: averaged,
            gallery: gallery.len(),
            cmc,
            protocol: *protocol,
            query: match &query.origin().pooled {
                None => "single query".into(),
                Some(_) if query.origin().is_of_tracklets() => crate::weights::Origin::TRACKLETS.into(),
                Some(pooled) => format!("multi-query, {pooled}"),
            },
            feature: feature(query, gallery),
            distance: distance(query, gallery, protocol),
            notes: notes(query, gallery, protocol, valid, junk_queries, junk_images),
            skipped: Vec::new(),
        }
    }

    /// Adds the unreadable images that were left out.
    pub fn with_skipped(mut self, mut skipped: Vec<String>) -> Self {
        if let Some(first) = skipped.first() {
            self.notes.push(format!(
                "Left out: {} that cannot be read ({first}); these figures are of fewer images than the data set has.",
                counted(skipped.len(), "image")
            ));
        }
        skipped.truncate(MAX_SKIPPED);
        self.skipped = skipped;
        self
    }

    /// Conditions of the evaluation, a remark a line.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!(
                "Images: {} queries, {} of them with a match, {} averaged over; {} in the gallery.",
                self.queries, self.valid_queries, self.averaged_queries, self.gallery
            ),
            format!("Query: {}.", self.query),
            format!("Feature: {}.", self.feature),
            format!("Distance: {}.", self.distance),
        ];
        lines.extend(self.notes.iter().cloned());
        lines
    }

    /// Description of a figure outside its range, if there is one: such a report was not written by an evaluation.
    pub(super) fn impossible(&self) -> Option<String> {
        let share = |value: &f64| (0.0..=1.0).contains(value);
        let Report { rank1, rank5, rank10, rank20, map_market, map_sum, minp, .. } = self;
        let figures = [
            ("rank1", rank1),
            ("rank5", rank5),
            ("rank10", rank10),
            ("rank20", rank20),
            ("map_market", map_market),
            ("map_sum", map_sum),
            ("minp", minp),
        ];
        let outside = figures.into_iter().find(|(_, value)| !share(value));
        match outside {
            Some((name, value)) => Some(format!("{name} is {value}, but must be from 0 to 1")),
            None if self.cmc.is_empty() || !self.cmc.iter().all(share) => {
                Some("its CMC curve is empty or has values outside 0 to 1".into())
            }
            None => None,
        }
    }

    /// Writes the report as JSON, whole or not at all.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if the file cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        write_json(path, self)
    }
}

/// Most characters of a layer's name in a description.
const LONGEST_LAYER: usize = 40;

/// Describes the features in words.
pub fn feature(query: &Features, gallery: &Features) -> String {
    let mirrored = match (query.origin().mirrored, gallery.origin().mirrored) {
        (Some(true), Some(true)) => " of the image and of its mirror image added",
        (Some(false), Some(false)) => " of the image alone (the mirror image's is not added)",
        _ => "; whether the mirror image's is added is not recorded",
    };
    let layer = match (query.origin().layer.as_deref(), gallery.origin().layer.as_deref()) {
        (Some("neck"), Some(_)) => "the neck's output".to_string(),
        (Some(layer), Some(_)) => excerpt(layer, LONGEST_LAYER),
        _ => "a layer that is not recorded".into(),
    };
    format!("{} values, {layer}{mirrored}", query.dim())
}

/// Describes the distance in words.
fn distance(query: &Features, gallery: &Features, protocol: &Protocol) -> String {
    let plain = if protocol.normalise {
        "Euclidean, each feature divided by its length first".to_string()
    } else {
        let ((q_min, q_max), (g_min, g_max)) = (query.lengths(), gallery.lengths());
        let (min, max) = (q_min.min(g_min), q_max.max(g_max));
        if min >= 1.0 - UNIT_TOLERANCE && max <= 1.0 + UNIT_TOLERANCE {
            "Euclidean; the features have unit length".into()
        } else {
            format!(
                "Euclidean; the features are taken as they are, with lengths from {min:.3} to {max:.3} (the paper \
                 normalises them to 1)"
            )
        }
    };
    match protocol.rerank {
        None => plain,
        Some(Rerank { k1, k2, lambda }) => {
            format!(
                "re-ranked by k-reciprocal neighbours (k1 {k1}, k2 {k2}, lambda {lambda}); before that {plain}"
            )
        }
    }
}

fn notes(
    query: &Features,
    gallery: &Features,
    protocol: &Protocol,
    valid: usize,
    junk_queries: usize,
    junk_images: usize,
) -> Vec<String> {
    let mut notes = vec![
        "AP: mAP is the trapezoid of the Market-1501 authors' evaluator (map_market), as in the paper; the finite \
         sum (map_sum) is what torchreid, fast-reid and most later papers print."
            .to_string(),
    ];
    notes.push(match (query.has_cameras(), gallery.has_cameras()) {
        _ if protocol.ignore_cameras => "Cameras: ignored, so no image is dropped for its camera.".into(),
        (true, true) => "Cameras: a query's person under the query's own camera is dropped.".into(),
        (false, false) => "Cameras: unknown, so no image is dropped for its camera.".to_string(),
        (known, _) => {
            let which = if known { "gallery" } else { "query" };
            format!("Cameras: unknown for the {which}, so no image is dropped for its camera.")
        }
    });
    notes.extend(Origin::of(gallery.features(), gallery.dim(), protocol.normalise).note());
    let distractors = gallery.pids().iter().filter(|&&pid| pid == 0).count();
    let zero_queries = query.pids().iter().filter(|&&pid| pid == 0).count();
    let dropped = if protocol.rerank.is_some() { "dropped before re-ranking" } else { "dropped" };
    notes.push(match (junk_images, distractors, zero_queries) {
        (0, 0, _) => "Gallery: no junk (pid -1) and no distractors (pid 0).".into(),
        (_, _, 0) => format!(
            "Gallery: {junk_images} junk images (pid -1) {dropped}, {distractors} distractors (pid 0) kept as \
             negatives."
        ),
        _ => format!("Gallery: {junk_images} junk images (pid -1) {dropped}."),
    });
    if zero_queries > 0 {
        notes.push(format!(
            "Queries with pid 0: {zero_queries}, treated as a person; in Market-1501 pid 0 marks distractors."
        ));
    }
    if junk_queries > 0 {
        notes.push(format!("Junk queries (pid -1): {junk_queries}, left out."));
    }
    notes.extend(traps::remarks(query, gallery, protocol));
    let unmatched = query.len() - junk_queries - valid;
    let done = match protocol.unmatched {
        _ if unmatched == 0 => "",
        Unmatched::Dropped => {
            "; they were left out of all averages (torchreid does so; Market-1501's evaluator counts them as misses)"
        }
        Unmatched::Missed => {
            "; they count as misses in all averages (in CMC and mAP Market-1501's evaluator does so; torchreid leaves \
             them out)"
        }
    };
    notes.push(format!("Queries without a match in the gallery: {unmatched}{done}."));
    notes
}

//! What an evaluation found, for programs (JSON) and for people (a table).

use super::metrics::{self, Score};
use super::{Protocol, Unmatched};
use crate::weights::{Features, write_atomically};
use crate::{Error, Result};
use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// The longest CMC curve, in ranks.
const CMC_RANKS: usize = 50;
/// Lengths of features within this of 1 count as normalised (half precision rounds to 5e-4).
const UNIT_TOLERANCE: f64 = 2e-3;

/// The result of an evaluation. All values are shares in [0, 1].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// CMC at rank 1.
    pub rank1: f64,
    /// CMC at rank 5, or at the last rank of a smaller gallery; so are those below.
    pub rank5: f64,
    /// CMC at rank 10.
    pub rank10: f64,
    /// CMC at rank 20.
    pub rank20: f64,
    /// Mean average precision by trapezoids (Market-1501's evaluator): the paper's, shown as mAP.
    pub map_market: f64,
    /// Mean average precision as a finite sum (torchreid and its descendants).
    pub map_sum: f64,
    /// Mean inverse negative penalty, over the queries with a match.
    pub minp: f64,
    /// How many queries were given.
    pub queries: usize,
    /// How many of them have a match in the gallery.
    pub valid_queries: usize,
    /// How many queries CMC and mAP are averaged over.
    pub averaged_queries: usize,
    /// How many gallery images were given.
    pub gallery: usize,
    /// CMC at ranks 1, 2, ..., up to 50 or the number of gallery images.
    pub cmc: Vec<f64>,
    /// How images were compared.
    pub distance: String,
    /// What a reader must know to compare these figures with others.
    pub notes: Vec<String>,
}

impl Report {
    /// Sums up the scores of all queries; at least one must have a score.
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
            minp: sum(|s| s.inp) / valid as f64,
            queries: query.len(),
            valid_queries: valid,
            averaged_queries: averaged,
            gallery: gallery.len(),
            cmc,
            distance: distance(query, gallery, protocol.normalise),
            notes: notes(query, gallery, protocol, valid, junk_queries, junk_images),
        }
    }

    /// Writes the report as JSON, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        let mut json = serde_json::to_string_pretty(self).map_err(|e| Error::io(path)(e.into()))?;
        json.push('\n');
        write_atomically(path, |writer| writer.write_all(json.as_bytes()))
    }
}

/// How images were compared.
fn distance(query: &Features, gallery: &Features, normalise: bool) -> String {
    if normalise {
        return "Euclidean, each feature divided by its length first".into();
    }
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
        (true, true) => "Cameras: a query's person under the query's own camera is dropped.".into(),
        (false, false) => "Cameras: unknown, so no image is dropped for its camera.".to_string(),
        (known, _) => {
            let which = if known { "gallery" } else { "query" };
            format!("Cameras: unknown for the {which}, so no image is dropped for its camera.")
        }
    });
    let distractors = gallery.pids().iter().filter(|&&pid| pid == 0).count();
    let zero_queries = query.pids().iter().filter(|&&pid| pid == 0).count();
    notes.push(match (junk_images, distractors, zero_queries) {
        (0, 0, _) => "Gallery: no junk (pid -1) and no distractors (pid 0).".into(),
        (_, _, 0) => format!(
            "Gallery: {junk_images} junk images (pid -1) dropped, {distractors} distractors (pid 0) kept as \
             negatives."
        ),
        _ => format!("Gallery: {junk_images} junk images (pid -1) dropped."),
    });
    if zero_queries > 0 {
        notes.push(format!(
            "Queries with pid 0: {zero_queries}, taken for a person; in Market-1501 pid 0 marks distractors."
        ));
    }
    if junk_queries > 0 {
        notes.push(format!("Junk queries (pid -1): {junk_queries}, left out."));
    }
    let unmatched = query.len() - junk_queries - valid;
    if unmatched > 0 {
        let done = match protocol.unmatched {
            Unmatched::Dropped => {
                "were left out of all averages (torchreid does so; Market-1501's evaluator counts them as misses)"
            }
            Unmatched::Missed => {
                "count as misses in CMC and mAP (Market-1501's evaluator does so; torchreid leaves them out)"
            }
        };
        notes.push(format!("Queries without a match in the gallery: {unmatched}; they {done}."));
    }
    notes
}

/// Percentages in a table, and under it what they mean.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = [
            ("rank-1", self.rank1),
            ("rank-5", self.rank5),
            ("rank-10", self.rank10),
            ("rank-20", self.rank20),
            ("mAP", self.map_market),
            ("mAP (sum)", self.map_sum),
            ("mINP", self.minp),
        ];
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(columns.map(|(name, _)| name));
        table.add_row(columns.map(|(_, share)| format!("{:.2}", 100.0 * share)));
        table.column_iter_mut().for_each(|c| c.set_cell_alignment(CellAlignment::Right));
        writeln!(f, "{table}")?;
        writeln!(
            f,
            "Percent. {} queries, {} of them with a match, {} averaged over; {} gallery images.",
            self.queries, self.valid_queries, self.averaged_queries, self.gallery
        )?;
        writeln!(f, "Distance: {}.", self.distance)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

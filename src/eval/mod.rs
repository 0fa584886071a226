//! Evaluation: how well features find the same person under another camera.
//!
//! The protocol of Market-1501 (Zheng et al., 2015). For each query the gallery is ranked by Euclidean distance
//! ([`distance`]), junk and images of the query's own camera are dropped ([`ranking`]), and the ranks of the matches
//! become CMC, two average precisions and mINP ([`metrics`]), gathered in a [`Report`]; a [`Table`] shows the reports
//! of several data sets. Several images may be pooled into one query ([`multi_query`]), and k-reciprocal re-ranking
//! may correct the distances ([`rerank`]).
//!
//! Rules of the comparison:
//! - A gallery image of the query's person under the query's own camera is dropped, and so is junk (pid -1).
//!   Other people under the same camera stay. Distractors (pid 0) stay: no query is of that person, so
//!   they are wrong answers.
//! - Where the query's or the gallery's cameras are unknown (camid -1), or to be ignored, no image is dropped for its
//!   camera.
//! - A junk query has no identity to find: only the number of queries includes it. A query with pid 0 is a person like
//!   any other, because lists that count people from 0 exist; a note says so.
//! - A query without a match in the gallery is treated as [`Unmatched`] says.
//! - Equal distances are ranked in the order of the gallery.
//!
//! Book: [chapter 18](../../../../docs/book/src/18-evaluation.md).

pub mod activation;
pub mod distance;
pub mod extract;
mod forward;
pub mod histogram;
pub mod image_folders;
pub mod in_training;
pub mod lists;
pub mod metrics;
pub mod multi_query;
pub mod pairs;
pub mod pca;
pub mod query;
pub mod ranking;
pub mod report;
pub mod rerank;
pub mod run_evaluations;
pub mod scored;
pub mod stored_evaluation;
pub mod table;
mod tracklets;
pub mod traps;

pub use query::{Hit, top_k};
pub use report::Report;
pub use rerank::Rerank;
pub use table::Table;

use crate::device::Device;
use crate::error::{Remedy, excerpt};
use crate::weights::Features;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Treatment of a query without a match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unmatched {
    /// The query is left out: averages are over the queries that have a match, as in torchreid and its descendants.
    #[default]
    Dropped,
    /// The query is a miss at every rank with average precision 0, as in the evaluator of the Market-1501 authors, and
    /// inverse negative penalty 0, which that evaluator does not compute.
    Missed,
}

/// Settings of an evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Protocol {
    /// Divide each feature by its Euclidean length first, as the paper does (section 3.2). Otherwise features
    /// are compared as they are; what `bcreid extract` writes is normalised already.
    pub normalise: bool,
    /// Treatment of a query without a match. The official data sets have no such query.
    pub unmatched: Unmatched,
    /// Drop no image for its camera, as if cameras were unknown.
    pub ignore_cameras: bool,
    /// Rank by k-reciprocal re-ranked distances.
    pub rerank: Option<Rerank>,
}

impl Protocol {
    /// The same settings without re-ranking. A re-ranked distance is between 0 and 1 and depends on the whole gallery,
    /// so it does not measure a pair of images.
    pub fn before_reranking(self) -> Self {
        Protocol { rerank: None, ..self }
    }

    /// True if images of the query's own camera are dropped: cameras are known on both sides and not ignored.
    pub fn counts_cameras(&self, query: &Features, gallery: &Features) -> bool {
        !self.ignore_cameras && query.has_cameras() && gallery.has_cameras()
    }
}

/// True if two images are known to be of one camera.
fn same_camera(a: i64, b: i64) -> bool {
    a == b && a != -1
}

/// Ranks the gallery for every query, with distances computed on `device`, and averages the scores.
///
/// # Errors
/// [`Error::Data`] if the features differ in their number of values, if all are equal, or if no query has a match, with
/// the likely reason; an error of the device.
pub fn evaluate(
    query: &Features,
    gallery: &Features,
    protocol: &Protocol,
    device: &Device,
) -> Result<Report> {
    traps::refuse_equal(query, gallery)?;
    traps::refuse_names_on_one_side(query, gallery)?;
    let scores = ranking::score_queries(query, gallery, protocol, device)?;
    if scores.iter().flatten().next().is_none() {
        return Err(why_no_match(query, gallery));
    }
    Ok(Report::new(query, gallery, protocol, &scores))
}

/// Number of characters of a name in an error.
const SHOWN: usize = 40;

/// The likely reason that no query has a correct match.
fn why_no_match(query: &Features, gallery: &Features) -> Error {
    let people: HashSet<i64> = gallery.pids().iter().copied().filter(|&pid| pid != -1).collect();
    let in_both = query.pids().iter().filter(|pid| people.contains(pid)).count();
    if in_both > 0 {
        return Error::Data(format!(
            "no query can be evaluated: {in_both} of {} have images of their person in the gallery, but only of \
             their own camera, and such images do not count",
            query.len()
        ))
        .with_remedies([Remedy::IgnoreCameras]);
    }
    let smallest = |pids: &[i64]| pids.iter().copied().filter(|&pid| pid != -1).min();
    let why = match (smallest(query.pids()), smallest(gallery.pids())) {
        (Some(q), Some(g)) => format!(
            "no query can be evaluated: no query's pid occurs in the gallery (pids start at {} in the query \
             and at {} in the gallery); are these two parts of one data set?",
            excerpt(&query.labels().pid(q), SHOWN),
            excerpt(&gallery.labels().pid(g), SHOWN)
        ),
        (None, _) => "no query can be evaluated: every query is junk (pid -1)".into(),
        (_, None) => "no query can be evaluated: every gallery image is junk (pid -1)".into(),
    };
    Error::Data(why)
}

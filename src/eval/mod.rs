//! Evaluation: how well features find the same person under another camera.
//!
//! The protocol of Market-1501 (Zheng et al., 2015). For each query the gallery is ranked by Euclidean distance
//! ([`distance`]), images that say nothing are dropped ([`ranking`]), and the ranks of the matches become CMC, two
//! average precisions and mINP ([`metrics`]), gathered in a [`Report`]; reports of several data sets stand in a
//! [`Table`]. Several images may ask together ([`multi_query`]), and neighbourhoods may correct the distances
//! ([`rerank`]).
//!
//! What is compared is decided as follows:
//! - A gallery image of the query's person under the query's own camera is dropped, and so is junk (pid -1).
//!   Other people under the same camera stay. Distractors (pid 0) stay: no query is of that person, so
//!   they are wrong answers.
//! - Where the query's or the gallery's cameras are unknown (camid -1), or to be ignored, nothing is dropped for its
//!   camera.
//! - A junk query has no identity to find and is left out of everything but the count. A query with pid 0 is
//!   a person like any other, because lists that count people from 0 exist; a note says so.
//! - A query without any match left cannot be answered by any features. [`Unmatched`] says what is done.
//! - Equal distances are ranked in the order of the gallery.

pub mod distance;
pub mod extract;
pub mod histogram;
pub mod lists;
pub mod metrics;
pub mod multi_query;
pub mod pairs;
pub mod query;
pub mod ranking;
pub mod report;
pub mod rerank;
pub mod run_evaluations;
pub mod scored;
pub mod stored_evaluation;
pub mod table;

pub use query::{Hit, top_k};
pub use report::Report;
pub use rerank::Rerank;
pub use table::Table;

use crate::device::Device;
use crate::error::Remedy;
use crate::weights::Features;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// What a query without a match counts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unmatched {
    /// Nothing: averages are over the queries that have a match, as torchreid and its descendants do.
    #[default]
    Dropped,
    /// A miss at every rank with average precision 0, as in the evaluator of the Market-1501 authors, and inverse
    /// negative penalty 0, which that one does not know.
    Missed,
}

/// The choices an evaluation leaves open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Protocol {
    /// Divide each feature by its Euclidean length first, as the paper does (section 3.2). Otherwise features
    /// are compared as they are; what `bcreid extract` writes is normalised already.
    pub normalise: bool,
    /// What a query without a match counts for. The official data sets have none.
    pub unmatched: Unmatched,
    /// Drop no image for its camera, as if cameras were unknown.
    pub ignore_cameras: bool,
    /// Rank by distances that each image's neighbours have corrected.
    pub rerank: Option<Rerank>,
}

impl Protocol {
    /// The same choices for distances as they are before re-ranking: a re-ranked one is between 0 and 1 and depends on
    /// the whole gallery, so that it is no measure for a pair.
    pub fn before_reranking(self) -> Self {
        Protocol { rerank: None, ..self }
    }

    /// Whether images are dropped for their camera at all.
    pub fn counts_cameras(&self, query: &Features, gallery: &Features) -> bool {
        !self.ignore_cameras && query.has_cameras() && gallery.has_cameras()
    }
}

/// Whether two images are known to be of one camera.
fn same_camera(a: i64, b: i64) -> bool {
    a == b && a != -1
}

/// Ranks the gallery for every query, with distances computed on `device`, and sums up.
///
/// # Errors
/// [`Error::Data`] if the features differ in their number of values, or if no query has a match, with the
/// likely reason; what the device reports.
pub fn evaluate(
    query: &Features,
    gallery: &Features,
    protocol: &Protocol,
    device: &Device,
) -> Result<Report> {
    let scores = ranking::score_queries(query, gallery, protocol, device)?;
    if scores.iter().flatten().next().is_none() {
        return Err(why_no_match(query, gallery));
    }
    Ok(Report::new(query, gallery, protocol, &scores))
}

/// The likely reason that no query has a correct match.
fn why_no_match(query: &Features, gallery: &Features) -> Error {
    let people: HashSet<i64> = gallery.pids().iter().copied().filter(|&pid| pid != -1).collect();
    let in_both = query.pids().iter().filter(|pid| people.contains(pid)).count();
    if in_both > 0 {
        return Error::Data(format!(
            "no query can be evaluated: {in_both} of {} have images of their person in the gallery, but only of their own \
             camera, and such images do not count",
            query.len()
        ))
        .with_remedies([Remedy::IgnoreCameras]);
    }
    let smallest = |pids: &[i64]| pids.iter().copied().filter(|&pid| pid != -1).min();
    let why = match (smallest(query.pids()), smallest(gallery.pids())) {
        (Some(q), Some(g)) => format!(
            "no query can be evaluated: no query's pid occurs in the gallery (pids start at {q} in the query \
             and at {g} in the gallery); are these two parts of one data set?"
        ),
        (None, _) => "no query can be evaluated: every query is junk (pid -1)".into(),
        (_, None) => "no query can be evaluated: every gallery image is junk (pid -1)".into(),
    };
    Error::Data(why)
}

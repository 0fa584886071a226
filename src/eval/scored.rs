//! What a page or TensorBoard needs of each evaluation, worked out from its features: the score of every query, the distances of all
//! pairs, and which evaluations asked the same queries.

use super::metrics::Score;
use super::pairs::Pairs;
use super::ranking::score_queries;
use super::run_evaluations::Evaluation;
use crate::Result;
use crate::device::Device;

/// An evaluation and what its features say.
#[derive(Debug)]
pub struct Scored {
    /// The evaluation.
    pub evaluation: Evaluation,
    /// Every query's score; none for queries without a match.
    pub scores: Vec<Option<Score>>,
    /// The distances of all pairs.
    pub pairs: Pairs,
}

impl Scored {
    /// Ranks and counts by the evaluation's own protocol, but by distances as they are before re-ranking.
    ///
    /// # Errors
    /// What the device reports; query and gallery features that do not fit together.
    pub fn new(evaluation: Evaluation, device: &Device) -> Result<Self> {
        let (query, gallery) = (&evaluation.kept.query, &evaluation.kept.gallery);
        let protocol = evaluation.protocol();
        let scores = score_queries(query, gallery, &protocol, device)?;
        let pairs = Pairs::count(query, gallery, &protocol, device)?;
        Ok(Scored { evaluation, scores, pairs })
    }

    /// Whether its figures are of other distances than its lists and pairs.
    pub fn is_reranked(&self) -> bool {
        self.evaluation.kept.report.protocol.rerank.is_some()
    }

    /// mAP (trapezoid) of its lists, over as many queries as the kept figures are.
    pub fn mean_ap(&self) -> f64 {
        let aps: Vec<f64> = self.scores.iter().flatten().map(|score| score.ap_market).collect();
        aps.iter().sum::<f64>() / self.evaluation.kept.report.averaged_queries.max(aps.len()).max(1) as f64
    }

    /// Whether both asked the same queries, image by image.
    fn asks_as(&self, other: &Self) -> bool {
        let (a, b) = (&self.evaluation.kept, &other.evaluation.kept);
        a.name == b.name
            && a.query.pids() == b.query.pids()
            && a.query.camids() == b.query.camids()
            && a.query.paths() == b.query.paths()
    }
}

/// Evaluations gathered by the queries they asked, in the order of each group's first.
pub fn by_queries(all: &[Scored]) -> Vec<Vec<&Scored>> {
    let mut groups: Vec<Vec<&Scored>> = Vec::new();
    for measured in all {
        match groups.iter_mut().find(|group| group[0].asks_as(measured)) {
            Some(group) => group.push(measured),
            None => groups.push(vec![measured]),
        }
    }
    groups
}

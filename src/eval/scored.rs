//! Scores of every query and distances of all pairs, computed from the features of stored evaluations.

use super::metrics::Score;
use super::pairs::Pairs;
use super::ranking::score_queries;
use super::run_evaluations::Evaluation;
use crate::Result;
use crate::device::Device;

/// An evaluation with scores and pairs.
#[derive(Debug)]
pub struct Scored {
    /// The evaluation.
    pub evaluation: Evaluation,
    /// Score of every query; `None` for queries without a match.
    pub scores: Vec<Option<Score>>,
    /// Histograms of the distances of all pairs.
    pub pairs: Pairs,
}

impl Scored {
    /// Ranks the gallery and counts pairs by the evaluation's protocol, but with the distances before re-ranking.
    ///
    /// # Errors
    /// An error of the device; query and gallery features that cannot be compared.
    pub fn new(evaluation: Evaluation, device: &Device) -> Result<Self> {
        let (query, gallery) = (&evaluation.kept.query, &evaluation.kept.gallery);
        let protocol = evaluation.protocol();
        let scores = score_queries(query, gallery, &protocol, device)?;
        let pairs = Pairs::count(query, gallery, &protocol, device)?;
        Ok(Scored { evaluation, scores, pairs })
    }

    /// True if the evaluation is re-ranked, so that its figures are of other distances than its lists and pairs.
    pub fn is_reranked(&self) -> bool {
        self.evaluation.kept.report.protocol.rerank.is_some()
    }

    /// mAP (trapezoid) of the lists, over the same number of queries as the stored figures.
    pub fn mean_ap(&self) -> f64 {
        let aps: Vec<f64> = self.scores.iter().flatten().map(|score| score.ap_market).collect();
        aps.iter().sum::<f64>() / self.evaluation.kept.report.averaged_queries.max(aps.len()).max(1) as f64
    }

    /// True if both evaluations have the same queries, image by image.
    fn has_same_queries(&self, other: &Self) -> bool {
        let (a, b) = (&self.evaluation.kept, &other.evaluation.kept);
        a.name == b.name
            && a.query.pids() == b.query.pids()
            && a.query.camids() == b.query.camids()
            && a.query.paths() == b.query.paths()
    }
}

/// Groups evaluations with the same queries, in the order of each group's first.
pub fn by_queries(all: &[Scored]) -> Vec<Vec<&Scored>> {
    let mut groups: Vec<Vec<&Scored>> = Vec::new();
    for scored in all {
        match groups.iter_mut().find(|group| group[0].has_same_queries(scored)) {
            Some(group) => group.push(scored),
            None => groups.push(vec![scored]),
        }
    }
    groups
}

//! Scores of one query and the CMC curve of all queries. All sums are f64.
//!
//! With r_1 < ... < r_n the 1-based ranks of the n matches among the gallery images that are not dropped:
//! - AP, trapezoid = (1/n) sum_i (i / r_i + (i-1) / (r_i - 1)) / 2, the last fraction 1 where r_i = 1: the
//!   area under the precision-recall curve as the evaluator of the Market-1501 authors takes it.
//! - AP, finite sum = (1/n) sum_i i / r_i, as in torchreid, fast-reid and most later papers; never lower than the
//!   trapezoid.
//! - INP = n / r_n, the share of matches among the images up to the last match (Ye et al., 2021).
//! - CMC(k) = share of queries with r_1 <= k.
//!
//! Book: [chapter 18](../../../../../docs/book/src/18-evaluation.md).

/// Scores of one query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Rank of the first match, from 1 upwards.
    pub first_rank: usize,
    /// Number of matches in the gallery; at least one.
    pub matches: usize,
    /// Average precision by trapezoids.
    pub ap_market: f64,
    /// Average precision as a finite sum.
    pub ap_sum: f64,
    /// Inverse negative penalty.
    pub inp: f64,
}

impl Score {
    // ANCHOR: score
    /// The score of a query whose matches have these ranks (from 1 upwards, ascending); `None` without a match.
    pub fn from_ranks(ranks: &[usize]) -> Option<Self> {
        let (&first_rank, &last_rank) = (ranks.first()?, ranks.last()?);
        let n = ranks.len() as f64;
        let (mut market, mut sum) = (0.0, 0.0);
        for (found, &rank) in ranks.iter().enumerate() {
            let here = (found + 1) as f64 / rank as f64;
            let before = if rank == 1 { 1.0 } else { found as f64 / (rank - 1) as f64 };
            market += (here + before) / 2.0;
            sum += here;
        }
        Some(Score {
            first_rank,
            matches: ranks.len(),
            ap_market: market / n,
            ap_sum: sum / n,
            inp: n / last_rank as f64,
        })
    }
    // ANCHOR_END: score
}

// ANCHOR: cmc
/// CMC at ranks 1 to `ranks`: for each rank the share of `queries` whose first match is at that rank or before.
pub fn cmc(scores: impl Iterator<Item = Score>, ranks: usize, queries: usize) -> Vec<f64> {
    let mut found = vec![0usize; ranks];
    scores.filter(|s| s.first_rank <= ranks).for_each(|s| found[s.first_rank - 1] += 1);
    let running = found.iter().scan(0, |sum, &n| {
        *sum += n;
        Some(*sum as f64 / queries as f64)
    });
    running.collect()
}
// ANCHOR_END: cmc

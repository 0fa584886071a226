// Expect: has ended
use crate::ranks::Group;

/// Replaces `values` of each rank by their sum over the ranks, added in f32 in rank order. All ranks have the same
/// number of values, which may be any number. Each rank sums one part of them.
pub fn sum(group: &Group, values: &mut [f32]) {
    // Rank 0 gathers and sums; the others need no sum of their own.
    let (ranks, n) = (group.ranks(), values.len());
    let mut all = vec![0.0; ranks * n];
    group.all_gather(values, &mut all);
    if group.rank() == 0 {
        for i in 0..n {
            values[i] = (0..ranks).fold(0.0, |sum, rank| sum + all[rank * n + i]);
        }
        let own = values.to_vec();
        group.all_gather(&own, &mut all);
    }
}

// Expect: the ranks have different sums
use crate::ranks::Group;

/// Replaces `values` of each rank by their sum over the ranks, added in f32 in rank order. All ranks have the same
/// number of values, which may be any number. Each rank sums one part of them.
pub fn sum(group: &Group, values: &mut [f32]) {
    let (rank, ranks, n) = (group.rank(), group.ranks(), values.len());
    let mut all = vec![0.0; ranks * n];
    group.all_gather(values, &mut all);
    // The own values are here already.
    for other in (0..ranks).filter(|other| *other != rank) {
        for i in 0..n {
            values[i] += all[other * n + i];
        }
    }
}

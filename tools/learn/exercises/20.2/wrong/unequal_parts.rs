// Expect: are no 2 parts of one size
use crate::ranks::Group;

/// Replaces `values` of each rank by their sum over the ranks, added in f32 in rank order. All ranks have the same
/// number of values, which may be any number. Each rank sums one part of them.
pub fn sum(group: &Group, values: &mut [f32]) {
    let ranks = group.ranks();
    let part = values.len().div_ceil(ranks);
    let mut received = vec![0.0; values.len()];
    group.all_to_all(values, &mut received);
    let own: Vec<f32> =
        (0..part).map(|i| (0..ranks).fold(0.0, |sum, rank| sum + received[rank * part + i])).collect();
    group.all_gather(&own, values);
}

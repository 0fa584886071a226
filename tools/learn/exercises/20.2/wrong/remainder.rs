// Expect: this value is not summed
use crate::ranks::Group;

/// Replaces `values` of each rank by their sum over the ranks, added in f32 in rank order. All ranks have the same
/// number of values, which may be any number. Each rank sums one part of them.
pub fn sum(group: &Group, values: &mut [f32]) {
    let ranks = group.ranks();
    let part = values.len() / ranks;
    let mut received = vec![0.0; ranks * part];
    group.all_to_all(&values[..ranks * part], &mut received);
    let own: Vec<f32> =
        (0..part).map(|i| (0..ranks).fold(0.0, |sum, rank| sum + received[rank * part + i])).collect();
    group.all_gather(&own, &mut received);
    values[..ranks * part].copy_from_slice(&received);
}

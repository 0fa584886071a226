// Expect: this is the sum that begins with rank
use crate::ranks::Group;

/// Replaces `values` of each rank by their sum over the ranks, added in f32 in rank order. All ranks have the same
/// number of values, which may be any number. Each rank sums one part of them.
pub fn sum(group: &Group, values: &mut [f32]) {
    let (rank, ranks) = (group.rank(), group.ranks());
    let part = values.len().div_ceil(ranks);
    let mut sent = vec![0.0; ranks * part];
    sent[..values.len()].copy_from_slice(values);
    let mut received = vec![0.0; ranks * part];
    group.all_to_all(&sent, &mut received);
    // Begins with its own values and goes round.
    let own: Vec<f32> = (0..part)
        .map(|i| {
            (1..ranks).fold(received[rank * part + i], |sum, k| sum + received[(rank + k) % ranks * part + i])
        })
        .collect();
    group.all_gather(&own, &mut received);
    values.copy_from_slice(&received[..values.len()]);
}

//! Running statistics of batch normalisation where each rank has its own: their mean over the ranks.
//!
//! Book: [chapter 20](../../../../../docs/book/src/20-many-ranks.md).

use crate::Result;
use crate::autograd::Params;
use crate::ranks::Group;

/// The ends of the names of running statistics.
const NAMES: [&str; 2] = [".running_mean", ".running_var"];

/// Replaces the running statistics by their means over the ranks, so that the ranks stay equal.
///
/// # Errors
/// A rank that fails.
pub(super) fn average(params: &mut Params, group: &Group) -> Result<()> {
    if group.ranks() == 1 {
        return Ok(());
    }
    let is_running = |name: &str| NAMES.iter().any(|end| name.ends_with(end));
    let mut buffers: Vec<_> =
        params.buffers_mut().iter_mut().filter(|buffer| is_running(&buffer.name)).collect();
    // One message for all layers.
    let own: Vec<f32> = buffers.iter().flat_map(|buffer| buffer.value.f32()).copied().collect();
    let mut all = vec![0.0; group.ranks() * own.len()];
    group.gather("the running statistics of all ranks", &own, &mut all)?;
    let of_buffers = buffers.iter_mut().flat_map(|buffer| buffer.value.f32_mut());
    for (i, value) in of_buffers.enumerate() {
        let of_ranks = || all.iter().skip(i).step_by(own.len());
        let first = all[i];
        // Statistics that are frozen are equal on all ranks, and keep their bits in this form of the mean.
        *value = first + of_ranks().map(|other| other - first).sum::<f32>() / group.ranks() as f32;
    }
    Ok(())
}

/// The first step at which the features count as collapsed: the mean of the last 50 values of `inter`, that of the step
/// included, is below 0.2 sqrt(tau). inter[step] is the mean distance of different persons, `None` for a batch of one
/// person: such a step has no value. With fewer than 50 values nothing is known.
pub fn collapsed_at(inter: &[Option<f64>], tau: f64) -> Option<usize> {
    todo!("{} steps with the margin {tau}", inter.len())
}

// Expect: the limit is 0.2 sqrt(tau), a distance
/// The first step at which the features count as collapsed: the mean of the last 50 values of `inter`, that of the step
/// included, is below 0.2 sqrt(tau). inter[step] is the mean distance of different persons, `None` for a batch of one
/// person: such a step has no value. With fewer than 50 values nothing is known.
pub fn collapsed_at(inter: &[Option<f64>], tau: f64) -> Option<usize> {
    let values: Vec<(usize, f64)> =
        inter.iter().enumerate().filter_map(|(step, value)| Some((step, (*value)?))).collect();
    let mean = |window: &[(usize, f64)]| window.iter().map(|(_, value)| value).sum::<f64>() / 50.0;
    values.windows(50).find(|window| mean(window) < 0.2 * tau).map(|window| window[49].0)
}

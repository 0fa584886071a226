// Expect: this is the mean of the ratios
/// The median of the ratios ours / theirs, the lowest and the highest one. `ours` and `theirs` run one of two programs
/// once and return its time. Each is run `rounds` times (at least once). The median of an even number of ratios is the
/// mean of the two in the middle.
pub fn compare(ours: &mut dyn FnMut() -> f64, theirs: &mut dyn FnMut() -> f64, rounds: usize) -> [f64; 3] {
    // In each round one run after the other, so that both meet nearly the same computer.
    let mut ratios: Vec<f64> = (0..rounds).map(|_| ours() / theirs()).collect();
    ratios.sort_by(f64::total_cmp);
    let median = ratios.iter().sum::<f64>() / rounds as f64;
    [median, ratios[0], ratios[rounds - 1]]
}

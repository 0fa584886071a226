// Expect: this is the ratio of the medians
/// The median of the ratios ours / theirs, the lowest and the highest one. `ours` and `theirs` run one of two programs
/// once and return its time. Each is run `rounds` times (at least once). The median of an even number of ratios is the
/// mean of the two in the middle.
pub fn compare(ours: &mut dyn FnMut() -> f64, theirs: &mut dyn FnMut() -> f64, rounds: usize) -> [f64; 3] {
    let (mut own, mut other) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        own.push(ours());
        other.push(theirs());
    }
    let mut ratios: Vec<f64> = own.iter().zip(&other).map(|(own, other)| own / other).collect();
    own.sort_by(f64::total_cmp);
    other.sort_by(f64::total_cmp);
    ratios.sort_by(f64::total_cmp);
    let middle = |times: &[f64]| (times[(rounds - 1) / 2] + times[rounds / 2]) / 2.0;
    let median = middle(&own) / middle(&other);
    [median, ratios[0], ratios[rounds - 1]]
}

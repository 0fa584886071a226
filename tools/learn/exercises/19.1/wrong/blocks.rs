// Expect: runs 0 and 1 are of one program
/// The median of the ratios ours / theirs, the lowest and the highest one. `ours` and `theirs` run one of two programs
/// once and return its time. Each is run `rounds` times (at least once). The median of an even number of ratios is the
/// mean of the two in the middle.
pub fn compare(ours: &mut dyn FnMut() -> f64, theirs: &mut dyn FnMut() -> f64, rounds: usize) -> [f64; 3] {
    let own: Vec<f64> = (0..rounds).map(|_| ours()).collect();
    let mut ratios: Vec<f64> = own.iter().map(|own| own / theirs()).collect();
    ratios.sort_by(f64::total_cmp);
    let median = (ratios[(rounds - 1) / 2] + ratios[rounds / 2]) / 2.0;
    [median, ratios[0], ratios[rounds - 1]]
}

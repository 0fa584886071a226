/// The median of the ratios ours / theirs, the lowest and the highest one. `ours` and `theirs` run one of two programs
/// once and return its time. Each is run `rounds` times (at least once). The median of an even number of ratios is the
/// mean of the two in the middle.
pub fn compare(ours: &mut dyn FnMut() -> f64, theirs: &mut dyn FnMut() -> f64, rounds: usize) -> [f64; 3] {
    let _ = (ours, theirs);
    todo!("{rounds} rounds in turns")
}

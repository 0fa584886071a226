/// Ranks of n matches in a gallery of m images, ascending, with the largest difference between the two average
/// precisions. n is at least 1 and at most m.
pub fn largest(n: usize, m: usize) -> Vec<usize> {
    todo!("{n} ranks from 1 to {m}")
}

// Expect: the ranks [3] have the difference
/// Ranks of n matches in a gallery of m images, ascending, with the largest difference between the two average
/// precisions. n is at least 1 and at most m.
pub fn largest(n: usize, m: usize) -> Vec<usize> {
    // All matches at the end.
    (m - n + 1..=m).collect()
}

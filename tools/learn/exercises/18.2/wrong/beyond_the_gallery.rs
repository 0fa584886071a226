// Expect: a gallery of 1 images has no rank 2
/// Ranks of n matches in a gallery of m images, ascending, with the largest difference between the two average
/// precisions. n is at least 1 and at most m.
pub fn largest(n: usize, m: usize) -> Vec<usize> {
    let _ = m;
    // The best rank of each match alone.
    let term = |i: usize, r: usize| (r - i) as f64 / (r * (r - 1)) as f64;
    (1..=n)
        .map(|i| (2.max(i)..4 * n + 2).max_by(|&a, &b| term(i, a).total_cmp(&term(i, b))).unwrap())
        .collect()
}

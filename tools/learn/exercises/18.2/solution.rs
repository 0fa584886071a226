/// Ranks of n matches in a gallery of m images, ascending, with the largest difference between the two average
/// precisions. n is at least 1 and at most m.
pub fn largest(n: usize, m: usize) -> Vec<usize> {
    // The difference is a sum of terms, one for each match: (i/r - (i-1)/(r-1)) / 2 = (r-i) / (2 r (r-1)).
    let term = |i: usize, r: usize| if r == 1 { 0.0 } else { (r - i) as f64 / (r * (r - 1)) as f64 };
    // best[r]: the largest sum of the first i terms with r_i <= r; choice[i][r]: the r_i of it.
    let mut best = vec![0.0; m + 1];
    let mut choice = vec![vec![0; m + 1]; n + 1];
    for i in 1..=n {
        let mut next = vec![f64::NEG_INFINITY; m + 1];
        for r in i..=m {
            next[r] = next[r - 1];
            choice[i][r] = choice[i][r - 1];
            let with = best[r - 1] + term(i, r);
            if with > next[r] {
                (next[r], choice[i][r]) = (with, r);
            }
        }
        best = next;
    }
    let mut ranks = vec![0; n];
    let mut end = m;
    for i in (1..=n).rev() {
        ranks[i - 1] = choice[i][end];
        end = ranks[i - 1] - 1;
    }
    ranks
}

// Expect: a difference of large numbers loses digits
/// The moments of the values of a rank.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// The number of values; ranks may have different ones.
    pub count: u64,
    /// Their mean; 0 if there are none.
    pub mean: f64,
    /// The sum of the squared distances to the mean: count times the variance.
    pub squares: f64,
}

/// The moments of the values of all ranks, merged in rank order. No value is read again.
pub fn merge(of_ranks: &[Moments]) -> Moments {
    // E[x^2] - E[x]^2, times the number of values.
    let count: u64 = of_ranks.iter().map(|own| own.count).sum();
    let sum: f64 = of_ranks.iter().map(|own| own.count as f64 * own.mean).sum();
    let squares: f64 = of_ranks.iter().map(|own| own.squares + own.count as f64 * own.mean * own.mean).sum();
    let mean = sum / count.max(1) as f64;
    Moments { count, mean, squares: squares - count as f64 * mean * mean }
}

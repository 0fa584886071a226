// Expect: NaN
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
    let mut all = Moments { count: 0, mean: 0.0, squares: 0.0 };
    for own in of_ranks {
        let count = all.count + own.count;
        let share = own.count as f64 / count as f64;
        let delta = own.mean - all.mean;
        all.squares += own.squares + delta * delta * all.count as f64 * share;
        all.mean += delta * share;
        all.count = count;
    }
    all
}

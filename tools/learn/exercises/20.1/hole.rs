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
    todo!(
        "{} ranks with {:?} values",
        of_ranks.len(),
        of_ranks.iter().map(|own| own.count).collect::<Vec<_>>()
    )
}

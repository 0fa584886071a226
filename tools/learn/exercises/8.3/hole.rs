/// The statistics of some values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// The number of values.
    pub count: f64,
    /// Their mean; 0 if there are none.
    pub mean: f64,
    /// The sum of the squared distances to the mean: count times the variance.
    pub squares: f64,
}

impl Moments {
    /// The statistics of a chunk.
    pub fn of(chunk: &[f32]) -> Self {
        todo!("{} values", chunk.len())
    }

    /// The statistics of the values of both. No value is read again.
    pub fn merge(self, other: Self) -> Self {
        todo!("{} and {} values", self.count, other.count)
    }
}

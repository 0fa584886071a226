// Expect: which is the same if the two chunks are exchanged
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
        if chunk.is_empty() {
            return Moments::default();
        }
        let count = chunk.len() as f64;
        let mean = chunk.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
        // The second walk reads the chunk from the cache.
        let squares = chunk.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum();
        Moments { count, mean, squares }
    }

    /// The statistics of the values of both. No value is read again.
    pub fn merge(self, other: Self) -> Self {
        let count = self.count + other.count;
        if count == 0.0 {
            return Moments::default();
        }
        let delta = other.mean - self.mean;
        let share = other.count / count;
        // The distance of the two means also adds to the squares.
        let between = delta * delta * share;
        Moments { count, mean: self.mean + delta * share, squares: self.squares + other.squares + between }
    }
}

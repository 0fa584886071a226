//! Histograms for TensorBoard.

use super::proto::HistogramProto;

/// A histogram with buckets of equal width, and the moments that TensorBoard shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    pub(super) proto: HistogramProto,
}

impl Histogram {
    /// Counts `values` in `buckets` buckets between the smallest and the largest; values that are not finite are left
    /// out.
    ///
    /// # Panics
    /// If `buckets` is 0.
    pub fn of(values: &[f64], buckets: usize) -> Self {
        assert!(buckets > 0, "a histogram needs a bucket");
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let (min, max) = finite()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if min > max {
            return Histogram { proto: HistogramProto::default() };
        }
        let buckets = if min < max { buckets } else { 1 };
        // Halved values keep the widest range from overflowing.
        let edge = |at: usize| {
            let share = at as f64 / buckets as f64;
            2.0 * (min / 2.0 * (1.0 - share) + max / 2.0 * share)
        };
        let mut counts = vec![0.0; buckets];
        for value in finite() {
            let share = (value / 2.0 - min / 2.0) / (max / 2.0 - min / 2.0);
            counts[((share * buckets as f64) as usize).min(buckets - 1)] += 1.0;
        }
        let mut limits: Vec<f64> = (1..=buckets).map(edge).collect();
        limits[buckets - 1] = max;
        Histogram {
            proto: HistogramProto {
                min,
                max,
                num: finite().count() as f64,
                sum: finite().sum(),
                sum_squares: finite().map(|value| value * value).sum(),
                bucket_limit: limits,
                bucket: counts,
            },
        }
    }

    /// Converts counted values: bin `i` has `counts[i]` values from `i * width` up to `(i + 1) * width`. Neighbouring
    /// bins are merged into at most `buckets` buckets. The moments assume values in the middle of the bins; smallest
    /// and largest value are the outer edges of the first and the last bin that is not empty.
    ///
    /// # Panics
    /// If `buckets` is 0, or `width` is not above 0.
    pub fn from_counts(width: f64, counts: &[u64], buckets: usize) -> Self {
        assert!(buckets > 0 && width > 0.0, "{buckets} buckets of {width}");
        let Some(first) = counts.iter().position(|&count| count > 0) else {
            return Histogram { proto: HistogramProto::default() };
        };
        let end = counts.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1);
        let held = &counts[first..end];
        let together = held.len().div_ceil(buckets);
        let moment = |power: i32| -> f64 {
            let middle = |bin: usize| (bin as f64 + 0.5) * width;
            (first..end).zip(held).map(|(bin, &count)| count as f64 * middle(bin).powi(power)).sum()
        };
        let chunks = held.chunks(together);
        let limit = |chunk: usize| (first + ((chunk + 1) * together).min(held.len())) as f64 * width;
        Histogram {
            proto: HistogramProto {
                min: first as f64 * width,
                max: end as f64 * width,
                num: moment(0),
                sum: moment(1),
                sum_squares: moment(2),
                bucket_limit: (0..chunks.len()).map(limit).collect(),
                bucket: chunks.map(|counts| counts.iter().sum::<u64>() as f64).collect(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_their_buckets() {
        let values = [0.0, 0.5, 1.0, 2.0, 3.5, 4.0, f64::NAN, f64::INFINITY];
        let HistogramProto { min, max, num, sum, sum_squares, bucket_limit, bucket } =
            Histogram::of(&values, 4).proto;
        assert_eq!((min, max, num, sum, sum_squares), (0.0, 4.0, 6.0, 11.0, 33.5));
        assert_eq!(bucket_limit, [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(bucket, [2.0, 1.0, 1.0, 2.0]);
        let equal = Histogram::of(&[0.7, 0.7], 9).proto;
        assert_eq!((equal.bucket_limit, equal.bucket), (vec![0.7], vec![2.0]));
        assert!(Histogram::of(&[f64::NAN], 3).proto.bucket.is_empty());
        let wide = Histogram::of(&[-f64::MAX, 0.0, f64::MAX], 3).proto;
        assert_eq!(wide.bucket, [1.0; 3]);
        assert!(wide.bucket_limit.is_sorted() && wide.bucket_limit.iter().all(|limit| limit.is_finite()));
    }

    #[test]
    fn counts_are_put_together() {
        let proto = Histogram::from_counts(0.5, &[0, 0, 3, 0, 1, 2, 4, 0], 3).proto;
        assert_eq!((proto.min, proto.max, proto.num), (1.0, 3.5, 10.0));
        assert_eq!((proto.bucket_limit, proto.bucket), (vec![2.0, 3.0, 3.5], vec![3.0, 3.0, 4.0]));
        assert_eq!(proto.sum, 3.0 * 1.25 + 2.25 + 2.0 * 2.75 + 4.0 * 3.25);
        assert!(Histogram::from_counts(0.5, &[0, 0], 3).proto.bucket.is_empty());
    }
}

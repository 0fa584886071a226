//! Downsampling for plots, by simple rules that a caption can state.

/// Smallest stride at which at most `most` of `n` points remain.
pub fn stride(n: usize, most: usize) -> usize {
    n.div_ceil(most.max(1)).max(1)
}

/// The first of `all` and then every `stride(n, most)`-th.
pub fn every<T: Copy>(all: &[T], most: usize) -> Vec<T> {
    all.iter().copied().step_by(stride(all.len(), most)).collect()
}

/// Centred running mean over `window` neighbouring values (made odd). Near the ends the window shrinks symmetrically.
pub fn running_mean(points: &[(f64, f64)], window: usize) -> Vec<(f64, f64)> {
    let half = window / 2;
    let mut sums = Vec::with_capacity(points.len() + 1);
    let mut sum = 0.0;
    sums.push(sum);
    sums.extend(points.iter().map(|&(_, y)| {
        sum += y;
        sum
    }));
    let mean = |(i, &(x, _)): (usize, &(f64, f64))| {
        let side = half.min(i).min(points.len() - 1 - i);
        (x, (sums[i + side + 1] - sums[i - side]) / (2 * side + 1) as f64)
    };
    points.iter().enumerate().map(mean).collect()
}

/// The smallest and the largest value of each of at most `most` intervals of equally many points, in the order in which
/// they occur: a line through them has the same extremes as a line through all points.
pub fn extremes(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    if points.len() <= 2 * most {
        return points.to_vec();
    }
    let interval = points.len().div_ceil(most.max(1));
    points
        .chunks(interval)
        .flat_map(|chunk| {
            let by = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
            let least = *chunk.iter().min_by(by).expect("chunks are not empty");
            let largest = *chunk.iter().max_by(by).expect("chunks are not empty");
            if least.0 <= largest.0 { [least, largest] } else { [largest, least] }
        })
        .collect()
}

/// As [`every`], with the last point too, so that a line ends where the data end.
pub fn every_and_last<T: Copy + PartialEq>(all: &[T], most: usize) -> Vec<T> {
    let mut kept = every(all, most);
    if let (Some(last), Some(kept_last)) = (all.last(), kept.last())
        && last != kept_last
    {
        kept.push(*last);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stride_keeps_no_more_than_allowed() {
        for n in [1, 2, 599, 600, 601, 1199, 50_000] {
            let all: Vec<usize> = (0..n).collect();
            let kept = every(&all, 600);
            assert!(kept.len() <= 600 && kept.len() * stride(n, 600) >= n, "{n}");
            assert_eq!(every_and_last(&all, 600).last(), Some(&(n - 1)));
        }
        assert!(every::<u8>(&[], 600).is_empty());
    }

    #[test]
    fn means_by_hand() {
        let points: Vec<(f64, f64)> =
            [1.0, 2.0, 6.0, 4.0].iter().enumerate().map(|(i, &y)| (i as f64, y)).collect();
        let means: Vec<f64> = running_mean(&points, 3).iter().map(|p| p.1).collect();
        assert_eq!(means, [1.0, 3.0, 4.0, 4.0]);
        assert_eq!(running_mean(&points, 1), points);
        assert!(running_mean(&[], 5).is_empty());
        let flat = vec![(0.0, 0.1); 1000];
        assert!(running_mean(&flat, 101).iter().all(|p| (p.1 - 0.1).abs() < 1e-12));
    }

    #[test]
    fn extremes_keep_every_spike() {
        let mut points: Vec<(f64, f64)> = (0..5000).map(|i| (f64::from(i), 0.0)).collect();
        points[777].1 = 9.0;
        points[4999].1 = -3.0;
        let kept = extremes(&points, 100);
        assert!(kept.len() <= 200);
        assert!(kept.contains(&(777.0, 9.0)) && kept.contains(&(4999.0, -3.0)));
        assert!(kept.is_sorted_by(|a, b| a.0 <= b.0));
    }
}

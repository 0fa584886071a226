//! Pooling of tracklets: the mean of the features of a tracklet's frames.

use std::ops::Range;

/// The means of the features of tracklets, whose frames come in order.
pub(super) struct TrackletPool<'a> {
    tracklets: &'a [Range<usize>],
    /// The tracklet of `sum`.
    next: usize,
    sum: Vec<f64>,
    frames: usize,
    /// The means so far.
    pub means: Vec<f32>,
    /// First readable frame of each tracklet with a mean.
    pub kept: Vec<usize>,
}

impl<'a> TrackletPool<'a> {
    pub fn new(tracklets: &'a [Range<usize>], dim: usize) -> Self {
        TrackletPool {
            tracklets,
            next: 0,
            sum: vec![0.0; dim],
            frames: 0,
            means: Vec::new(),
            kept: Vec::new(),
        }
    }

    pub fn add(&mut self, image: usize, row: &[f32]) {
        while image >= self.tracklets[self.next].end {
            self.finish();
        }
        if self.frames == 0 {
            self.kept.push(image);
        }
        self.frames += 1;
        self.sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
    }

    /// Ends the current tracklet.
    pub fn finish(&mut self) {
        if self.frames > 0 {
            self.means.extend(self.sum.iter().map(|sum| (sum / self.frames as f64) as f32));
        }
        (self.next, self.frames) = (self.next + 1, 0);
        self.sum.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracklet_is_the_mean_of_its_readable_frames() {
        let tracklets = [0..2, 2..3, 3..4, 4..6];
        let mut pool = TrackletPool::new(&tracklets, 2);
        // Frames 2 and 4 cannot be read.
        for (image, row) in [(0, [1.0, 0.0]), (1, [0.0, 1.0]), (3, [0.5, 0.25]), (5, [0.0, 2.0])] {
            pool.add(image, &row);
        }
        pool.finish();
        assert_eq!((pool.means, pool.kept), (vec![0.5, 0.5, 0.5, 0.25, 0.0, 2.0], vec![0, 3, 5]));
    }
}

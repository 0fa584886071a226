//! Activation maps: where the last feature map of the network, in front of pool5, responds to an image.
//!
//! - Strength: the sum of the squared channels at each position (Zagoruyko and Komodakis 2017). It shows what the
//!   feature is made of.
//! - Similarity of a pair: Grad-CAM (Selvaraju et al. 2017) of the negative squared distance to another feature. It
//!   shows what brings the image near that feature.
//!
//! pool5 is the mean of the map, so the gradient of Grad-CAM has a closed form. For a map A [P, C], its mean g and the
//! feature f = g / |g|, the squared distance to a unit vector u is 2 - 2 f·u, and the gradient of f·u with respect to g
//! is (u - (f·u) f) / |g|. Every position has the same gradient, 1/P of it, so the map is max(0, sum_c (u - (f·u) f)_c
//! A_pc) up to a factor. Without the maximum, its sum is 0.

use crate::{Error, Result};

/// The last feature map of an image, in front of pool5.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureMap {
    height: usize,
    width: usize,
    /// `[height, width, channels]`.
    values: Vec<f32>,
}

/// A value for each position of a feature map, 0 or more.
#[derive(Clone, Debug, PartialEq)]
pub struct Heat {
    /// Number of rows.
    pub height: usize,
    /// Number of columns.
    pub width: usize,
    /// Rows one after the other.
    pub values: Vec<f32>,
}

impl FeatureMap {
    /// A map `[height, width, channels]`.
    ///
    /// # Errors
    /// [`Error::Data`] if there is no position or no channel, or if the values do not fill the map.
    pub fn new(height: usize, width: usize, values: Vec<f32>) -> Result<Self> {
        let positions = height * width;
        if positions == 0 || values.is_empty() || !values.len().is_multiple_of(positions) {
            return Err(Error::Data(format!(
                "a feature map of {height} x {width} positions cannot have {} values",
                values.len()
            )));
        }
        Ok(FeatureMap { height, width, values })
    }

    fn channels(&self) -> usize {
        self.values.len() / (self.height * self.width)
    }

    fn heat(&self, value: impl Fn(&[f32]) -> f64) -> Heat {
        let values =
            self.values.chunks_exact(self.channels()).map(|position| value(position) as f32).collect();
        Heat { height: self.height, width: self.width, values }
    }

    /// The mean over all positions, divided by its length: the feature of the image.
    pub fn feature(&self) -> Vec<f64> {
        let mut mean = vec![0.0f64; self.channels()];
        for position in self.values.chunks_exact(mean.len()) {
            mean.iter_mut().zip(position).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        let length = mean.iter().map(|v| v * v).sum::<f64>().sqrt();
        if length > 0.0 {
            mean.iter_mut().for_each(|value| *value /= length);
        }
        mean
    }

    /// The sum of the squared channels at each position.
    pub fn strength(&self) -> Heat {
        self.heat(|position| position.iter().map(|v| f64::from(*v) * f64::from(*v)).sum())
    }

    /// Grad-CAM of the negative squared distance to the feature `other` of unit length.
    ///
    /// # Errors
    /// [`Error::Data`] if `other` has another number of values than the map has channels.
    pub fn similarity(&self, other: &[f32]) -> Result<Heat> {
        let feature = self.feature();
        if other.len() != feature.len() {
            return Err(Error::Data(format!(
                "a feature of {} values cannot be compared with a map of {} channels",
                other.len(),
                feature.len()
            )));
        }
        let cosine: f64 = feature.iter().zip(other).map(|(f, u)| f * f64::from(*u)).sum();
        let weights: Vec<f64> = feature.iter().zip(other).map(|(f, u)| f64::from(*u) - cosine * f).collect();
        Ok(self.heat(|position| {
            position.iter().zip(&weights).map(|(a, w)| f64::from(*a) * w).sum::<f64>().max(0.0)
        }))
    }
}

impl Heat {
    /// The bilinear value at a place, in shares of the width and the height from 0 to 1.
    pub fn at(&self, x: f32, y: f32) -> f32 {
        let between = |share: f32, cells: usize| {
            let place = (share * cells as f32 - 0.5).clamp(0.0, (cells - 1) as f32);
            let low = place as usize;
            (low, (low + 1).min(cells - 1), place - low as f32)
        };
        let (left, right, dx) = between(x, self.width);
        let (top, bottom, dy) = between(y, self.height);
        let value = |row: usize, column: usize| self.values[row * self.width + column];
        let across = |row: usize| value(row, left) * (1.0 - dx) + value(row, right) * dx;
        across(top) * (1.0 - dy) + across(bottom) * dy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::philox::{Philox, RngStream};

    fn map(seed: u64) -> FeatureMap {
        let draw = Philox::new(seed, 0, 0, RngStream::Test);
        FeatureMap::new(3, 2, (0..3 * 2 * 5).map(|i| draw.uniform(i)).collect()).unwrap()
    }

    #[test]
    fn strength_is_the_sum_of_squares() {
        let map = FeatureMap::new(1, 2, vec![1.0, 2.0, 0.0, 3.0, 0.0, 4.0]).unwrap();
        assert_eq!(map.strength().values, [5.0, 25.0]);
        assert!(FeatureMap::new(2, 2, vec![0.0; 6]).is_err() && FeatureMap::new(0, 2, vec![]).is_err());
    }

    /// The gradient of -|f(A) - u|^2 by finite differences, averaged over positions, as Grad-CAM's definition says.
    #[test]
    fn similarity_is_grad_cam_of_the_squared_distance() {
        let (map, other) = (map(1), map(2));
        let u: Vec<f32> = other.feature().iter().map(|v| *v as f32).collect();
        let score = |map: &FeatureMap| -> f64 {
            -map.feature().iter().zip(&u).map(|(f, u)| (f - f64::from(*u)).powi(2)).sum::<f64>()
        };
        let (positions, channels) = (6, 5);
        let step = 1e-2;
        let gradient = |at: usize| {
            let moved = |by: f32| {
                let mut other = map.clone();
                other.values[at] += by;
                score(&other)
            };
            (moved(step) - moved(-step)) / f64::from(2.0 * step)
        };
        let weight =
            |c: usize| (0..positions).map(|p| gradient(p * channels + c)).sum::<f64>() / positions as f64;
        let weights: Vec<f64> = (0..channels).map(weight).collect();
        let cam: Vec<f64> = map
            .values
            .chunks_exact(channels)
            .map(|a| a.iter().zip(&weights).map(|(a, w)| f64::from(*a) * w).sum::<f64>())
            .collect();
        assert!(cam.iter().any(|v| *v > 0.0) && cam.iter().sum::<f64>().abs() < 1e-5);
        let own = map.similarity(&u).unwrap().values;
        let (largest, of_own) =
            (cam.iter().copied().fold(0.0, f64::max), own.iter().copied().fold(0.0, f32::max));
        for (own, expected) in own.iter().zip(&cam) {
            let (own, expected) = (f64::from(own / of_own), expected.max(0.0) / largest);
            assert!((own - expected).abs() < 1e-3, "{own} and {expected}");
        }
        assert!(map.similarity(&u[1..]).is_err());
    }

    #[test]
    fn heat_is_interpolated_between_the_centres_of_its_cells() {
        let heat = Heat { height: 2, width: 2, values: vec![0.0, 1.0, 2.0, 3.0] };
        for (x, y, value) in
            [(0.0, 0.0, 0.0), (0.25, 0.25, 0.0), (0.5, 0.5, 1.5), (1.0, 1.0, 3.0), (0.5, 0.0, 0.5)]
        {
            assert_eq!(heat.at(x, y), value, "{x} {y}");
        }
    }
}

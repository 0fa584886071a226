//! Activation maps: where the last feature map of the network, in front of pool5, responds to an image.
//!
//! - Strength: the sum of the squared channels at each position (Zagoruyko and Komodakis 2017). It shows what the
//!   feature is made of.
//! - Similarity of a pair: Grad-CAM (Selvaraju et al. 2017) of the negative squared distance to another feature. It
//!   shows what brings the image near that feature.
//!
//! pool5 is the mean of the map, so the gradient of Grad-CAM has a closed form. For a map A [P, C], its mean g and the
//! feature f = g / |g|, the squared distance to a unit vector u is 2 - 2 f·u, and the gradient of f·u with respect to g
//! is (u - (f·u) f) / |g|. Every position has the same gradient, 1/P of it, so the map is
//! max(0, sum_c w_c A_pc) with w = 2 (u - (f·u) f) / (P |g|). Without the maximum, its sum is 0. A map behind a ReLU
//! has values of at most 2, the largest squared distance of such features.
//!
//! An embedding and a neck between pool5 and the feature ([`crate::model::projection`]) are affine piece by piece. So
//! the affine piece at g takes the place of the identity: with its matrix J, and v = J^T w for the w above, the map is
//! max(0, sum_c v_c (A_pc - g_c)). Its sum without the maximum is again 0. With generalised-mean pooling the shares of
//! the positions in g, A_pc^p g_c^(1-p), take the place of A_pc: like the values of a mean, their mean is g. The
//! strength is that of A itself.

use crate::model::projection::Projection;
use crate::{Error, Result};
use std::sync::Arc;

/// Distance of two features that is rounding: images nearer than this have no map of their similarity.
const ROUNDING: f64 = 1e-5;

/// The last feature map of an image, in front of pool5.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureMap {
    height: usize,
    width: usize,
    /// `[height, width, channels]`.
    values: Vec<f32>,
    /// The layers between pool5 and the feature.
    behind: Option<Arc<Projection>>,
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
    /// A map `[height, width, channels]`, with the layers between pool5 and the feature.
    ///
    /// # Errors
    /// [`Error::Data`] if there is no position or no channel, if the values do not fill the map or do not fit these
    /// layers, or for a value that is not finite.
    pub fn new(
        height: usize,
        width: usize,
        values: Vec<f32>,
        behind: Option<Arc<Projection>>,
    ) -> Result<Self> {
        let positions = height * width;
        if positions == 0 || values.is_empty() || !values.len().is_multiple_of(positions) {
            return Err(Error::Data(format!(
                "a feature map of {height} x {width} positions cannot have {} values",
                values.len()
            )));
        }
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(Error::Data(format!(
                "the network's last feature map holds {value}: it overflows on this image; check the weights and \
                 their input convention (bcreid doctor --weights F)"
            )));
        }
        let map = FeatureMap { height, width, values, behind };
        match map.behind.as_ref().and_then(|behind| behind.inputs()) {
            Some(inputs) if inputs != map.channels() => Err(Error::Data(format!(
                "an embedding or neck of {inputs} channels does not fit a feature map of {}",
                map.channels()
            ))),
            _ => Ok(map),
        }
    }

    fn channels(&self) -> usize {
        self.values.len() / (self.height * self.width)
    }

    fn heat(&self, value: impl Fn(&[f32]) -> f64) -> Heat {
        let values =
            self.values.chunks_exact(self.channels()).map(|position| finite(value(position))).collect();
        Heat { height: self.height, width: self.width, values }
    }

    /// The mean over all positions, behind embedding and neck, divided by its length: the feature of the image.
    pub fn feature(&self) -> Vec<f64> {
        let (mut feature, length) = self.embedded(&self.pooled());
        if length > 0.0 {
            feature.iter_mut().for_each(|value| *value /= length);
        }
        feature
    }

    /// The pooled feature: the mean over all positions, or the pooling of the layers behind.
    fn pooled(&self) -> Vec<f64> {
        let mean = || Projection::new(None, Vec::new(), None).pool(&self.values, self.channels());
        self.behind.as_ref().map_or_else(mean, |behind| behind.pool(&self.values, self.channels()))
    }

    /// The feature before it is divided by its length, and the length.
    fn embedded(&self, pooled: &[f64]) -> (Vec<f64>, f64) {
        let feature = self.behind.as_ref().map_or_else(|| pooled.to_vec(), |behind| behind.apply(pooled));
        let length = feature.iter().map(|v| v * v).sum::<f64>().sqrt();
        (feature, length)
    }

    /// The sum of the squared channels at each position.
    pub fn strength(&self) -> Heat {
        self.heat(|position| position.iter().map(|v| f64::from(*v) * f64::from(*v)).sum())
    }

    /// Grad-CAM of the negative squared distance to the feature `other` of unit length, in units of the squared
    /// distance. All values are 0 for an image whose feature is `other`, up to rounding (a distance below 1e-5), and
    /// for a feature map of zeros: neither has a direction in which the distance falls.
    ///
    /// # Errors
    /// [`Error::Data`] if `other` has another number of values than the feature of this map.
    pub fn similarity(&self, other: &[f32]) -> Result<Heat> {
        let pooled = self.pooled();
        let (mut weights, length) = self.embedded(&pooled);
        if other.len() != weights.len() {
            return Err(Error::Data(format!(
                "a feature of {} values cannot be compared with a map whose feature has {}",
                other.len(),
                weights.len()
            )));
        }
        if length > 0.0 {
            weights.iter_mut().for_each(|value| *value /= length);
        }
        let cosine: f64 = weights.iter().zip(other).map(|(f, u)| f * f64::from(*u)).sum();
        let of_length = 2.0 / ((self.height * self.width) as f64 * length);
        for (weight, u) in weights.iter_mut().zip(other) {
            *weight = f64::from(*u) - cosine * *weight;
        }
        // The part of `other` across the feature: near 0 it is the distance.
        let across = weights.iter().map(|w| w * w).sum::<f64>().sqrt();
        let scale = if across < ROUNDING || length == 0.0 { 0.0 } else { of_length };
        let Some(behind) = &self.behind else {
            // The weights are orthogonal to the mean.
            return Ok(self.heat(|position| {
                let sum: f64 = position.iter().zip(&weights).map(|(a, w)| f64::from(*a) * w).sum();
                scale * sum.max(0.0)
            }));
        };
        let weights = behind.pull_back(&pooled, &weights);
        Ok(self.heat(|position| {
            let channels = position.iter().zip(&pooled).zip(&weights);
            let sum: f64 = channels.map(|((a, g), w)| (behind.share(*a, *g) - g) * w).sum();
            scale * sum.max(0.0)
        }))
    }
}

/// Distance of two images, and Grad-CAM of the distance for both.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Euclidean distance of the features, from 0 to 2.
    pub distance: f64,
    /// Grad-CAM of the distance for each image, see [`FeatureMap::similarity`].
    pub similarity: [Heat; 2],
}

impl Pair {
    /// Compares two images by their feature maps.
    ///
    /// # Errors
    /// [`Error::Data`] if the maps have different numbers of channels.
    pub fn of(first: &FeatureMap, second: &FeatureMap) -> Result<Self> {
        let features = [first, second].map(FeatureMap::feature);
        let [a, b] = features.each_ref().map(|f| f.iter().map(|v| *v as f32).collect::<Vec<f32>>());
        let similarity = [first.similarity(&b)?, second.similarity(&a)?];
        let squared: f64 = features[0].iter().zip(&features[1]).map(|(a, b)| (a - b) * (a - b)).sum();
        Ok(Pair { distance: squared.sqrt(), similarity })
    }
}

/// The nearest finite f32: squares of large values overflow it.
fn finite(value: f64) -> f32 {
    value.min(f64::from(f32::MAX)) as f32
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
    use crate::model::embedding::Dense;
    use crate::tensor::philox::{Philox, RngStream};

    fn map(seed: u64) -> FeatureMap {
        let draw = Philox::new(seed, 0, 0, RngStream::Test);
        FeatureMap::new(3, 2, (0..3 * 2 * 5).map(|i| draw.uniform(i)).collect(), None).unwrap()
    }

    #[test]
    fn strength_is_the_sum_of_squares() {
        let map = FeatureMap::new(1, 2, vec![1.0, 2.0, 0.0, 3.0, 0.0, 4.0], None).unwrap();
        assert_eq!(map.strength().values, [5.0, 25.0]);
        assert!(
            FeatureMap::new(2, 2, vec![0.0; 6], None).is_err()
                && FeatureMap::new(0, 2, vec![], None).is_err()
        );
        let huge = FeatureMap::new(1, 1, vec![f32::MAX; 4], None).unwrap();
        assert_eq!(huge.strength().values, [f32::MAX]);
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = FeatureMap::new(1, 2, vec![1.0, value], None).unwrap_err().to_string();
            assert!(error.contains("overflows on this image"), "{error}");
        }
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
        for (own, expected) in own.iter().zip(&cam) {
            assert!((f64::from(*own) - expected.max(0.0)).abs() < 1e-5, "{own} and {expected}");
        }
        let pair = Pair::of(&map, &other).unwrap();
        assert_eq!(pair.similarity[0].values, own);
        assert!((pair.distance * pair.distance + score(&map)).abs() < 1e-6, "{}", pair.distance);
        let swapped = Pair::of(&other, &map).unwrap();
        assert_eq!((swapped.distance, &swapped.similarity[1]), (pair.distance, &pair.similarity[0]));
        assert!(map.similarity(&u[1..]).is_err());
    }

    /// A neck is affine, so it may as well be applied to the map.
    #[test]
    fn a_neck_belongs_to_the_feature_and_not_to_the_strength() {
        let neck: Vec<(f64, f64)> =
            (0..5).map(|c| (0.5 + f64::from(c), 0.25 - 0.125 * f64::from(c))).collect();
        let plain = map(1);
        let projection =
            |neck: &[(f64, f64)]| Arc::new(Projection::new(None, Vec::new(), Some(neck.to_vec())));
        let with = FeatureMap::new(3, 2, plain.values.clone(), Some(projection(&neck))).unwrap();
        let behind = plain.values.iter().enumerate().map(|(i, v)| {
            let (factor, shift) = neck[i % 5];
            (factor * f64::from(*v) + shift) as f32
        });
        let behind = FeatureMap::new(3, 2, behind.collect(), None).unwrap();
        assert_eq!(with.strength(), plain.strength());
        let other: Vec<f32> = map(2).feature().iter().map(|v| *v as f32).collect();
        let (own, expected) = (with.similarity(&other).unwrap(), behind.similarity(&other).unwrap());
        assert!(expected.values.iter().any(|v| *v > 0.01));
        for (own, expected) in own.values.iter().zip(&expected.values) {
            assert!((own - expected).abs() < 1e-6, "{own} and {expected}");
        }
        assert!(FeatureMap::new(3, 2, plain.values, Some(projection(&neck[1..]))).is_err());
    }

    /// An exponent of 1 is the mean, and a larger one favours the largest values.
    #[test]
    fn a_generalised_mean_belongs_to_the_feature() {
        let plain = map(1);
        let with = |p: f64| {
            let behind = Arc::new(Projection::new(Some(p), Vec::new(), None));
            FeatureMap::new(3, 2, plain.values.clone(), Some(behind)).unwrap()
        };
        let other: Vec<f32> = map(2).feature().iter().map(|v| *v as f32).collect();
        let (one, expected) = (with(1.0).similarity(&other).unwrap(), plain.similarity(&other).unwrap());
        for (own, expected) in one.values.iter().zip(&expected.values) {
            assert!((own - expected).abs() < 1e-6, "{own} and {expected}");
        }
        let largest = (0..5).map(|c| plain.values.iter().skip(c).step_by(5).fold(0.0f32, |a, b| a.max(*b)));
        for ((pooled, mean), largest) in with(200.0).pooled().iter().zip(plain.pooled()).zip(largest) {
            assert!(
                *pooled > mean && (pooled / f64::from(largest) - 1.0).abs() < 0.02,
                "{pooled} and {largest}"
            );
        }
        // Before the maximum with 0 the map of a generalised mean has the sum 0 too.
        let three = with(3.0);
        let heats = [&other[..], &other.iter().map(|u| -u).collect::<Vec<f32>>()]
            .map(|u| three.similarity(u).unwrap().values.iter().map(|v| f64::from(*v)).sum::<f64>());
        assert!(heats[0] > 0.01 && (heats[0] - heats[1]).abs() < 1e-5, "{heats:?}");
    }

    /// A linear embedding of a map is the map of the embedded positions, up to the shift, which has no place in it.
    #[test]
    fn an_embedding_belongs_to_the_feature() {
        let draw = Philox::new(9, 0, 0, RngStream::Test);
        let weight: Vec<f32> = (0..3 * 5).map(|i| 2.0 * draw.uniform(i) - 1.0).collect();
        let bias = vec![0.5, -0.25, 0.125];
        let plain = map(1);
        let behind = |relu: bool| {
            let layer = Dense { name: "layer".into(), weight: weight.clone(), bias: bias.clone(), relu };
            Some(Arc::new(Projection::new(None, vec![layer], None)))
        };
        let with = FeatureMap::new(3, 2, plain.values.clone(), behind(false)).unwrap();
        let embedded = plain.values.chunks_exact(5).flat_map(|position| {
            let row = |k: usize| weight[k * 5..][..5].iter().zip(position).map(|(w, a)| w * a).sum::<f32>();
            [0, 1, 2].map(|k| row(k) + bias[k])
        });
        let expected = FeatureMap::new(3, 2, embedded.collect(), None).unwrap();
        let other = [0.6, 0.0, -0.8];
        let (own, expected) = (with.similarity(&other).unwrap(), expected.similarity(&other).unwrap());
        assert!(expected.values.iter().any(|v| *v > 0.01));
        for (own, expected) in own.values.iter().zip(&expected.values) {
            assert!((own - expected).abs() < 1e-5, "{own} and {expected}");
        }
        assert_eq!(with.feature().len(), 3);
        assert!(with.similarity(&[1.0; 5]).unwrap_err().to_string().contains("feature has 3"));
        // A ReLU at the end leaves out the values that it cuts.
        let cut = FeatureMap::new(3, 2, plain.values.clone(), behind(true)).unwrap().feature();
        assert!(
            cut.contains(&0.0)
                && with.feature().iter().zip(&cut).all(|(own, cut)| (*cut > 0.0) == (*own > 0.0))
        );
    }

    /// Rounding has a direction too; drawn with its own scale it would look like a finding.
    #[test]
    fn equal_features_and_empty_maps_have_no_similarity() {
        let (map, empty) = (map(3), FeatureMap::new(3, 2, vec![0.0; 30], None).unwrap());
        let twice = FeatureMap::new(3, 2, map.values.iter().map(|v| v * 3.0).collect(), None).unwrap();
        for other in [&map, &twice] {
            let pair = Pair::of(&map, other).unwrap();
            assert!(pair.distance < 1e-6 && pair.similarity.iter().all(|heat| heat.values == [0.0; 6]));
        }
        let pair = Pair::of(&map, &empty).unwrap();
        assert_eq!((pair.distance, &pair.similarity[1].values[..]), (1.0, &[0.0; 6][..]));
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

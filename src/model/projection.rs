//! The layers between the last feature map and the feature of evaluation, on the host in f64: pooling, embedding and
//! neck with their running statistics. Activation maps need their derivative.

use super::embedding::Dense;
use crate::ops::gem::EPS;

/// Pooling, embedding and neck of a trained network. Behind the pooling it is affine piece by piece.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// The exponent of a generalised mean; `None` for the mean.
    exponent: Option<f64>,
    layers: Vec<Dense>,
    /// Factor and shift of each channel.
    neck: Option<Vec<(f64, f64)>>,
}

impl Projection {
    /// The exponent of a generalised mean, the layers of an embedding, none without one, and the neck as factor and
    /// shift of each channel.
    pub fn new(exponent: Option<f64>, layers: Vec<Dense>, neck: Option<Vec<(f64, f64)>>) -> Self {
        Projection { exponent, layers, neck }
    }

    /// Pools a map `[positions, channels]`.
    pub fn pool(&self, map: &[f32], channels: usize) -> Vec<f64> {
        let positions = (map.len() / channels) as f64;
        let mut pooled = vec![0.0f64; channels];
        let Some(p) = self.exponent else {
            for position in map.chunks_exact(channels) {
                pooled.iter_mut().zip(position).for_each(|(sum, value)| *sum += f64::from(*value));
            }
            pooled.iter_mut().for_each(|sum| *sum /= positions);
            return pooled;
        };
        for position in map.chunks_exact(channels) {
            pooled.iter_mut().zip(position).for_each(|(sum, value)| *sum += raised(*value).powf(p));
        }
        pooled.iter_mut().for_each(|sum| *sum = (*sum / positions).powf(1.0 / p));
        pooled
    }

    /// The share of a value in the pooled value of its channel, times the number of positions: the value itself for the
    /// mean, and x^p y^(1-p) for a generalised mean y. The mean of the shares over all positions is y.
    pub fn share(&self, value: f32, pooled: f64) -> f64 {
        match self.exponent {
            None => f64::from(value),
            Some(p) => pooled * (raised(value) / pooled).powf(p),
        }
    }

    /// Number of values of a pooled feature; `None` if there is no layer behind it.
    pub fn inputs(&self) -> Option<usize> {
        match self.layers.first() {
            Some(first) => Some(first.weight.len() / first.bias.len()),
            None => self.neck.as_ref().map(Vec::len),
        }
    }

    /// The feature of a pooled feature of [`Projection::inputs`] values.
    pub fn apply(&self, pooled: &[f64]) -> Vec<f64> {
        let mut x = self.outputs(pooled).pop().unwrap_or_else(|| pooled.to_vec());
        if let Some(neck) = &self.neck {
            x.iter_mut().zip(neck).for_each(|(x, (factor, shift))| *x = factor * *x + shift);
        }
        x
    }

    /// The gradient with respect to the pooled feature `pooled`, from the gradient with respect to its feature.
    pub fn pull_back(&self, pooled: &[f64], gradient: &[f64]) -> Vec<f64> {
        let mut gradient = gradient.to_vec();
        if let Some(neck) = &self.neck {
            gradient.iter_mut().zip(neck).for_each(|(g, (factor, _))| *g *= factor);
        }
        for (layer, output) in self.layers.iter().zip(self.outputs(pooled)).rev() {
            if layer.relu {
                let off = gradient.iter_mut().zip(&output).filter(|(_, y)| **y <= 0.0);
                off.for_each(|(g, _)| *g = 0.0);
            }
            let inputs = layer.weight.len() / layer.bias.len();
            let mut before = vec![0.0; inputs];
            for (row, g) in layer.weight.chunks_exact(inputs).zip(&gradient) {
                before.iter_mut().zip(row).for_each(|(sum, w)| *sum += g * f64::from(*w));
            }
            gradient = before;
        }
        gradient
    }

    /// The output of each layer of the embedding.
    fn outputs(&self, pooled: &[f64]) -> Vec<Vec<f64>> {
        let mut outputs: Vec<Vec<f64>> = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let x = outputs.last().map_or(pooled, Vec::as_slice);
            let rows = layer.weight.chunks_exact(x.len()).zip(&layer.bias);
            let values = rows.map(|(row, bias)| {
                let sum: f64 = row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum();
                let y = sum + f64::from(*bias);
                if layer.relu { y.max(0.0) } else { y }
            });
            outputs.push(values.collect());
        }
        outputs
    }
}

/// The value that a generalised mean takes.
fn raised(value: f32) -> f64 {
    f64::from(value.max(EPS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::philox::{Philox, RngStream};

    /// 5 values to 4 with a ReLU, to 3, and a neck.
    fn projection(draw: &Philox) -> Projection {
        let noise = |from: u32, n: u32| (from..from + n).map(|i| 2.0 * draw.uniform(i) - 1.0).collect();
        let layer = |name: &str, (weight, bias): (Vec<f32>, Vec<f32>), relu: bool| Dense {
            name: name.into(),
            weight,
            bias,
            relu,
        };
        let neck = (0..3).map(|c| (0.5 + f64::from(c), 0.25 - f64::from(c))).collect();
        let layers = vec![
            layer("first", (noise(0, 20), noise(20, 4)), true),
            layer("second", (noise(24, 12), noise(36, 3)), false),
        ];
        Projection::new(None, layers, Some(neck))
    }

    /// x dy/dx of each position, by finite differences: they add up to y, as y grows in proportion to all x.
    #[test]
    fn the_shares_of_a_generalised_mean_are_those_of_its_derivative() {
        let draw = Philox::new(4, 0, 0, RngStream::Test);
        let map: Vec<f32> = (0..6 * 2).map(|i| 0.25 + draw.uniform(i)).collect();
        let projection = Projection::new(Some(2.5), Vec::new(), None);
        let pooled = projection.pool(&map, 2);
        for (at, &value) in map.iter().enumerate() {
            let moved = |by: f32| {
                let mut moved = map.clone();
                moved[at] += by;
                (f64::from(moved[at]), projection.pool(&moved, 2)[at % 2])
            };
            let ((x1, y1), (x0, y0)) = (moved(1e-2), moved(-1e-2));
            let share = 6.0 * f64::from(value) * (y1 - y0) / (x1 - x0);
            let own = projection.share(value, pooled[at % 2]);
            assert!((own - share).abs() < 1e-3, "{at}: {own} and {share}");
        }
        for (c, pooled) in pooled.iter().enumerate() {
            let shares = map.iter().skip(c).step_by(2).map(|value| projection.share(*value, *pooled));
            assert!((shares.sum::<f64>() / 6.0 - pooled).abs() < 1e-12);
        }
    }

    #[test]
    fn the_pulled_back_gradient_is_that_of_finite_differences() {
        let draw = Philox::new(3, 0, 0, RngStream::Test);
        let projection = projection(&draw);
        assert_eq!(projection.inputs(), Some(5));
        let pooled: Vec<f64> = (50..55).map(|i| f64::from(draw.uniform(i))).collect();
        let weights = [0.75, -1.0, 0.5];
        let score = |pooled: &[f64]| -> f64 {
            projection.apply(pooled).iter().zip(weights).map(|(value, weight)| value * weight).sum()
        };
        let gradient = projection.pull_back(&pooled, &weights);
        assert!(projection.outputs(&pooled)[0].contains(&0.0), "the ReLU cuts no value");
        assert!(gradient.iter().any(|g| g.abs() > 0.1));
        for (at, gradient) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut moved = pooled.clone();
                moved[at] += by;
                score(&moved)
            };
            let numeric = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!((gradient - numeric).abs() < 1e-7, "{at}: {gradient} and {numeric}");
        }
    }
}

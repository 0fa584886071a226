//! Conversion of a BatchNorm layer's statistics to the engine's epsilon, [`EPS`].
//!
//! Caffe divides by sqrt(var + eps). Where var + eps is EPS or more, the engine's variance is var + eps - EPS, which
//! gives the same. Where it is less, the variance would be negative: there it is set to 0 and gamma is scaled,
//!
//! gamma (x - mean) / sqrt(var + eps) = gamma sqrt(EPS / (var + eps)) (x - mean) / sqrt(0 + EPS).
//!
//! Both are exact where the running statistics are used, which is at test and with frozen statistics in training. The
//! statistics of a batch have no share of the difference.

use super::blob::Blob;
use super::net::Layer;
use super::wire::Fault;
use bcreid::ops::batchnorm::EPS;

/// Largest accepted number of channels; a ResNet-152 has 2048.
const MAX_CHANNELS: usize = 1 << 16;

/// Mean and variance of each channel; values are not read yet.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// Name of the layer, for messages.
    title: String,
    mean: Blob,
    var: Blob,
    /// Number of channels.
    pub channels: usize,
    /// Inverse of the factor of both blobs.
    inverse: f64,
    eps: f64,
}

impl Statistics {
    /// Checks the statistics of a layer; adds notes about unusual settings.
    ///
    /// # Errors
    /// Blobs of another number or shape; an invalid factor or epsilon; a layer that takes the
    /// statistics of the batch at test; a variance and an epsilon of 0.
    pub fn of(layer: &Layer, notes: &mut Vec<String>) -> Result<Self, Fault> {
        let title = layer.title();
        let [mean, var, factor] = &layer.blobs[..] else {
            let found = layer.blobs.len();
            return Err(format!(
                "{title} has {found} blobs; Caffe's BatchNorm has mean, variance and factor"
            ));
        };
        let length = |blob: &Blob, what| {
            let shape = &blob.shape;
            blob.vector()
                .ok_or_else(|| format!("{title} has a {what} of shape {shape:?}; a vector is needed"))
        };
        let (channels, variances) = (length(mean, "mean")?, length(var, "variance")?);
        if channels > MAX_CHANNELS {
            return Err(format!("{title} has {channels} means; known networks have at most {MAX_CHANNELS}"));
        }
        if channels != variances {
            return Err(format!("{title} has {channels} means and {variances} variances"));
        }
        if layer.use_global_stats == Some(false) && !layer.was_in_training {
            return Err(format!(
                "{title} takes the statistics of the batch in phase TEST as well (use_global_stats: false), where the \
                 engine's network takes the running ones; if it was used with the running ones, give a prototxt \
                 (--prototxt) without that setting"
            ));
        }
        let inverse = inverse(&title, factor, notes)?;
        let eps = layer.eps.unwrap_or(EPS);
        if !(eps.is_finite() && eps >= 0.0) {
            return Err(format!("{title} has epsilon {eps}; a number of 0 or more is needed"));
        }
        let (mean, var) = (mean.clone(), var.clone());
        let statistics = Statistics { title, mean, var, channels, inverse, eps: eps.into() };
        if eps != EPS {
            notes.push(statistics.note()?);
        }
        Ok(statistics)
    }

    /// Note on the effect of the file's epsilon on the engine's tensors.
    fn note(&self) -> Result<String, Fault> {
        let Statistics { title, channels, eps, .. } = self;
        let sums: Vec<f64> = self.file_variances()?.into_iter().map(|var| var + eps).collect();
        if let Some(at) = sums.iter().position(|&sum| sum == 0.0) {
            return Err(format!("{title} has epsilon 0 and variance 0 at [{at}], and divides by 0 there"));
        }
        let small = sums.iter().filter(|&&sum| sum < f64::from(EPS)).count();
        let gamma = match small {
            0 => String::new(),
            _ => format!(", and in {small} of {channels} channels gamma, because a variance below 0 is none"),
        };
        Ok(format!(
            "{title} has epsilon {:e}; the variances carry the difference to {EPS:e}{gamma} (exact with running or \
             frozen statistics)",
            *eps as f32
        ))
    }

    /// The engine's running means, minus the `bias` of the convolution before.
    pub fn means(&self, bias: Option<&Blob>) -> Result<Vec<f32>, Fault> {
        let bias = bias.map_or_else(|| Ok(vec![0.0; self.channels]), Blob::values)?;
        let means = self.mean.values()?.into_iter().zip(bias);
        // In double precision: the difference of two large numbers may be small.
        Ok(means.map(|(mean, bias)| (f64::from(mean) * self.inverse - f64::from(bias)) as f32).collect())
    }

    /// The engine's running variances.
    pub fn variances(&self) -> Result<Vec<f32>, Fault> {
        let surplus = self.eps - f64::from(EPS);
        Ok(self.file_variances()?.into_iter().map(|var| (var + surplus).max(0.0) as f32).collect())
    }

    /// True if gamma must be multiplied with [`Self::gains`].
    pub fn has_gains(&self) -> bool {
        self.eps < f64::from(EPS)
    }

    /// Ratio of the engine's gamma to the file's; 1 where the variance absorbs the difference.
    pub fn gains(&self) -> Result<Vec<f64>, Fault> {
        let eps = f64::from(EPS);
        let gain = |var: f64| if var + self.eps < eps { (eps / (var + self.eps)).sqrt() } else { 1.0 };
        Ok(self.file_variances()?.into_iter().map(gain).collect())
    }

    /// Variances of the file.
    fn file_variances(&self) -> Result<Vec<f64>, Fault> {
        let values: Vec<f64> =
            self.var.values()?.into_iter().map(|var| f64::from(var) * self.inverse).collect();
        match values.iter().position(|var| !(var.is_finite() && *var >= 0.0)) {
            None => Ok(values),
            Some(at) => Err(format!(
                "{} has variance {} at [{at}], which is impossible; these weights are damaged",
                self.title, values[at]
            )),
        }
    }
}

/// Inverse of the factor of the statistics; 0 for 0, as in Caffe for an untrained layer.
fn inverse(title: &str, factor: &Blob, notes: &mut Vec<String>) -> Result<f64, Fault> {
    if factor.count() != 1 {
        return Err(format!("{title} has a factor of {} values, not one", factor.count()));
    }
    let factor = factor.values()?.iter().copied().map(f64::from).sum::<f64>();
    if factor == 0.0 {
        notes.push(format!("{title} has factor 0: mean and variance are 0, as in Caffe"));
        Ok(0.0)
    } else if factor.is_finite() && factor > 0.0 {
        Ok(1.0 / factor)
    } else {
        Err(format!("{title} has factor {factor}; these weights are damaged"))
    }
}

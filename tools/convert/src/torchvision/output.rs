//! The linear layer `fc` of the exported network, which takes the neck and the classifier.
//!
//! The feature that `bcreid` compares is pool5 or, behind a neck with its running statistics, y_c = factor_c x_c + shift_c
//! of pool5's x_c. A ReLU comes before pool5, so that the neck cannot be folded into the trunk; but it is a linear layer
//! with a diagonal matrix.

use super::CLASSIFIER;
use crate::Result;
use bcreid::config::NeckKind;
use bcreid::device::Device;
use bcreid::weights::{NetworkFile, TensorOut};

/// The output of the exported network; D is the number of values of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The feature `[N, D]` that `bcreid` evaluates, not yet of length 1: `fc` is the neck, a diagonal matrix `[D, D]`
    /// with a bias, or the identity without a neck.
    Feature,
    /// The logits `[N, classes]` of the training identities: `fc` is the classifier, with the neck folded in. Without
    /// `fc` the network computes pool5.
    Classifier,
}

impl Output {
    /// The output of a network unless another is asked for: the feature with a neck, which pool5 is not, and else the
    /// classifier, with pool5 before it.
    pub fn of(network: &NetworkFile) -> Self {
        match network.config().model.neck {
            NeckKind::None => Output::Classifier,
            NeckKind::Batchnorm => Output::Feature,
        }
    }

    /// The tensors `fc.weight` and `fc.bias`; `None` where they are those of the file, if it has any.
    ///
    /// # Errors
    /// Logits of a network with a neck and without a classifier; values of another type than f32.
    pub(super) fn linear(self, network: &NetworkFile) -> Result<Option<[TensorOut<'static>; 2]>> {
        let file = network.tensors();
        let (model, params) = match (self, network.config().model.neck) {
            (Output::Classifier, NeckKind::None) => return Ok(None),
            _ => network.network(&Device::cpu())?,
        };
        let neck = match &model.neck {
            Some(neck) => neck.affine(&params)?,
            None => vec![(1.0, 0.0); model.features()],
        };
        let width = neck.len();
        let (rows, weight, bias) = match self {
            Output::Feature => {
                let mut weight = vec![0.0; width * width];
                neck.iter().enumerate().for_each(|(c, (factor, _))| weight[c * width + c] = *factor as f32);
                (width, weight, neck.iter().map(|(_, shift)| *shift as f32).collect())
            }
            Output::Classifier => {
                let Some(classifier) = file.get("fc.weight") else {
                    return Err(file.fault(
                        "has no classifier (fc.weight), as converted weights have none; leave --fc classifier out",
                    ));
                };
                let classifier = classifier.f32()?;
                let bias = match file.get("fc.bias") {
                    Some(bias) => bias.f32()?.iter().map(|value| f64::from(*value)).collect(),
                    None => vec![0.0; classifier.len() / width],
                };
                let rows = classifier.chunks_exact(width);
                let shifted = rows.clone().zip(bias).map(|(row, bias)| {
                    let shifts = row.iter().zip(&neck).map(|(value, (_, shift))| f64::from(*value) * shift);
                    (bias + shifts.sum::<f64>()) as f32
                });
                let scaled = rows.clone().flat_map(|row| {
                    row.iter().zip(&neck).map(|(value, (factor, _))| (f64::from(*value) * factor) as f32)
                });
                (rows.len(), scaled.collect::<Vec<f32>>(), shifted.collect::<Vec<f32>>())
            }
        };
        Ok(Some([
            TensorOut::f32(format!("{CLASSIFIER}weight"), &[rows, width], weight),
            TensorOut::f32(format!("{CLASSIFIER}bias"), &[rows], bias),
        ]))
    }
}

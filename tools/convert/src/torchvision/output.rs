//! The linear layer `fc` of the exported network, which takes embedding, neck and classifier.
//!
//! The feature that `bcreid` compares is pool5; or its embedding W x + b without a ReLU; and behind a neck with its
//! running statistics y_k = factor_k x_k + shift_k. A ReLU comes before pool5, so that these cannot be folded into the
//! trunk; but together they are one linear layer.

use super::CLASSIFIER;
use crate::Result;
use bcreid::config::{Model, NeckKind};
use bcreid::device::Device;
use bcreid::model::embedding::Dense;
use bcreid::weights::{NetworkFile, TensorOut};

/// The output of the exported network; D is the number of values of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The feature `[N, D]` that `bcreid` evaluates, not yet of length 1: `fc` is the embedding and the neck, or the
    /// identity without both.
    Feature,
    /// The logits `[N, classes]` of the training identities: `fc` is the classifier, with embedding and neck folded in.
    /// Without `fc` the network computes pool5.
    Classifier,
}

impl Output {
    /// The output of a network unless another is asked for: the feature with an embedding or a neck, which pool5 is not,
    /// and else the classifier, with pool5 before it.
    pub fn of(network: &NetworkFile) -> Self {
        if ends_in_pool5(&network.config().model) { Output::Classifier } else { Output::Feature }
    }

    /// The tensors `fc.weight` and `fc.bias`; `None` where they are those of the file, if it has any.
    ///
    /// # Errors
    /// A ReLU behind pool5; logits of a network with an embedding or a neck and without a classifier; values of another
    /// type than f32.
    pub(super) fn linear(self, network: &NetworkFile) -> Result<Option<[TensorOut<'static>; 2]>> {
        let file = network.tensors();
        if self == Output::Classifier && ends_in_pool5(&network.config().model) {
            return Ok(None);
        }
        let (model, params) = network.network(&Device::cpu())?;
        let layers =
            model.embedding.as_ref().map_or(Ok(Vec::new()), |embedding| embedding.folded(&params))?;
        if layers.iter().any(|layer| layer.relu) {
            return Err(file.fault(
                "has a ReLU in its embedding (model.embedding, model.embedding_relu), which torchvision's ResNet does \
                 not have behind pool5; export the network to ONNX (bcreid export)",
            ));
        }
        // Hidden layers have a ReLU, so that this is the only one.
        let embedding = layers.into_iter().next();
        let neck = match &model.neck {
            Some(neck) => neck.affine(&params)?,
            None => vec![(1.0, 0.0); model.features()],
        };
        let mut linear = match self {
            Output::Feature => Linear::of_neck(&neck, embedding.is_none()),
            Output::Classifier => {
                let Some(classifier) = file.get("fc.weight") else {
                    return Err(file.fault(
                        "has no classifier (fc.weight), as converted weights have none; leave --fc classifier out",
                    ));
                };
                let bias = file.get("fc.bias").map(|bias| bias.f32()).transpose()?;
                Linear::of_classifier(&classifier.f32()?, bias.as_deref(), &neck)
            }
        };
        if let Some(embedding) = embedding {
            linear = linear.behind(&embedding);
        }
        let rows = linear.bias.len();
        let width = linear.weight.len() / rows;
        let rounded = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect::<Vec<f32>>();
        Ok(Some([
            TensorOut::f32(format!("{CLASSIFIER}weight"), &[rows, width], rounded(linear.weight)),
            TensorOut::f32(format!("{CLASSIFIER}bias"), &[rows], rounded(linear.bias)),
        ]))
    }
}

/// True if the feature is pool5 itself.
fn ends_in_pool5(model: &Model) -> bool {
    model.neck == NeckKind::None && model.embedding.is_empty()
}

/// y = W x + b.
struct Linear {
    /// W, row by row; of the diagonal alone if `is_diagonal`.
    weight: Vec<f64>,
    is_diagonal: bool,
    bias: Vec<f64>,
}

impl Linear {
    /// The neck; as a whole matrix if `whole`.
    fn of_neck(neck: &[(f64, f64)], whole: bool) -> Self {
        let bias = neck.iter().map(|(_, shift)| *shift).collect();
        let width = neck.len();
        if !whole {
            return Linear {
                weight: neck.iter().map(|(factor, _)| *factor).collect(),
                is_diagonal: true,
                bias,
            };
        }
        let mut weight = vec![0.0; width * width];
        neck.iter().enumerate().for_each(|(c, (factor, _))| weight[c * width + c] = *factor);
        Linear { weight, is_diagonal: false, bias }
    }

    /// The classifier behind the neck.
    fn of_classifier(weight: &[f32], bias: Option<&[f32]>, neck: &[(f64, f64)]) -> Self {
        let rows = weight.chunks_exact(neck.len());
        let bias = rows.clone().enumerate().map(|(k, row)| {
            let shifts = row.iter().zip(neck).map(|(value, (_, shift))| f64::from(*value) * shift);
            bias.map_or(0.0, |bias| f64::from(bias[k])) + shifts.sum::<f64>()
        });
        let bias = bias.collect();
        let scaled =
            rows.flat_map(|row| row.iter().zip(neck).map(|(value, (factor, _))| f64::from(*value) * factor));
        Linear { weight: scaled.collect(), is_diagonal: false, bias }
    }

    /// This layer behind an embedding.
    fn behind(self, embedding: &Dense) -> Self {
        let outputs = embedding.bias.len();
        let inputs = embedding.weight.len() / outputs;
        let mut weight = vec![0.0; self.bias.len() * inputs];
        let mut bias = self.bias;
        for (k, (row, bias)) in weight.chunks_exact_mut(inputs).zip(&mut bias).enumerate() {
            let mut add = |factor: f64, output: usize| {
                let of_output = &embedding.weight[output * inputs..][..inputs];
                row.iter_mut().zip(of_output).for_each(|(sum, value)| *sum += factor * f64::from(*value));
                *bias += factor * f64::from(embedding.bias[output]);
            };
            match self.is_diagonal {
                true => add(self.weight[k], k),
                false => (0..outputs).for_each(|output| add(self.weight[k * outputs + output], output)),
            }
        }
        Linear { weight, is_diagonal: false, bias }
    }
}

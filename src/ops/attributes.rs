//! Softmax cross entropy of several classifiers side by side, one for each attribute of a person (Lin et al. 2017,
//! "Improving Person Re-identification by Attribute and Identity Learning").
//!
//! There are M attributes. Attribute a has the values 0..K_a and the logits z_i^a of image i, K_a columns of the matrix
//! `[m, K_1 + ... + K_M]`. The identity y_i of the image has the value t_a(y_i), which a table states: attributes
//! belong to persons, not to images. The loss is the mean over the attributes of their softmax losses,
//!
//! L = -(1/M) sum_a (1/m) sum_i log softmax(z_i^a)\[t_a(y_i)\],
//!
//! and dz_i^a\[k\] = (softmax(z_i^a)\[k\] - \[k = t_a(y_i)\]) dL / (m M). With z_max = max_k z_i^a\[k\],
//!
//! log softmax(z)\[t\] = (z\[t\] - z_max) - log sum_k exp(z\[k\] - z_max).
//!
//! One matrix for all classifiers makes one product of their 30 or so columns, where a product for each attribute would
//! cost M launches. The table lies on the device, and the labels choose its rows there, so that a captured step can be
//! replayed.
//!
//! Book: [chapter 6](../../../../../docs/book/src/06-mlp.md) explains the softmax cross entropy of one classifier; no
//! chapter explains several side by side.

use crate::autograd::{Backward, Sinks, Tape, Var};
use crate::device::Device;
use crate::element::DType;
use crate::ops::check;
use crate::tensor::Tensor;
use crate::{Error, Result};

const OP: &str = "attributes";

/// The values of the attributes of each identity, on a device.
#[derive(Clone, Debug)]
pub struct Targets {
    /// i32 `[n, M]`: the value t_a of attribute a for each of n identities.
    values: Tensor,
    /// i32 `[M + 1]`: the first column of each attribute, and the number of all columns.
    starts: Tensor,
    /// The number of all columns.
    columns: usize,
}

impl Targets {
    /// Targets of attributes with these numbers of values, K_1 to K_M. `table` has the M values of each identity,
    /// identity by identity.
    ///
    /// # Errors
    /// No attribute, one without values, or more than 2^31 columns; a table of another length, or with a value that its
    /// attribute does not have; errors of the device.
    pub fn new(device: &Device, sizes: &[usize], table: &[i32]) -> Result<Self> {
        let refused = |what: String| Err(Error::shape(OP, what));
        if sizes.is_empty() || sizes.contains(&0) {
            return refused(format!(
                "the attributes have {sizes:?} values; each needs one, and there must be one"
            ));
        }
        if table.is_empty() || !table.len().is_multiple_of(sizes.len()) {
            let (values, attributes) = (table.len(), sizes.len());
            return refused(format!("a table of {values} values has no rows of {attributes} attributes"));
        }
        let mut starts = vec![0];
        for &size in sizes {
            let last: i64 = starts.last().copied().unwrap_or_default();
            let next = i64::try_from(size).map_or(i64::MAX, |size| last.saturating_add(size));
            if next > i64::from(i32::MAX) {
                return refused("the attributes have more than 2^31 values together".into());
            }
            starts.push(next);
        }
        let is_wrong = |(at, value): (usize, &i32)| {
            usize::try_from(*value).map_or(true, |value| value >= sizes[at % sizes.len()])
        };
        if let Some(at) = table.iter().enumerate().position(is_wrong) {
            let (identity, attribute) = (at / sizes.len(), at % sizes.len());
            let (value, size) = (table[at], sizes[attribute]);
            return refused(format!(
                "identity {identity} has the value {value} of attribute {attribute}, whose values are 0..{size}"
            ));
        }
        let starts: Vec<i32> = starts.into_iter().map(|start| start as i32).collect();
        Ok(Targets {
            values: Tensor::from_i32(device, [table.len() / sizes.len(), sizes.len()], table)?,
            columns: starts[sizes.len()] as usize,
            starts: Tensor::from_i32(device, [starts.len()], &starts)?,
        })
    }

    /// The number of columns of the logits: the values of all attributes.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The number of attributes M.
    fn attributes(&self) -> usize {
        self.values.shape().last()
    }
}

/// Computes the loss `[1]` of `logits` `[m, K_1 + ... + K_M]` for labels i32 `[m]`, each one of the n identities.
///
/// # Errors
/// If the shapes do not fit together, or, on the CPU, a label is not in 0..n. (On a GPU, where a check of the labels
/// would force a synchronisation, the loss is then NaN.)
pub fn attributes(tape: &mut Tape<'_>, logits: Var, labels: &Tensor, targets: &Targets) -> Result<Var> {
    let [m, columns] = check::matrix(OP, "logits", &logits.value)?;
    if columns != targets.columns {
        let all = targets.columns;
        return Err(Error::shape(
            OP,
            format!("logits {} have {columns} columns, and the attributes {all} values", logits.shape()),
        ));
    }
    check::labels(OP, labels, m)?;
    let input = logits.handle();
    let device = tape.device();
    let mut loss = Tensor::empty(&device, [1], DType::F32)?;
    let saved = match logits.value.gpu().cloned() {
        None => {
            let mut probabilities = Tensor::empty(&device, logits.shape(), DType::F32)?;
            cpu::forward(&logits.value, labels, targets, &mut probabilities, &mut loss)?;
            Saved::Probabilities(probabilities)
        }
        Some(gpu) => {
            let mut partition = Tensor::empty(&device, [m, targets.attributes(), 2], DType::F32)?;
            cuda::forward(&gpu, &logits.value, labels, targets, &mut partition, &mut loss)?;
            Saved::Logits(logits.value, partition)
        }
    };
    let (labels, targets) = (labels.clone(), targets.clone());
    Ok(tape.record(loss, &[input], |_| AttributesBackward { saved, labels, targets }))
}

struct AttributesBackward {
    saved: Saved,
    labels: Tensor,
    targets: Targets,
}

/// The saved values of the forward pass, as of [`super::softmax_cross_entropy`].
enum Saved {
    /// The probabilities, on the CPU.
    Probabilities(Tensor),
    /// The logits, on a GPU, and for each image and attribute the largest logit and the logarithm of the sum.
    Logits(Tensor, Tensor),
}

impl Backward for AttributesBackward {
    fn op(&self) -> &'static str {
        OP
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        let AttributesBackward { saved, labels, targets } = *self;
        match saved {
            Saved::Probabilities(mut probabilities) => {
                cpu::backward(&mut probabilities, &labels, &targets, &dy);
                sinks.give(0, probabilities)
            }
            Saved::Logits(mut logits, partition) => {
                if !logits.is_unique() {
                    logits = logits.duplicate(sinks.device())?;
                }
                cuda::backward(&mut logits, &labels, &targets, &partition, &dy)?;
                sinks.give(0, logits)
            }
        }
    }
}

mod cpu {
    use super::{OP, Targets};
    use crate::Result;
    use crate::ops::check;
    use crate::tensor::Tensor;
    use rayon::prelude::*;

    /// The columns of each attribute, and its value for the identity `label`.
    fn of_image(targets: &Targets, label: i32) -> impl Iterator<Item = (std::ops::Range<usize>, usize)> {
        let values =
            targets.values.i32().chunks(targets.attributes()).nth(label as usize).unwrap_or_default();
        let columns = targets.starts.i32().windows(2).map(|ends| ends[0] as usize..ends[1] as usize);
        columns.zip(values).map(|(columns, &value)| (columns, value as usize))
    }

    /// Computes loss and probabilities. Sums are f64; a task is one image.
    pub fn forward(
        logits: &Tensor,
        labels: &Tensor,
        targets: &Targets,
        probabilities: &mut Tensor,
        loss: &mut Tensor,
    ) -> Result<()> {
        let width = logits.shape().last();
        check::cpu::classes(OP, labels.i32(), targets.values.shape().dims()[0])?;
        let rows = logits.f32().par_chunks(width).zip(probabilities.f32_mut().par_chunks_mut(width));
        let of_row = |((z, p), &label): ((&[f32], &mut [f32]), &i32)| -> f64 {
            let losses = of_image(targets, label).map(|(columns, value)| {
                let (z, p) = (&z[columns.clone()], &mut p[columns]);
                let max = f64::from(z.iter().copied().fold(f32::NEG_INFINITY, f32::max));
                let log_sum = z.iter().map(|&z| (f64::from(z) - max).exp()).sum::<f64>().ln();
                let log_probability = |z: f32| (f64::from(z) - max) - log_sum;
                p.iter_mut().zip(z).for_each(|(p, &z)| *p = log_probability(z).exp() as f32);
                -log_probability(z[value])
            });
            losses.sum()
        };
        let losses: Vec<f64> = rows.zip(labels.i32()).map(of_row).collect();
        let terms = losses.len() * targets.attributes();
        loss.f32_mut()[0] = (losses.iter().sum::<f64>() / terms as f64) as f32;
        Ok(())
    }

    /// Overwrites the probabilities with dz.
    pub fn backward(probabilities: &mut Tensor, labels: &Tensor, targets: &Targets, dy: &Tensor) {
        let (width, labels) = (probabilities.shape().last(), labels.i32());
        let scale = dy.f32()[0] / (labels.len() * targets.attributes()) as f32;
        probabilities.f32_mut().par_chunks_mut(width).zip(labels).for_each(|(row, &label)| {
            for (columns, value) in of_image(targets, label) {
                row[columns.start + value] -= 1.0;
            }
            row.iter_mut().for_each(|p| *p *= scale);
        });
    }
}

mod cuda {
    use super::Targets;
    use crate::Result;
    use crate::device::Device;
    use crate::device::cuda::{CudaDevice, Grid, Out, kernels};
    use crate::element::DType;
    use crate::tensor::Tensor;
    use std::sync::Arc;

    /// A warp for each image and attribute.
    fn warps(pairs: usize) -> Grid {
        Grid::blocks((32 * pairs).div_ceil(256))
    }

    /// Enqueues the computation of `partition` and `loss`: two launches.
    pub fn forward(
        gpu: &Arc<CudaDevice>,
        logits: &Tensor,
        labels: &Tensor,
        targets: &Targets,
        partition: &mut Tensor,
        loss: &mut Tensor,
    ) -> Result<()> {
        let (m, attributes) = (labels.shape().len(), targets.attributes());
        let mut losses = Tensor::empty(&Device::Cuda(gpu.clone()), [m, attributes], DType::F32)?;
        let forward = kernels::AttributesForward {
            logits: logits.into(),
            labels: labels.into(),
            values: (&targets.values).into(),
            starts: (&targets.starts).into(),
            losses: (&mut losses).into(),
            partition: partition.into(),
            m,
            attributes,
            classes: targets.values.shape().dims()[0],
        };
        gpu.launch(warps(m * attributes), forward)?;
        let n = m * attributes;
        let mean = kernels::AttributesMean { losses: (&losses).into(), loss: loss.into(), n };
        gpu.launch(Grid::blocks(1), mean)
    }

    /// Overwrites the logits with dz.
    pub fn backward(
        logits: &mut Tensor,
        labels: &Tensor,
        targets: &Targets,
        partition: &Tensor,
        dy: &Tensor,
    ) -> Result<()> {
        let Some(gpu) = logits.gpu().cloned() else { return Ok(()) };
        let (m, attributes) = (labels.shape().len(), targets.attributes());
        let dlogits = Out::from(logits);
        let backward = kernels::AttributesBackward {
            logits: dlogits.into(),
            labels: labels.into(),
            values: (&targets.values).into(),
            starts: (&targets.starts).into(),
            partition: partition.into(),
            dy: dy.into(),
            dlogits,
            m,
            attributes,
            classes: targets.values.shape().dims()[0],
        };
        gpu.launch(warps(m * attributes), backward)
    }
}

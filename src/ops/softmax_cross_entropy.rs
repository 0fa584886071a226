//! Softmax cross entropy: equations (1) and (2) of the paper.
//!
//! L_s = -(1/m) sum_i log softmax(z_i)\[y_i\], the mean over the batch; with M_i = max_j z_ij
//!
//! log softmax(z_i)\[j\] = (z_ij - M_i) - log sum_k exp(z_ik - M_i),
//!
//! so no exponential overflows and the sum is at least 1. dz_ij = (softmax(z_i)\[j\] - \[j = y_i\]) dL / m.
//!
//! The CPU saves the probabilities and not the logits: the forward pass computes all exponentials anyway, the backward
//! pass then is a subtraction in place, and the buffer of the logits returns to the pool.

use crate::Result;
use crate::autograd::{Backward, Sinks, Tape, Var};
use crate::device::cuda::CudaDevice;
use crate::element::DType;
use crate::ops::check;
use crate::tensor::Tensor;
use std::sync::Arc;

const OP: &str = "softmax_cross_entropy";

/// Computes the softmax loss `[1]` of logits `[m, n]` for labels i32 `[m]`, each in 0..n.
///
/// # Errors
/// If the shapes do not fit together, or, on the CPU, a label is not in 0..n. (On a GPU, where a check of the labels
/// would force a synchronisation, the loss is then NaN.)
pub fn softmax_cross_entropy(tape: &mut Tape<'_>, logits: Var, labels: &Tensor) -> Result<Var> {
    let [m, _] = check::matrix(OP, "logits", &logits.value)?;
    check::labels(OP, labels, m)?;
    let input = logits.handle();
    let device = tape.device();
    let mut loss = Tensor::empty(&device, [1], DType::F32)?;
    let saved = match logits.value.gpu().cloned() {
        None => {
            let wanted = tape.needs_grad(input);
            let empty = || Tensor::empty(&device, logits.shape(), DType::F32);
            let mut probabilities = wanted.then(empty).transpose()?;
            cpu::forward(&logits.value, labels, probabilities.as_mut(), &mut loss)?;
            probabilities.map(SavedSoftmax::Probabilities)
        }
        Some(gpu) => {
            let mut partition = Tensor::empty(&device, [m, 2], DType::F32)?;
            cuda::forward(&gpu, &logits.value, labels, &mut partition, &mut loss)?;
            Some(SavedSoftmax::Logits { gpu, logits: logits.value, partition })
        }
    };
    Ok(match saved {
        Some(saved) => {
            tape.record(loss, &[input], |_| SoftmaxCrossEntropyBackward { saved, labels: labels.clone() })
        }
        None => tape.constant(loss),
    })
}

struct SoftmaxCrossEntropyBackward {
    saved: SavedSoftmax,
    labels: Tensor,
}

/// The saved values of the forward pass.
enum SavedSoftmax {
    /// The probabilities `[m, n]`, on the CPU.
    Probabilities(Tensor),
    /// The logits, on a GPU: to read them again is cheaper than to write probabilities in the forward pass, and takes
    /// no memory. `partition` `[m, 2]` holds M_i and the logarithm of the sum for each row.
    Logits { gpu: Arc<CudaDevice>, logits: Tensor, partition: Tensor },
}

impl Backward for SoftmaxCrossEntropyBackward {
    fn op(&self) -> &'static str {
        OP
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        let SoftmaxCrossEntropyBackward { saved, labels } = *self;
        match saved {
            SavedSoftmax::Probabilities(mut probabilities) => {
                cpu::backward(&mut probabilities, &labels, &dy);
                sinks.give(0, probabilities)
            }
            SavedSoftmax::Logits { gpu, mut logits, partition } => {
                if !logits.is_unique() {
                    logits = logits.duplicate(sinks.device())?;
                }
                cuda::backward(&gpu, &mut logits, &labels, &partition, &dy)?;
                sinks.give(0, logits)
            }
        }
    }
}

mod cpu {
    use super::OP;
    use crate::Result;
    use crate::ops::check;
    use crate::tensor::Tensor;
    use rayon::prelude::*;

    /// Computes the loss, and the probabilities if they are needed. Sums are f64; a task is one image.
    pub fn forward(
        logits: &Tensor,
        labels: &Tensor,
        probabilities: Option<&mut Tensor>,
        loss: &mut Tensor,
    ) -> Result<()> {
        let n = logits.shape().last();
        check::cpu::classes(OP, labels.i32(), n)?;
        let rows = logits.f32().par_chunks(n).zip(labels.i32());
        let losses: Vec<f64> = match probabilities {
            None => rows.map(|(z, &label)| log_partition(z).loss(z, label)).collect(),
            Some(p) => rows
                .zip(p.f32_mut().par_chunks_mut(n))
                .map(|((z, &label), p)| {
                    let partition = log_partition(z);
                    p.iter_mut().zip(z).for_each(|(p, &z)| *p = partition.log_probability(z).exp() as f32);
                    partition.loss(z, label)
                })
                .collect(),
        };
        loss.f32_mut()[0] = (losses.iter().sum::<f64>() / losses.len() as f64) as f32;
        Ok(())
    }

    /// The log-partition function of one row in two parts, the largest logit M and log sum_k exp(z_k - M): their sum
    /// would lose the digits of the second part when M is large.
    struct LogPartition {
        max: f64,
        log_sum: f64,
    }

    impl LogPartition {
        fn log_probability(&self, z: f32) -> f64 {
            (f64::from(z) - self.max) - self.log_sum
        }

        fn loss(&self, z: &[f32], label: i32) -> f64 {
            -self.log_probability(z[label as usize])
        }
    }

    fn log_partition(z: &[f32]) -> LogPartition {
        let max = f64::from(z.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = z.iter().map(|&z| (f64::from(z) - max).exp()).sum();
        LogPartition { max, log_sum: sum.ln() }
    }

    /// Overwrites the probabilities with dz.
    pub fn backward(probabilities: &mut Tensor, labels: &Tensor, dy: &Tensor) {
        let (n, labels) = (probabilities.shape().last(), labels.i32());
        let scale = dy.f32()[0] / labels.len() as f32;
        probabilities.f32_mut().par_chunks_mut(n).zip(labels).for_each(|(row, &label)| {
            row[label as usize] -= 1.0;
            row.iter_mut().for_each(|p| *p *= scale);
        });
    }
}

mod cuda {
    use crate::Result;
    use crate::device::cuda::{CudaDevice, Grid, Out, kernels};
    use crate::element::DType;
    use crate::tensor::Tensor;
    use std::sync::Arc;

    /// Enqueues the computation of `partition` and `loss`.
    pub fn forward(
        gpu: &Arc<CudaDevice>,
        logits: &Tensor,
        labels: &Tensor,
        partition: &mut Tensor,
        loss: &mut Tensor,
    ) -> Result<()> {
        let (m, n) = (logits.shape().dims()[0], logits.shape().last());
        let mut losses = Tensor::empty(&crate::device::Device::Cuda(gpu.clone()), [m], DType::F32)?;
        let forward = kernels::SoftmaxCrossEntropyForward {
            logits: logits.into(),
            labels: labels.into(),
            losses: (&mut losses).into(),
            partition: partition.into(),
            n,
        };
        gpu.launch(Grid::blocks(m), forward)?;
        let mean = kernels::SoftmaxCrossEntropyMean { losses: (&losses).into(), loss: loss.into(), m };
        gpu.launch(Grid::blocks(1), mean)
    }

    /// Overwrites the logits with dz.
    pub fn backward(
        gpu: &CudaDevice,
        logits: &mut Tensor,
        labels: &Tensor,
        partition: &Tensor,
        dy: &Tensor,
    ) -> Result<()> {
        let (m, n) = (logits.shape().dims()[0], logits.shape().last());
        let dlogits = Out::from(logits);
        let backward = kernels::SoftmaxCrossEntropyBackward {
            logits: dlogits.into(),
            labels: labels.into(),
            partition: partition.into(),
            dy: dy.into(),
            dlogits,
            n,
        };
        gpu.launch(Grid::blocks(m), backward)
    }
}

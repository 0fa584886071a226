//! Softmax and cross entropy in one: equations (1) and (2) of the paper.
//!
//! L_s = -(1/m) sum_i log softmax(z_i)\[y_i\], the mean over the batch; with M_i = max_j z_ij
//!
//! log softmax(z_i)\[j\] = (z_ij - M_i) - log sum_k exp(z_ik - M_i),
//!
//! so no exponential overflows and the sum is at least 1. dz_ij = (softmax(z_i)\[j\] - \[j = y_i\]) dL / m.
//!
//! The probabilities are saved and not the logits: the forward pass has all the exponentials in its hands
//! anyway, the backward pass then is a subtraction in the buffer where they lie, and the logits' buffer can
//! go back to the pool.

use crate::Result;
use crate::ops::check;
use crate::tensor::{Backward, DType, Sinks, Tape, Tensor, Var};

const OP: &str = "softmax_cross_entropy";

/// The softmax loss `[1]` of logits `[m, n]` for labels i32 `[m]`, each in 0..n.
///
/// # Errors
/// If the shapes do not fit together or a label is no class.
pub fn softmax_cross_entropy(tape: &mut Tape<'_>, logits: Var, labels: &Tensor) -> Result<Var> {
    let [m, _] = check::matrix(OP, "logits", &logits.value)?;
    check::labels(OP, labels, m)?;
    let input = logits.handle();
    let device = tape.device();
    let mut probabilities = tape.wants(input).then(|| Tensor::empty(&device, logits.shape(), DType::F32));
    let mut loss = Tensor::empty(&device, [1], DType::F32);
    cpu::forward(&logits.value, labels, probabilities.as_mut(), &mut loss)?;
    Ok(match probabilities {
        Some(probabilities) => {
            tape.record(loss, &[input], |_| Saved { probabilities, labels: labels.clone() })
        }
        None => tape.constant(loss),
    })
}

struct Saved {
    probabilities: Tensor,
    labels: Tensor,
}

impl Backward for Saved {
    fn op(&self) -> &'static str {
        OP
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        let Saved { mut probabilities, labels } = *self;
        cpu::backward(&mut probabilities, &labels, &dy);
        sinks.give(0, probabilities)
    }
}

mod cpu {
    use super::OP;
    use crate::Result;
    use crate::ops::check;
    use crate::tensor::Tensor;
    use rayon::prelude::*;

    /// Fills `loss`, and `probabilities` if there are any to fill. Sums run in f64, one image a task.
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

    /// The largest logit M, and log sum_k exp(z_k - M). Kept apart: their sum would lose the digits of the
    /// second when the first is large.
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

    /// Turns the probabilities into dz where they lie.
    pub fn backward(probabilities: &mut Tensor, labels: &Tensor, dy: &Tensor) {
        let (n, labels) = (probabilities.shape().last(), labels.i32());
        let scale = dy.f32()[0] / labels.len() as f32;
        probabilities.f32_mut().par_chunks_mut(n).zip(labels).for_each(|(row, &label)| {
            row[label as usize] -= 1.0;
            row.iter_mut().for_each(|p| *p *= scale);
        });
    }
}

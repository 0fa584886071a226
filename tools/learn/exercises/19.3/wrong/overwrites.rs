// Expect: a second use of the input
use bcreid::autograd::{Backward, Sinks, Tape, Var};
use bcreid::tensor::Tensor;
use bcreid::{Error, Result};

/// The softmax of each row of an f32 matrix `[rows, columns]` on the CPU.
///
/// # Errors
/// Anything but a matrix.
pub fn softmax(tape: &mut Tape<'_>, x: Var) -> Result<Var> {
    let Some([_, columns]) = x.shape().matrix() else {
        return Err(Error::shape("softmax", format!("x is {}, expected a matrix", x.shape())));
    };
    let mut y = x.value.f32().to_vec();
    for row in y.chunks_exact_mut(columns) {
        // exp of the largest is 1: no logit overflows.
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.iter_mut().for_each(|z| *z = (*z - largest).exp());
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|z| *z /= sum);
    }
    let y = Tensor::from_f32(&tape.device(), x.shape(), &y)?;
    let saved = y.clone();
    Ok(tape.record(y, &[x.handle()], |_| SoftmaxBackward { y: saved, columns }))
}

struct SoftmaxBackward {
    y: Tensor,
    columns: usize,
}

impl Backward for SoftmaxBackward {
    fn op(&self) -> &'static str {
        "softmax"
    }

    /// dx = y (dy - sum of y dy over the row).
    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        let mut own = dy.f32().to_vec();
        for (dy, y) in own.chunks_exact_mut(self.columns).zip(self.y.f32().chunks_exact(self.columns)) {
            let mean: f32 = dy.iter().zip(y).map(|(dy, y)| dy * y).sum();
            dy.iter_mut().zip(y).for_each(|(dy, y)| *dy = y * (*dy - mean));
        }
        sinks.add(0, |dx, _| {
            dx.f32_mut().copy_from_slice(&own);
            Ok(())
        })
    }
}

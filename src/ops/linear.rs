//! Fully connected layer: y = x w^T + b, the classifier of the softmax branch.
//!
//! dx = dy w; dw = dy^T x; db = sum of dy's rows. The products write or add into their sinks themselves.

use crate::device::cpu::{MatMut, MatRef, Split, gemm};
use crate::tensor::{Backward, DType, Sinks, Tape, Tensor, Var};
use crate::{Error, Result};

/// x w^T + b of `x` `[m, C]`, `w` `[K, C]` and `bias` `[K]`: `[m, K]`.
///
/// # Errors
/// If the shapes are not these.
pub fn linear(tape: &mut Tape<'_>, x: Var, w: Var, bias: Var) -> Result<Var> {
    let sizes = match (x.shape().matrix(), w.shape().matrix(), bias.shape().dims()) {
        (Some([m, c]), Some([k, wc]), &[bk]) if c == wc && k == bk => Sizes { m, c, k },
        _ => {
            return Err(Error::shape(
                "linear",
                format!(
                    "x {}, w {} and bias {} do not fit; they must be [m, C], [K, C] and [K]",
                    x.shape(),
                    w.shape(),
                    bias.shape()
                ),
            ));
        }
    };
    let Sizes { m, c, k } = sizes;
    let mut y = Tensor::empty(&tape.device(), [m, k], DType::F32);
    cpu::repeat(bias.value.f32(), y.f32_mut());
    gemm(
        MatMut::new(y.f32_mut(), m, k),
        1.0,
        MatRef::new(x.value.f32(), m, c),
        MatRef::new(w.value.f32(), k, c).t(),
        Split::Threads,
    );
    let inputs = [x.handle(), w.handle(), bias.handle()];
    let [wants_x, wants_w] = [0, 1].map(|i| tape.wants(inputs[i]));
    Ok(tape.record(y, &inputs, |_| Saved {
        sizes,
        x: wants_w.then_some(x.value),
        w: wants_x.then_some(w.value),
    }))
}

#[derive(Clone, Copy)]
struct Sizes {
    m: usize,
    c: usize,
    k: usize,
}

struct Saved {
    sizes: Sizes,
    /// For dw, if wanted.
    x: Option<Tensor>,
    /// For dx, if wanted.
    w: Option<Tensor>,
}

impl Backward for Saved {
    fn op(&self) -> &'static str {
        "linear"
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        let Sizes { m, c, k } = self.sizes;
        let dy_matrix = MatRef::new(dy.f32(), m, k);
        if let Some(w) = &self.w {
            sinks.add(0, |dx, write| {
                let (dx, w) = (MatMut::new(dx.f32_mut(), m, c), MatRef::new(w.f32(), k, c));
                gemm(dx, write.beta(), dy_matrix, w, Split::Threads);
                Ok(())
            })?;
        }
        if let Some(x) = &self.x {
            sinks.add(1, |dw, write| {
                let (dw, x) = (MatMut::new(dw.f32_mut(), k, c), MatRef::new(x.f32(), m, c));
                gemm(dw, write.beta(), dy_matrix.t(), x, Split::Threads);
                Ok(())
            })?;
        }
        sinks.add(2, |db, write| {
            cpu::sum_rows(dy.f32(), db.f32_mut(), write);
            Ok(())
        })
    }
}

mod cpu {
    use crate::tensor::Write;
    use rayon::prelude::*;

    /// Columns a thread sums at a time.
    const COLUMNS: usize = 256;

    /// Fills every row of y.
    pub fn repeat(row: &[f32], y: &mut [f32]) {
        if !row.is_empty() {
            y.par_chunks_exact_mut(row.len()).with_min_len(64).for_each(|y| y.copy_from_slice(row));
        }
    }

    /// The sum of dy's rows, in f64.
    pub fn sum_rows(dy: &[f32], db: &mut [f32], write: Write) {
        let k = db.len();
        db.par_chunks_mut(COLUMNS).enumerate().for_each(|(block, db)| {
            let mut sums = [0.0_f64; COLUMNS];
            for row in dy.chunks_exact(k) {
                let row = &row[block * COLUMNS..][..db.len()];
                sums.iter_mut().zip(row).for_each(|(s, &dy)| *s += f64::from(dy));
            }
            write.store(db, sums.iter().map(|&s| s as f32));
        });
    }
}

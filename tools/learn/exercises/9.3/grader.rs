//! The gradient of a chain of layers, computed forwards: the derivative of the last h by each element of x.

use crate::answer::gradient;
use crate::checks::*;

/// The part that a layer's derivative leaves out, to recognise an error.
#[derive(Clone, Copy, PartialEq)]
enum LeftOut {
    Nothing,
    Relu,
    Shortcut,
}

struct Chain {
    x: Vec<f64>,
    weights: Vec<Vec<f64>>,
    dy: Vec<f64>,
    c: usize,
    has_shortcut: bool,
}

impl Chain {
    fn new([m, c, layers]: [usize; 3], has_shortcut: bool) -> Self {
        let mut numbers = Numbers::new((m * 10_000 + c * 100 + layers) as u64);
        let x = numbers.many(m * c);
        // Weights with which the activations of both chains neither vanish nor explode.
        let size = if has_shortcut { 1.0 / layers as f64 } else { 2.4 } / (c as f64).sqrt();
        let weights = (0..layers).map(|_| numbers.many(c * c).iter().map(|w| size * w).collect()).collect();
        let dy = numbers.many(m * c);
        Chain { x, weights, dy, c, has_shortcut }
    }

    /// The sum over all elements of dy h, differentiated by x[at]: a tangent goes through the layers beside its row.
    fn derivative(&self, at: usize, left_out: LeftOut) -> f64 {
        let c = self.c;
        let row = at / c * c..at / c * c + c;
        let mut h = self.x[row.clone()].to_vec();
        let mut tangent: Vec<f64> = (0..c).map(|k| f64::from(k == at % c)).collect();
        for w in &self.weights {
            let product = |x: &[f64], j: usize| (0..c).map(|k| x[k] * w[j * c + k]).sum::<f64>();
            let (mut next, mut along) = (Vec::new(), Vec::new());
            for j in 0..c {
                let z = product(&h, j);
                let slope = f64::from(z > 0.0 || left_out == LeftOut::Relu);
                next.push(z.max(0.0));
                along.push(slope * product(&tangent, j));
            }
            if self.has_shortcut {
                next.iter_mut().zip(&h).for_each(|(next, h)| *next += h);
                if left_out != LeftOut::Shortcut {
                    along.iter_mut().zip(&tangent).for_each(|(along, t)| *along += t);
                }
            }
            (h, tangent) = (next, along);
        }
        // A sum of nothing but -0 is shown as 0.
        tangent.iter().zip(&self.dy[row]).map(|(t, dy)| t * dy).sum::<f64>() + 0.0
    }

    fn grade(&self) -> Finding {
        let got = gradient(&self.x, &self.weights, &self.dy, self.c, self.has_shortcut);
        let want = |left_out| (0..self.x.len()).map(|at| self.derivative(at, left_out)).collect::<Vec<_>>();
        // The gradient itself may be small: the tolerance is one for the largest element.
        let largest = want(LeftOut::Nothing).iter().fold(1e-300, |max: f64, w| max.max(w.abs()));
        let scaled = |values: &[f64]| values.iter().map(|value| value / largest).collect::<Vec<_>>();
        let is = |left_out| close("dx", &scaled(&got), &scaled(&want(left_out)), 1e-9).is_ok();
        if is(LeftOut::Nothing) {
            return Ok(());
        }
        let (m, layers) = (self.x.len() / self.c, self.weights.len());
        let why = if self.has_shortcut && is(LeftOut::Shortcut) {
            ": that is J^T dh' alone, without the term dh' of the shortcut".into()
        } else if is(LeftOut::Relu) {
            ": that is the gradient without the ReLU; where its input is negative, nothing passes".into()
        } else {
            let found = close("dx", &got, &want(LeftOut::Nothing), 0.0).err().unwrap_or_default();
            format!(": {found}")
        };
        Err(format!("m = {m}, c = {}, layers = {layers}{why}", self.c))
    }
}

pub fn grade(checks: &mut Checks) {
    for (name, has_shortcut) in [("without shortcuts", false), ("with shortcuts", true)] {
        checks.check(name, || {
            [[1, 1, 1], [2, 3, 1], [1, 4, 2], [3, 5, 8], [2, 8, 32]]
                .into_iter()
                .try_for_each(|sizes| Chain::new(sizes, has_shortcut).grade())
        });
    }
}

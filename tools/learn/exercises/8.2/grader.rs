use crate::answer::batchnorm_backward;
use crate::checks::*;

const EPS: f64 = 1e-5;
/// The step of the difference quotients.
const STEP: f64 = 1e-6;
const TOLERANCE: f64 = 1e-5;

/// A layer with beta = 0, which changes no gradient.
struct Layer {
    rows: usize,
    c: usize,
    x: Vec<f64>,
    dy: Vec<f64>,
    gamma: Vec<f64>,
}

impl Layer {
    fn new(rows: usize, c: usize) -> Self {
        let mut numbers = Numbers::new((100 * rows + c) as u64);
        let (x, dy, gamma) = (numbers.many(rows * c), numbers.many(rows * c), numbers.many(c));
        Layer { rows, c, x, dy, gamma }
    }

    /// Mean and 1 / sqrt(var + eps) of a channel of x.
    fn statistics(&self, x: &[f64], channel: usize) -> [f64; 2] {
        let values = || x.iter().skip(channel).step_by(self.c);
        let mean = values().sum::<f64>() / self.rows as f64;
        let var = values().map(|x| (x - mean).powi(2)).sum::<f64>() / self.rows as f64;
        [mean, 1.0 / (var + EPS).sqrt()]
    }

    /// The part of L = sum dy y of one channel, for other x.
    fn loss(&self, x: &[f64], channel: usize) -> f64 {
        let [mean, inv_std] = self.statistics(x, channel);
        let pairs = x.iter().zip(&self.dy).skip(channel).step_by(self.c);
        pairs.map(|(x, dy)| dy * self.gamma[channel] * (x - mean) * inv_std).sum()
    }

    fn difference(&self, at: usize) -> f64 {
        let loss = |step: f64| {
            let mut x = self.x.clone();
            x[at] += step;
            self.loss(&x, at % self.c)
        };
        (loss(STEP) - loss(-STEP)) / (2.0 * STEP)
    }

    /// The gradient by some of the three ways: always directly, by the mean, by the variance.
    fn by(&self, mean_way: bool, variance_way: bool, dgamma: &[f64], dbeta: &[f64]) -> Vec<f64> {
        let one = |at: usize| {
            let channel = at % self.c;
            let [mean, inv_std] = self.statistics(&self.x, channel);
            let rows = self.rows as f64;
            let mean_part = f64::from(u8::from(mean_way)) * dbeta[channel] / rows;
            let variance_part =
                f64::from(u8::from(variance_way)) * (self.x[at] - mean) * inv_std * dgamma[channel] / rows;
            self.gamma[channel] * inv_std * (self.dy[at] - mean_part - variance_part)
        };
        (0..self.x.len()).map(one).collect()
    }

    fn check(&self) -> Finding {
        let (dx, dgamma, dbeta) = batchnorm_backward(&self.x, &self.dy, &self.gamma, self.c);
        // L is linear in gamma and beta.
        let normal = |at: usize| {
            let [mean, inv_std] = self.statistics(&self.x, at % self.c);
            (self.x[at] - mean) * inv_std
        };
        let (mut want_dgamma, mut want_dbeta) = (vec![0.0; self.c], vec![0.0; self.c]);
        for (at, dy) in self.dy.iter().enumerate() {
            want_dbeta[at % self.c] += dy;
            want_dgamma[at % self.c] += dy * normal(at);
        }
        let is_exchanged = close("", &dbeta, &want_dgamma, TOLERANCE).is_ok()
            && close("", &dgamma, &want_dbeta, TOLERANCE).is_ok();
        close("dbeta", &dbeta, &want_dbeta, TOLERANCE).map_err(|found| match is_exchanged {
            true => format!("{found}: dgamma and dbeta are exchanged; the order is dx, dgamma, dbeta"),
            false => found,
        })?;
        close("dgamma", &dgamma, &want_dgamma, TOLERANCE).map_err(|found| {
            format!("{found}: it is sum dy x^, with the variance of all R values and eps in the root")
        })?;
        let want: Vec<f64> = (0..self.x.len()).map(|at| self.difference(at)).collect();
        let Err(found) = close("dx", &dx, &want, TOLERANCE) else { return Ok(()) };
        let is = |mean_way, variance_way| {
            close("dx", &dx, &self.by(mean_way, variance_way, &want_dgamma, &want_dbeta), TOLERANCE).is_ok()
        };
        let with_gamma: Vec<f64> =
            dx.iter().enumerate().map(|(at, dx)| dx * self.gamma[at % self.c]).collect();
        let has_no_gamma = close("dx", &with_gamma, &want, TOLERANCE).is_ok();
        Err(match (is(false, false), is(true, false), is(false, true)) {
            (true, ..) => format!("{found}: x enters y by the mean and by the variance too"),
            (_, true, _) => format!("{found}: the way by the variance is missing"),
            (_, _, true) => format!("{found}: the way by the mean is missing"),
            _ if has_no_gamma => format!("{found}: the factor gamma is missing"),
            _ => format!("{found}, the difference quotient"),
        })
    }
}

pub fn grade(checks: &mut Checks) {
    for (rows, c) in [(2, 1), (2, 17), (3, 5), (50, 1), (20, 17)] {
        checks.check(&format!("{rows} rows, {c} channels"), || Layer::new(rows, c).check());
    }
    checks.check("a constant channel", || {
        let mut layer = Layer::new(6, 3);
        layer.x.iter_mut().skip(1).step_by(3).for_each(|x| *x = 0.25);
        layer.check()
    });
}

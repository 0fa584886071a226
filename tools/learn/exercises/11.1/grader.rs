//! Both gradients as central differences of the loss: with partners that move, and with partners that stay.

use crate::answer::gradients;
use crate::checks::*;

struct Batch {
    x: Vec<Vec<f64>>,
    labels: Vec<usize>,
    centers: Vec<Vec<f64>>,
    tau: f64,
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

impl Batch {
    /// Features of length 1. No hinge is near its kink, and no image has two negatives of nearly the same distance.
    fn random(labels: &[usize], d: usize, tau: f64) -> Self {
        let m = labels.len();
        for seed in 0.. {
            let mut numbers = Numbers::new(seed + (1000 * m + d) as u64);
            let mut unit = || {
                let x = numbers.many(d);
                let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
                x.iter().map(|x| x / length).collect::<Vec<f64>>()
            };
            let x = (0..m).map(|_| unit()).collect();
            let centers = (0..=labels.iter().copied().max().unwrap_or(0)).map(|_| unit()).collect();
            let batch = Batch { x, labels: labels.to_vec(), centers, tau };
            let is_clear = (0..m).all(|i| {
                let mut distances = batch.negatives(i);
                distances.sort_by(f64::total_cmp);
                let near = distances.first().is_some_and(|d| (d - tau).abs() < 1e-3);
                !near && distances.get(1).is_none_or(|second| second - distances[0] > 1e-3)
            });
            if is_clear {
                return batch;
            }
        }
        unreachable!()
    }

    fn negatives(&self, i: usize) -> Vec<f64> {
        let others = (0..self.x.len()).filter(|j| self.labels[*j] != self.labels[i]);
        others.map(|j| squared_distance(&self.x[i], &self.x[j])).collect()
    }

    /// L_b + L_c. `partners` are the features at the other end of each pair.
    fn loss(&self, x: &[Vec<f64>], partners: &[Vec<f64>]) -> f64 {
        let mut total = 0.0;
        for (own, label) in x.iter().zip(&self.labels) {
            let mut nearest = f64::INFINITY;
            for (partner, other) in partners.iter().zip(&self.labels) {
                let distance = squared_distance(own, partner);
                if label == other {
                    total += distance;
                } else {
                    nearest = nearest.min(distance);
                }
            }
            total += (self.tau - nearest).max(0.0) + squared_distance(own, &self.centers[*label]);
        }
        0.5 * total
    }

    /// The central differences of the loss, with partners that stay, or that are the same features.
    fn differences(&self, partners_stay: bool) -> Vec<Vec<f64>> {
        const STEP: f64 = 1e-5;
        let mut x = self.x.clone();
        let mut one = |i: usize, k: usize| {
            let mut at = |delta: f64| {
                x[i][k] = self.x[i][k] + delta;
                self.loss(&x, if partners_stay { &self.x } else { &x })
            };
            let difference = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            x[i][k] = self.x[i][k];
            difference
        };
        (0..self.x.len()).map(|i| (0..self.x[i].len()).map(|k| one(i, k)).collect()).collect()
    }

    /// The paper's gradient by its formula: sum of the pairs, the hinge, the center. `pick` chooses among the images of
    /// other persons; `is_active` gets the squared distance.
    fn formula(
        &self,
        hinge: f64,
        pick: impl Fn(&[(usize, f64)]) -> usize,
        is_active: impl Fn(f64) -> bool,
    ) -> Vec<Vec<f64>> {
        let of_image = |i: usize| {
            let own = &self.x[i];
            let mut dx: Vec<f64> =
                own.iter().zip(&self.centers[self.labels[i]]).map(|(x, c)| x - c).collect();
            let mut add = |factor: f64, j: usize| {
                dx.iter_mut().zip(own).zip(&self.x[j]).for_each(|((dx, a), b)| *dx += factor * (a - b));
            };
            let mut negatives = Vec::new();
            for j in 0..self.x.len() {
                match self.labels[j] == self.labels[i] {
                    true => add(1.0, j),
                    false => negatives.push((j, squared_distance(own, &self.x[j]))),
                }
            }
            if !negatives.is_empty() {
                let j = pick(&negatives);
                if is_active(squared_distance(own, &self.x[j])) {
                    add(hinge, j);
                }
            }
            dx
        };
        (0..self.x.len()).map(of_image).collect()
    }

    fn compare(&self, name: &str, got: &[Vec<f64>], want: &[Vec<f64>]) -> Finding {
        that(got.len() == want.len(), || format!("{name} has {} rows for {} images", got.len(), want.len()))?;
        got.iter().zip(want).enumerate().try_for_each(|(i, (got, want))| {
            close("dx", got, want, 1e-6).map_err(|found| format!("{name}, image {i}: {found}"))
        })
    }

    fn grade(&self) -> Finding {
        let [paper, exact] = gradients(&self.x, &self.labels, &self.centers, self.tau);
        let [want_paper, want_exact] = [true, false].map(|partners_stay| self.differences(partners_stay));
        let is = |got: &[Vec<f64>], want: &[Vec<f64>]| self.compare("", got, want).is_ok();
        self.compare("the paper's gradient", &paper, &want_paper).map_err(|found| {
            let first_nearest = |all: &[(usize, f64)]| all.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
            let tau = self.tau;
            if is(&paper, &want_exact) {
                "the first gradient is the derivative of (3), in which the partners move; (8) holds them constant"
                    .into()
            } else if is(&paper, &self.formula(1.0, first_nearest, |d| d < tau)) {
                "the hinge has the wrong sign: the loss falls when the nearest negative goes away".into()
            } else if is(&paper, &self.formula(-1.0, first_nearest, |d| d.sqrt() < tau)) {
                "the distance itself is compared with tau, as (8) is printed; (3) and the product compare its square"
                    .into()
            } else if is(&paper, &self.formula(-1.0, first_nearest, |_| true)) {
                "a hinge pushes although its negative is farther away than tau".into()
            } else {
                found
            }
        })?;
        self.compare("the derivative", &exact, &want_exact).map_err(|found| {
            if is(&exact, &want_paper) {
                return "the second gradient is the paper's: x_i is also the partner of other images".into();
            }
            // Twice the pairs, and the hinge of the image itself only.
            let mut half = want_paper.clone();
            for (i, half) in half.iter_mut().enumerate() {
                for j in (0..self.x.len()).filter(|j| self.labels[*j] == self.labels[i]) {
                    half.iter_mut().zip(&self.x[i]).zip(&self.x[j]).for_each(|((h, a), b)| *h += a - b);
                }
            }
            match is(&exact, &half) {
                true => {
                    "the derivative lacks the images whose hardest negative is image i: x_i is in their hinges"
                        .into()
                }
                false => found,
            }
        })
    }
}

pub fn grade(checks: &mut Checks) {
    let mut batches = |name: &str, all: &[&[usize]], taus: &[f64]| {
        checks.check(name, || {
            for labels in all {
                for d in [2, 3, 16] {
                    taus.iter().try_for_each(|tau| {
                        let named = |found| format!("labels {labels:?}, {d} numbers, tau {tau}: {found}");
                        Batch::random(labels, d, *tau).grade().map_err(named)
                    })?;
                }
            }
            Ok(())
        });
    };
    batches("one person", &[&[0], &[0, 0], &[0, 0, 0, 0, 0]], &[0.3]);
    batches("all persons different", &[&[0, 1], &[2, 0, 1, 3], &[5, 4, 3, 2, 1, 0]], &[0.3, 0.7, 2.0]);
    batches("some of each", &[&[0, 0, 1, 1], &[0, 1, 0, 2, 1, 3, 0, 4]], &[0.3, 0.7, 2.0]);
    batches("no hinge", &[&[0, 1], &[0, 0, 1, 1, 2]], &[0.0]);
    checks.check("two nearest negatives of the same distance", || {
        // Image 0 lies in the middle of images 1 and 2.
        let x = vec![vec![1.0, 0.0], vec![0.6, 0.8], vec![0.6, -0.8], vec![-1.0, 0.0]];
        let batch = Batch { x, labels: vec![0, 1, 2, 3], centers: vec![vec![0.5, 0.5]; 4], tau: 1.0 };
        let [paper, exact] = gradients(&batch.x, &batch.labels, &batch.centers, batch.tau);
        let first = |all: &[(usize, f64)]| all.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
        let mut want = batch.formula(-1.0, first, |d| d < 1.0);
        let told = |found| format!("{found}; of equal distances the first one counts, once");
        batch.compare("the paper's gradient", &paper, &want).map_err(told)?;
        // Images 0 and 1 are the hardest negatives of each other, and image 2 has image 0.
        for (i, j) in [(0, 1), (0, 2), (1, 0)] {
            let difference = batch.x[i].iter().zip(&batch.x[j]).map(|(a, b)| a - b);
            want[i].iter_mut().zip(difference).for_each(|(want, d)| *want -= d);
        }
        batch.compare("the derivative", &exact, &want).map_err(told)
    });
}

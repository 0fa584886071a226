//! The part left out is the derivative of the loss by x_i as the partner of the other images alone.

use crate::answer::{PASSES, left_out};
use crate::checks::*;

struct Batch {
    x: Vec<Vec<f64>>,
    labels: Vec<usize>,
    tau: f64,
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

impl Batch {
    /// Features of length 1 for which `is_wanted` holds. No hinge is near its kink, and no image has two negatives of
    /// nearly the same distance.
    fn random(labels: &[usize], d: usize, tau: f64, is_wanted: impl Fn(&Batch) -> bool) -> Self {
        let found = (0..100_000).find_map(|seed| {
            let mut numbers = Numbers::new(seed);
            let mut unit = || {
                let x = numbers.many(d);
                let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
                x.iter().map(|x| x / length).collect::<Vec<f64>>()
            };
            let x = labels.iter().map(|_| unit()).collect();
            let batch = Batch { x, labels: labels.to_vec(), tau };
            let is_clear = (0..labels.len()).all(|i| {
                let mut distances = batch.negatives(i);
                distances.sort_by(f64::total_cmp);
                let near = distances.first().is_some_and(|d| (d - tau).abs() < 1e-3);
                !near && distances.get(1).is_none_or(|second| second - distances[0] > 1e-3)
            });
            (is_clear && is_wanted(&batch)).then_some(batch)
        });
        found.expect("such a batch is not rare")
    }

    fn negatives(&self, i: usize) -> Vec<f64> {
        let others = (0..self.x.len()).filter(|j| self.labels[*j] != self.labels[i]);
        others.map(|j| squared_distance(&self.x[i], &self.x[j])).collect()
    }

    fn active_hinges(&self) -> usize {
        (0..self.x.len()).filter(|i| self.negatives(*i).iter().any(|d| *d < self.tau)).count()
    }

    /// The positive part and the hinge part of L_b of features `own` with the partners `partners`.
    fn parts(&self, own: &[Vec<f64>], partners: &[Vec<f64>]) -> [f64; 2] {
        let (mut positive, mut hinge) = (0.0, 0.0);
        for (own, label) in own.iter().zip(&self.labels) {
            let mut nearest = f64::INFINITY;
            for (partner, other) in partners.iter().zip(&self.labels) {
                let distance = squared_distance(own, partner);
                match label == other {
                    true => positive += 0.5 * distance,
                    false => nearest = nearest.min(distance),
                }
            }
            hinge += 0.5 * (self.tau - nearest).max(0.0);
        }
        [positive, hinge]
    }

    /// Central differences of one part: of features, of partners, or of both.
    fn differences(&self, part: usize, moves_own: bool, moves_partners: bool) -> Vec<Vec<f64>> {
        const STEP: f64 = 1e-5;
        let one = |i: usize, k: usize| {
            let at = |delta: f64| {
                let mut moved = self.x.clone();
                moved[i][k] += delta;
                let [own, partners] =
                    [moves_own, moves_partners].map(|moves| if moves { &moved } else { &self.x });
                self.parts(own, partners)[part]
            };
            (at(STEP) - at(-STEP)) / (2.0 * STEP)
        };
        (0..self.x.len()).map(|i| (0..self.x[i].len()).map(|k| one(i, k)).collect()).collect()
    }

    fn grade(&self) -> Finding {
        let got = left_out(&self.x, &self.labels, self.tau);
        for (part, name) in ["positive pairs", "hinges"].into_iter().enumerate() {
            let compare = |want: &[Vec<f64>]| -> Finding {
                let rows = got[part].len();
                that(rows == want.len(), || format!("{rows} rows for {} images", want.len()))?;
                got[part].iter().zip(want).enumerate().try_for_each(|(i, (got, want))| {
                    close("left_out", got, want, 1e-6).map_err(|found| format!("image {i}: {found}"))
                })
            };
            compare(&self.differences(part, false, true)).map_err(|found| {
                let why = if compare(&self.differences(part, true, false)).is_ok() {
                    "that is what (8) has: the loss of image i itself. Left out is what x_i does as a partner, in \
                     the loss of other images"
                } else if compare(&self.differences(part, true, true)).is_ok() {
                    "that is the derivative of the whole part; left out is only what (8) has not"
                } else {
                    &found
                };
                format!("the part of the {name}: {why}")
            })?;
        }
        Ok(())
    }

    /// Whether (8) is the derivative here. The centers are in both alike.
    fn passes(&self) -> bool {
        let missing: Vec<f64> =
            [0, 1].iter().flat_map(|part| self.differences(*part, false, true)).flatten().collect();
        let sums = missing.chunks(self.x.concat().len());
        let total = sums.fold(vec![0.0; self.x.concat().len()], |sum, part| {
            sum.iter().zip(part).map(|(a, b)| a + b).collect()
        });
        total.iter().all(|value| value.abs() < 1e-6)
    }
}

pub fn grade(checks: &mut Checks) {
    let mut batches = |name: &str, all: &[&[usize]], taus: &[f64]| {
        checks.check(name, || {
            for labels in all {
                for d in [2, 3, 16] {
                    taus.iter().try_for_each(|tau| {
                        let named = |found| format!("labels {labels:?}, {d} numbers, tau {tau}: {found}");
                        Batch::random(labels, d, *tau, |_| true).grade().map_err(named)
                    })?;
                }
            }
            Ok(())
        });
    };
    batches("one person", &[&[0], &[0, 0], &[0, 0, 0, 0, 0]], &[0.3]);
    batches("all persons different", &[&[0, 1], &[2, 0, 1, 3], &[5, 4, 3, 2, 1, 0]], &[0.0, 0.3, 2.0]);
    batches("some of each", &[&[0, 0, 1, 1], &[0, 1, 0, 2, 1, 3, 0, 4]], &[0.0, 0.3, 2.0]);
    let batches = [
        ("four persons, no hinge", [0, 1, 2, 3], 0),
        ("four persons, two active hinges", [0, 1, 2, 3], 2),
        ("two persons, no hinge", [0, 0, 1, 1], 0),
        ("one person", [0, 0, 0, 0], 0),
    ];
    for (place, (name, labels, hinges)) in batches.into_iter().enumerate() {
        checks.check(&format!("PASSES: {name}"), || {
            let batch = Batch::random(&labels, 3, 0.4, |batch| batch.active_hinges() == hinges);
            let stated = PASSES[place].ok_or("PASSES still has a hole, a None")?;
            let passes = batch.passes();
            that(stated == passes, || match passes {
                true => "nothing is left out here: there is no pair of one person and no active hinge".into(),
                false => "the check fails here: x_i is also the partner of other images".into(),
            })
        });
    }
}

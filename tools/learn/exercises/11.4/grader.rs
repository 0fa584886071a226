use crate::answer::{at_once, limit};
use crate::checks::*;

/// The distance of a center from the mean of n images, before the first and after the last of `steps` steps.
fn distances(n: usize, rate: f64, steps: usize) -> [f64; 2] {
    const D: usize = 3;
    let mut numbers = Numbers::new(n as u64);
    let images: Vec<Vec<f64>> = (0..n).map(|_| numbers.many(D)).collect();
    let mut center = numbers.many(D);
    let mean: Vec<f64> = (0..D).map(|k| images.iter().map(|x| x[k]).sum::<f64>() / n as f64).collect();
    let away = |center: &[f64]| center.iter().zip(&mean).map(|(c, m)| (c - m).powi(2)).sum::<f64>().sqrt();
    let first = away(&center);
    for _ in 0..steps {
        for k in 0..D {
            let delta = images.iter().map(|x| center[k] - x[k]).sum::<f64>() / (1.0 + n as f64);
            center[k] -= rate * delta;
        }
    }
    [first, away(&center)]
}

const IMAGES: [usize; 6] = [1, 2, 3, 4, 16, 100];

pub fn grade(checks: &mut Checks) {
    checks.check("the limit", || {
        for n in IMAGES {
            let rate = limit(n);
            that(rate.is_finite() && rate > 0.0, || format!("{n} images: {rate} is no rate"))?;
            for (share, shrinks) in [(0.99, true), (1.01, false)] {
                let [first, last] = distances(n, share * rate, 200);
                let message = |what| {
                    format!(
                        "{n} images, rate {}, {share} of the stated limit: after 200 steps the distance of {first:.4} \
                         has become {last:.3e}, and must {what}",
                        short(share * rate)
                    )
                };
                that(!shrinks || last < 0.5 * first, || message("shrink"))?;
                that(shrinks || last > 2.0 * first, || message("grow"))?;
            }
        }
        Ok(())
    });
    checks.check("the best rate", || {
        for n in IMAGES {
            let [first, last] = distances(n, at_once(n), 1);
            that(last < 1e-9, || {
                format!(
                    "{n} images: after a step with {} the distance is {last} (before: {first})",
                    at_once(n)
                )
            })?;
        }
        Ok(())
    });
}

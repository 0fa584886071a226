use crate::answer::{log_softmax, log_softmax_backward};
use crate::checks::*;

fn in_f64(z: &[f32]) -> Vec<f64> {
    let max = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let moved: Vec<f64> = z.iter().map(|z| f64::from(*z) - f64::from(max)).collect();
    let log = moved.iter().map(|z| z.exp()).sum::<f64>().ln();
    moved.iter().map(|z| z - log).collect()
}

/// Logits and their name.
fn inputs() -> Vec<(&'static str, Vec<f32>)> {
    let noise = |n: usize| Numbers::new(n as u64).many_f32(n);
    let with = |mut z: Vec<f32>, at: usize, value: f32| {
        z[at] = value;
        z
    };
    vec![
        ("one logit", vec![-3.5]),
        ("noise", noise(7)),
        ("many", noise(1000)),
        ("a peak of 100", with(noise(16), 5, 100.0)),
        ("a peak of 1e4", with(noise(16), 5, 1e4)),
        ("all at 1e4", noise(9).iter().map(|z| 1e4 + 64.0 * z).collect()),
        ("all at -1e4", noise(9).iter().map(|z| -1e4 + 64.0 * z).collect()),
        ("close together at 1e4", noise(9).iter().map(|z| 1e4 + z).collect()),
        ("one minus infinity", with(noise(6), 2, f32::NEG_INFINITY)),
    ]
}

pub fn grade(checks: &mut Checks) {
    for (name, z) in inputs() {
        checks.check(&format!("forward, {name}"), || {
            let (y, want) = (log_softmax(&z), in_f64(&z));
            that(y.len() == z.len(), || format!("{} results for {} logits", y.len(), z.len()))?;
            for (at, (&got, &want)) in y.iter().zip(&want).enumerate() {
                that(!got.is_nan() && got != f32::INFINITY, || {
                    format!("y[{at}] is {got} for the logit {}: exp overflows: subtract the largest logit first", z[at])
                })?;
                that(got.is_finite() || want.is_infinite(), || {
                    format!("y[{at}] is {got} instead of {want:.1}: the probability became 0 before its logarithm")
                })?;
                let near = f64::from(got) == want || (f64::from(got) - want).abs() <= 2e-6 * want.abs().max(1.0);
                let far = (f64::from(got) - want).abs() <= 2e-3;
                that(near || !far, || {
                    format!("y[{at}] is {got} instead of {want:.7}: digits are lost; subtract M from the logit first, \
                             and then the logarithm")
                })?;
                that(near, || format!("y[{at}] is {got} instead of {want:.7}"))?;
            }
            Ok(())
        });
        checks.check(&format!("backward, {name}"), || {
            let y: Vec<f32> = in_f64(&z).iter().map(|y| *y as f32).collect();
            let dy = Numbers::new(9).many_f32(z.len());
            let sum: f64 = dy.iter().map(|dy| f64::from(*dy)).sum();
            let gradient = |part: fn(f64, f64, f64) -> f64, total: f64| -> Vec<f64> {
                y.iter().zip(&dy).map(|(y, dy)| part(f64::from(*dy), f64::from(*y).exp(), total)).collect()
            };
            let got = log_softmax_backward(&y, &dy);
            let found = close("dz", &got, &gradient(|dy, p, sum| dy - p * sum, sum), 1e-5);
            let along = y.iter().zip(&dy).map(|(y, dy)| f64::from(*y).exp() * f64::from(*dy)).sum();
            let is = |wrong: &[f64]| close("dz", &got, wrong, 1e-5).is_ok();
            found.map_err(|found| match () {
                () if is(&gradient(|dy, p, _| dy - p, 0.0)) => {
                    format!(
                        "{found}: this is right if the sum of dy is 1; each y_j depends on z_k, with -p_k"
                    )
                }
                () if is(&gradient(|dy, p, along| p * (dy - along), along)) => {
                    format!("{found}: this is the gradient of the softmax, not of its logarithm")
                }
                () => format!("{found}; the derivative of y_j by z_k is [j = k] - p_k"),
            })
        });
    }
}

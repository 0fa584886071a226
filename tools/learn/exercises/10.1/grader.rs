use crate::answer::{rest, sgd};
use crate::checks::*;

const STEPS: usize = 30;

/// Weight and velocity after each step. The velocity is computed as a weighted sum of all gradients so far.
fn want(gradients: &[f64], rates: &[f64], mu: f64, caffe: bool) -> Vec<[f64; 2]> {
    let mut w = 1.0;
    (0..gradients.len())
        .map(|now| {
            let share = |then: usize| mu.powi((now - then) as i32) * gradients[then];
            let v: f64 =
                (0..=now).map(|then| if caffe { rates[then] * share(then) } else { share(then) }).sum();
            w -= if caffe { v } else { rates[now] * v };
            [w, v]
        })
        .collect()
}

fn steps(mu: f64, rates: &[f64; 3], caffe: bool) -> Finding {
    let gradients = Numbers::new((100.0 * mu) as u64).many(STEPS);
    let rates: Vec<f64> = (0..STEPS).map(|step| rates[step * 3 / STEPS]).collect();
    let [own, other] = [caffe, !caffe].map(|caffe| want(&gradients, &rates, mu, caffe));
    let (mut w, mut v) = (1.0, 0.0);
    for step in 0..STEPS {
        sgd(&mut w, &mut v, gradients[step], rates[step], mu, caffe);
        if let Err(found) = close("w and v", &[w, v], &own[step], 1e-12) {
            let is_other = close("", &[w, v], &other[step], 1e-12).is_ok();
            let why = match is_other {
                true => ": that is the other convention".into(),
                false => format!(" (w is the first, v the second): {found}"),
            };
            return Err(format!("momentum {mu}, step {step}, learning rate {}{why}", rates[step]));
        }
    }
    Ok(())
}

pub fn grade(checks: &mut Checks) {
    for (name, caffe) in [("PyTorch's convention", false), ("Caffe's convention", true)] {
        checks.check(name, || {
            for mu in [0.0, 0.5, 0.9, 0.99] {
                steps(mu, &[0.1, 0.1, 0.1], caffe)?;
                steps(mu, &[0.1, 0.01, 0.001], caffe)?;
                steps(mu, &[0.001, 0.2, 0.0], caffe)?;
            }
            Ok(())
        });
    }
    checks.check("the rest of the way", || {
        for mu in [0.0, 0.3, 0.9, 0.99] {
            for v in [1.0, -0.25, 0.0] {
                // With the rate 0 the gradients have no effect.
                let steps = std::iter::successors(Some(mu * v), |step| Some(mu * step));
                let way: f64 = steps.take(4000).sum();
                close("the way", &[rest(v, mu)], &[way], 1e-9).map_err(|found| {
                    format!("momentum {mu}, velocity {v}: {found}; the first step after the drop is mu v")
                })?;
            }
        }
        Ok(())
    });
}

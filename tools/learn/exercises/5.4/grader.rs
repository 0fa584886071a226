use crate::answer;
use crate::checks::*;

type Function = fn(&[f64]) -> Vec<f64>;
type Gradient = fn(&[f64], &[f64]) -> Vec<f64>;

const OPS: [(&str, Function, Gradient); 5] = [
    ("swish", answer::swish, answer::swish_gradient),
    ("huber", answer::huber, answer::huber_gradient),
    ("softmax", answer::softmax, answer::softmax_gradient),
    ("rms_norm", answer::rms_norm, answer::rms_norm_gradient),
    ("neighbours", answer::neighbours, answer::neighbours_gradient),
];

/// Values of the functions at x = [0.3, -2, 1.5].
const AT: [f64; 3] = [0.3, -2.0, 1.5];
const WANT: [[f64; 3]; 5] = [
    [0.172_332_755, -0.238_405_844, 1.226_361_714],
    [0.045, 1.5, 1.0],
    [0.226_225_111, 0.022_681_068, 0.751_093_821],
    [0.206_365_576, -1.375_770_504, 1.031_827_878],
    [-0.6, -3.0, 0.45],
];

/// Whether a gradient agrees with central differences at small and at large x.
fn is_right(f: Function, gradient: Gradient) -> bool {
    let mut numbers = Numbers::new(54);
    (0..20).all(|round| {
        let size = if round % 2 == 0 { 1.0 } else { 5.0 };
        let x: Vec<f64> = numbers.many(6).iter().map(|x| size * x).collect();
        let weights = numbers.many(6);
        let loss = |x: &[f64]| -> f64 { f(x).iter().zip(&weights).map(|(y, w)| y * w).sum() };
        let analytic = gradient(&x, &weights);
        analytic.len() == 6
            && (0..6).all(|i| {
                let at = |delta: f64| {
                    let mut moved = x.clone();
                    moved[i] += delta;
                    loss(&moved)
                };
                let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
                (analytic[i] - numeric).abs() <= 1e-5 * numeric.abs().max(1.0)
            })
    })
}

pub fn grade(checks: &mut Checks) {
    checks.check("the name", || {
        that(answer::FOUND != "?", || {
            "FOUND still is the hole, \"?\": write the name of the operation".into()
        })?;
        let names = OPS.map(|(name, ..)| name);
        that(names.contains(&answer::FOUND), || {
            format!("there is no operation `{}`: {}", answer::FOUND, names.join(", "))
        })?;
        that(answer::FOUND == "huber", || {
            format!("the gradient of {} had no error: check each one with several inputs", answer::FOUND)
        })
    });
    checks.check("the functions are as they were", || {
        for ((name, f, _), want) in OPS.into_iter().zip(WANT) {
            close("y", &f(&AT), &want, 1e-8).map_err(|found| format!("{name} was right before: {found}"))?;
        }
        Ok(())
    });
    checks.check("all gradients are right", || {
        that(OPS.iter().all(|(_, f, gradient)| is_right(*f, *gradient)), || {
            "a gradient is still wrong; your checker of exercise 5.1 finds it, if some of its inputs are large".into()
        })
    });
}

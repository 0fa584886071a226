use crate::answer::check;
use crate::checks::*;

type Function = fn(&[f64]) -> Vec<f64>;
type Gradient = fn(&[f64], &[f64]) -> Vec<f64>;

/// The matrix [3, 5] of the linear function.
const W: [[f64; 5]; 3] =
    [[0.3, -1.2, 0.8, 2.0, -0.4], [1.1, 0.6, -0.9, 0.2, 0.7], [-0.5, 1.4, 0.1, -1.3, 0.9]];

fn each(x: &[f64], f: fn(f64) -> f64) -> Vec<f64> {
    x.iter().map(|x| f(*x)).collect()
}

fn times(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    times(a, b).iter().sum()
}

fn softmax(x: &[f64]) -> Vec<f64> {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exp = each_minus(x, max);
    let sum: f64 = exp.iter().sum();
    exp.iter().map(|e| e / sum).collect()
}

fn each_minus(x: &[f64], max: f64) -> Vec<f64> {
    x.iter().map(|x| (x - max).exp()).collect()
}

fn log_softmax(x: &[f64]) -> Vec<f64> {
    each(&softmax(x), f64::ln)
}

fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

fn normalise(x: &[f64]) -> Vec<f64> {
    x.iter().map(|v| v / norm(x)).collect()
}

fn map(x: &[f64]) -> Vec<f64> {
    W.iter().map(|row| dot(row, x)).collect()
}

fn running_sum(x: &[f64]) -> Vec<f64> {
    x.iter()
        .scan(0.0, |sum, x| {
            *sum += x;
            Some(*sum)
        })
        .collect()
}

fn exchange(mut dx: Vec<f64>) -> Vec<f64> {
    dx.swap(0, 1);
    dx
}

const RIGHT: [(&str, Function, Gradient); 12] = [
    ("square", |x| each(x, |x| x * x), |x, dy| times(&each(x, |x| 2.0 * x), dy)),
    ("cube", |x| each(x, |x| x * x * x), |x, dy| times(&each(x, |x| 3.0 * x * x), dy)),
    ("exponential", |x| each(x, f64::exp), |x, dy| times(&each(x, f64::exp), dy)),
    ("sine", |x| each(x, f64::sin), |x, dy| times(&each(x, f64::cos), dy)),
    ("sum", |x| vec![x.iter().sum()], |x, dy| vec![dy[0]; x.len()]),
    ("squared norm", |x| vec![dot(x, x)], |x, dy| x.iter().map(|x| 2.0 * x * dy[0]).collect()),
    ("softmax", softmax, |x, dy| {
        let y = softmax(x);
        let mean = dot(&y, dy);
        y.iter().zip(dy).map(|(y, dy)| y * (dy - mean)).collect()
    }),
    ("log-softmax", log_softmax, |x, dy| {
        let total: f64 = dy.iter().sum();
        softmax(x).iter().zip(dy).map(|(p, dy)| dy - p * total).collect()
    }),
    ("linear map", map, |x, dy| (0..x.len()).map(|j| (0..3).map(|i| W[i][j] * dy[i]).sum()).collect()),
    ("normalisation", normalise, |x, dy| {
        let y = normalise(x);
        let along = dot(&y, dy);
        y.iter().zip(dy).map(|(y, dy)| (dy - y * along) / norm(x)).collect()
    }),
    ("running sum", running_sum, |_, dy| {
        let mut dx = running_sum(&dy.iter().rev().copied().collect::<Vec<_>>());
        dx.reverse();
        dx
    }),
    ("constant", |_| vec![3.0, 4.0], |x, _| vec![0.0; x.len()]),
];

const WRONG: [(&str, Function, Gradient); 12] = [
    ("square, the factor 2 is missing", |x| each(x, |x| x * x), times),
    ("square, 0.1 % too large", |x| each(x, |x| x * x), |x, dy| times(&each(x, |x| 2.002 * x), dy)),
    ("cube, a wrong sign", |x| each(x, |x| x * x * x), |x, dy| times(&each(x, |x| -3.0 * x * x), dy)),
    (
        "sine, two outputs are exchanged",
        |x| each(x, f64::sin),
        |x, dy| exchange(times(&each(x, f64::cos), dy)),
    ),
    (
        "exponential, taken at y instead of x",
        |x| each(x, f64::exp),
        |x, dy| times(&each(&each(x, f64::exp), f64::exp), dy),
    ),
    ("sum, dy is ignored", |x| vec![x.iter().sum()], |x, _| vec![1.0; x.len()]),
    ("softmax, the sum is missing", softmax, |x, dy| times(&softmax(x), dy)),
    ("softmax, the gradient is 0", softmax, |x, _| vec![0.0; x.len()]),
    ("log-softmax, the softmax is missing", log_softmax, |_, dy| dy.to_vec()),
    ("linear map, right in all elements but the last", map, |x, dy| {
        (0..x.len())
            .map(|j| (0..3).map(|i| W[i][j] * dy[i]).sum::<f64>() * if j == 4 { 1.2 } else { 1.0 })
            .collect()
    }),
    ("normalisation, the projection is missing", normalise, |x, dy| {
        dy.iter().map(|dy| dy / norm(x)).collect()
    }),
    ("running sum, summed from the wrong end", running_sum, |_, dy| running_sum(dy)),
];

/// Noise, and noise with a peak.
const INPUTS: [[f64; 5]; 2] = [[0.7, -0.4, 1.3, -1.1, 0.2], [-0.3, 3.5, 0.6, -0.8, 1.2]];

pub fn grade(checks: &mut Checks) {
    checks.check("right gradients", || {
        for (name, f, gradient) in RIGHT {
            for x in INPUTS {
                that(check(f, gradient, &x), || {
                    format!("rejects the right gradient of {name}: is the step neither too large nor too small, and \
                             the difference central?")
                })?;
            }
        }
        Ok(())
    });
    for (name, f, gradient) in WRONG {
        checks.check(&format!("wrong: {name}"), || {
            // A check at one of the inputs is enough: some errors vanish at others.
            that(INPUTS.iter().any(|x| !check(f, gradient, x)), || {
                format!(
                    "accepts a wrong gradient: {name}; are the weights of the outputs different, all elements \
                     compared, the \
                     tolerance small?"
                )
            })
        });
    }
}

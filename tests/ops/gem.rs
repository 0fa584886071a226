pub mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input, noise};
use crate::on::{self, host};
use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::element::DType;
use bcreid::ops::gem::{EPS, gem};
use bcreid::tensor::Tensor;

/// Values as a map has them behind a ReLU: half of them 0, the others up to 2.
fn rectified(seed: u64, n: usize) -> Vec<f32> {
    noise(seed, n).iter().map(|v| 2.0 * v.max(0.0)).collect()
}

#[test]
fn gradient() {
    on::each(|device| {
        for (shape, p) in
            [([2, 3, 5, 7], 3.0), ([1, 1, 1, 17], 2.0), ([3, 2, 1, 32], 1.25), ([1, 3, 2, 4], 5.5)]
        {
            let n = shape.iter().product();
            // Far enough from EPS for a step of the check.
            let x = noise(1, n).iter().map(|v| 0.75 + 0.5 * v).collect();
            let inputs = [Input::new(shape, x), Input::new([1], vec![p])];
            Check::default().run(device, &inputs, |t, v| gem(t, v[0].clone(), v[1].clone()));
        }
    });
}

/// y, dx and dp; the gradients are added to `earlier` if there are any.
fn all(
    device: &Device,
    shape: [usize; 4],
    (x, p, dy): (&[f32], f32, &[f32]),
    earlier: Option<(&[f32], f32)>,
) -> [Vec<f32>; 3] {
    let mut params = Params::none(device);
    let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
    let x = tape.leaf(on::tensor(device, shape, x));
    let p = tape.leaf(Tensor::from_f32(device, [1], &[p]).unwrap());
    let y = gem(&mut tape, x.clone(), p.clone()).unwrap();
    assert_eq!((y.shape().dims(), y.value.dtype()), (&[shape[0], shape[3]][..], DType::F32));
    let out = host(&y.value);
    let mut seeds = vec![(y.clone(), Tensor::from_f32(device, y.shape(), dy).unwrap())];
    if let Some((of_x, of_p)) = earlier {
        seeds.push(on::earlier_gradient(&mut tape, &x, of_x));
        seeds.push(on::earlier_gradient(&mut tape, &p, &[of_p]));
    }
    let mut grads = tape.backward(seeds).unwrap();
    [out, host(&grads.take(&x).unwrap()), host(&grads.take(&p).unwrap())]
}

#[test]
fn golden_values() {
    on::each(|device| {
        let golden = golden::read("gem");
        let values = |name: &str| &golden[name].values[..];
        for key in ["three", "one", "other"] {
            let own = |name: &str| values(&format!("{key}.{name}"));
            let inputs = (values("x"), own("p")[0], values("dy"));
            let [y, dx, dp] = all(device, [3, 4, 4, 37], inputs, None);
            assert_close(&format!("{key}.y"), &y, own("y"), 2e-6);
            assert_close(&format!("{key}.dx"), &dx, own("dx"), 2e-6);
            assert_close(&format!("{key}.dp"), &dp, own("dp"), 1e-5);
        }
    });
}

/// y, dx and dp by the definition in f64.
fn reference([n, h, w, c]: [usize; 4], x: &[f32], p: f32, dy: &[f32]) -> (Vec<f64>, Vec<f64>, f64) {
    let (positions, p) = (h * w, f64::from(p));
    let raised = |v: f32| f64::from(if v < EPS { EPS } else { v });
    let (mut y, mut dx, mut dp) = (vec![0.0; n * c], vec![0.0; x.len()], 0.0);
    for (i, y) in y.iter_mut().enumerate() {
        let at = |position: usize| (i / c * positions + position) * c + i % c;
        let values: Vec<f64> = (0..positions).map(|position| raised(x[at(position)])).collect();
        let mean = |f: &dyn Fn(f64) -> f64| values.iter().map(|v| f(*v)).sum::<f64>() / positions as f64;
        let power = mean(&|v| v.powf(p));
        *y = power.powf(1.0 / p);
        let dy = f64::from(dy[i]);
        dp += dy * *y * (mean(&|v| v.powf(p) * v.ln()) / (p * power) - power.ln() / (p * p));
        for position in (0..positions).filter(|position| x[at(*position)] >= EPS) {
            dx[at(position)] = dy * y.powf(1.0 - p) * values[position].powf(p - 1.0) / positions as f64;
        }
    }
    (y, dx, dp)
}

/// Against the definition, written and added: one channel, packs and neither, many images, channels and positions.
#[test]
fn every_size() {
    on::each_precision(|device| {
        let shapes = [
            [1, 1, 1, 1],
            [3, 8, 4, 37],
            [2, 7, 1, 132],
            [2, 8, 4, 264],
            [2, 4, 2, 1030],
            [65, 2, 1, 5],
            [1, 50, 20, 16],
        ];
        for (shape, p) in shapes.into_iter().zip([3.0, 3.0, 1.0, 2.5, 4.0, 6.0, 3.5]) {
            let [n, h, w, c] = shape;
            let x = on::rounded(device, &rectified(1, n * h * w * c));
            let dy = noise(2, n * c);
            let (want_y, want_dx, want_dp) = reference(shape, &x, p, &dy);
            let earlier = on::rounded(device, &noise(3, x.len()));
            let [y, dx, dp] = all(device, shape, (&x, p, &dy), None);
            let [again, added, sum] = all(device, shape, (&x, p, &dy), Some((&earlier, 0.5)));
            assert_eq!(again, y, "{shape:?}");
            let f32s = |values: &[f64]| values.iter().map(|v| *v as f32).collect::<Vec<f32>>();
            assert_close(&format!("{shape:?} y"), &y, &f32s(&want_y), 4e-6);
            assert_close(&format!("{shape:?} dx"), &dx, &f32s(&want_dx), on::tolerance(device, 4e-6));
            let terms: f64 = dy.iter().zip(&want_y).map(|(dy, y)| f64::from(dy.abs()) * y).sum();
            assert!(
                (f64::from(dp[0]) - want_dp).abs() <= 1e-6 * terms.max(1.0),
                "{shape:?}: {dp:?}, {want_dp}"
            );
            assert_close(
                &format!("{shape:?} added"),
                &added,
                &on::sum(&earlier, &f32s(&want_dx)),
                on::tolerance(device, 4e-6),
            );
            assert_close(&format!("{shape:?} dp added"), &sum, &[0.5 + dp[0]], 1e-6);
        }
    });
}

/// Where powers of the values themselves would overflow or vanish: 1e20^3, (3e-5)^9.
#[test]
fn large_and_small_channels_have_their_means() {
    on::each(|device| {
        for (scale, p) in [(1e20f32, 3.0f32), (3e-5, 9.0), (1.0, 40.0)] {
            let x: Vec<f32> = [0.5, 1.0, 0.25, 0.75].iter().map(|v| v * scale).collect();
            let [y, dx, dp] = all(device, [1, 4, 1, 1], (&x, p, &[2.0]), None);
            let (want_y, want_dx, want_dp) = reference([1, 4, 1, 1], &x, p, &[2.0]);
            let close = |a: f32, b: f64| (f64::from(a) - b).abs() <= 1e-5 * b.abs();
            assert!(
                close(y[0], want_y[0]) && close(dp[0], want_dp),
                "{scale}: {y:?}, {want_y:?}, {dp:?}, {want_dp}"
            );
            // The steepest at the largest value; shares of a millionth may be off by more of themselves.
            for (own, want) in dx.iter().zip(&want_dx) {
                assert!((f64::from(*own) - want).abs() <= 1e-5 * want_dx[1], "{scale}: {dx:?}, {want_dx:?}");
            }
        }
    });
}

/// A channel of zeros has the feature EPS and no gradient, and a NaN shows in its channel alone.
#[test]
fn dead_channels_and_nan() {
    on::each(|device| {
        let x = [0.0, 1.0, f32::NAN, 0.0, 2.0, 1.0];
        let [y, dx, _] = all(device, [1, 2, 1, 3], (&x, 3.0, &[1.0; 3]), None);
        assert!((y[0] / EPS - 1.0).abs() < 1e-5 && y[1] > 1.0 && y[2].is_nan(), "{y:?}");
        assert_eq!((dx[0], dx[3]), (0.0, 0.0));
        assert!(dx[1] > 0.0 && dx[4] > dx[1], "{dx:?}");
    });
}

#[test]
fn wrong_shapes_are_refused() {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::no_grad(&mut params).unwrap();
    let mut tensor = |dims: &[usize]| {
        let shape = bcreid::element::Shape::try_from(dims).unwrap();
        tape.constant(Tensor::zeros(&device, shape).unwrap())
    };
    let (flat, empty) = (tensor(&[2, 3]), tensor(&[2, 0, 4, 3]));
    let (map, one, two) = (tensor(&[2, 2, 4, 3]), tensor(&[1]), tensor(&[2]));
    for (x, p, words) in [(flat, &one, "[2, 3]"), (empty, &one, "[2, 0, 4, 3]"), (map, &two, "p is f32 [2]")]
    {
        let error = gem(&mut tape, x, p.clone()).unwrap_err().to_string();
        assert!(error.contains("gem") && error.contains(words), "{error}");
    }
}

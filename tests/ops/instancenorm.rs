pub mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input, noise};
use crate::on::{self, host};
use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::element::Shape;
use bcreid::ops::instancenorm::{EPS, instancenorm};
use bcreid::tensor::Tensor;

#[test]
fn gradient() {
    on::each(|device| {
        for shape in [[2, 3, 5, 7], [1, 2, 2, 17], [3, 2, 1, 4]] {
            let inputs = [Input::noise(shape, 1), Input::noise([shape[3]], 2), Input::noise([shape[3]], 3)];
            let check = Check { tolerance: 5e-3, ..Check::default() };
            check.run(device, &inputs, |t, v| instancenorm(t, v[0].clone(), v[1].clone(), v[2].clone()));
        }
    });
}

/// Inputs x, gamma, beta and dy.
type Inputs<'a> = [&'a [f32]; 4];

/// y, dx, dgamma and dbeta; the gradients are added to `earlier` if there are any.
fn all(
    device: &Device,
    shape: [usize; 4],
    [x, gamma, beta, dy]: Inputs<'_>,
    earlier: Option<[&[f32]; 3]>,
) -> [Vec<f32>; 4] {
    let mut params = Params::none(device);
    let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
    let x = tape.leaf(on::tensor(device, shape, x));
    let [gamma, beta] = [gamma, beta].map(|v| tape.leaf(Tensor::from_f32(device, [v.len()], v).unwrap()));
    let y = instancenorm(&mut tape, x.clone(), gamma.clone(), beta.clone()).unwrap();
    assert_eq!((y.shape().dims(), y.value.dtype()), (&shape[..], device.activations()));
    let out = host(&y.value);
    let mut seeds = vec![(y, on::tensor(device, shape, dy))];
    for (var, earlier) in [&x, &gamma, &beta].into_iter().zip(earlier.into_iter().flatten()) {
        seeds.push(on::earlier_gradient(&mut tape, var, earlier));
    }
    let mut grads = tape.backward(seeds).unwrap();
    let [dx, dgamma, dbeta] = [&x, &gamma, &beta].map(|var| host(&grads.take(var).unwrap()));
    [out, dx, dgamma, dbeta]
}

#[test]
fn golden_values() {
    on::each(|device| {
        let golden = golden::read("instancenorm");
        let inputs = ["x", "gamma", "beta", "dy"].map(|name| &golden[name].values[..]);
        let found = all(device, [3, 4, 5, 19], inputs, None);
        for (name, found) in ["y", "dx", "dgamma", "dbeta"].iter().zip(&found) {
            // A device sums in f32.
            assert_close(name, found, &golden[*name].values, 3e-5);
        }
    });
}

/// y, dx, dgamma and dbeta by the definition in f64.
fn reference([n, h, w, c]: [usize; 4], [x, gamma, beta, dy]: Inputs<'_>) -> [Vec<f32>; 4] {
    let positions = h * w;
    let mut out = [vec![0.0; x.len()], vec![0.0; x.len()], vec![0.0; c], vec![0.0; c]];
    for (image, k) in (0..n).flat_map(|image| (0..c).map(move |k| (image, k))) {
        let at = |position: usize| (image * positions + position) * c + k;
        let mean = |f: &dyn Fn(usize) -> f64| (0..positions).map(f).sum::<f64>() / positions as f64;
        let center = mean(&|i| f64::from(x[at(i)]));
        let std = (mean(&|i| (f64::from(x[at(i)]) - center).powi(2)) + f64::from(EPS)).sqrt();
        let normalised = |i: usize| (f64::from(x[at(i)]) - center) / std;
        let dy = |i: usize| f64::from(dy[at(i)]);
        let (plain, product) = (mean(&dy), mean(&|i| dy(i) * normalised(i)));
        for i in 0..positions {
            out[0][at(i)] = f64::from(gamma[k]) * normalised(i) + f64::from(beta[k]);
            out[1][at(i)] = f64::from(gamma[k]) / std * (dy(i) - plain - normalised(i) * product);
        }
        out[2][k] += product * positions as f64;
        out[3][k] += plain * positions as f64;
    }
    out.map(|values| values.iter().map(|v| *v as f32).collect())
}

/// Against the definition, written and added: channels of one warp and of several, positions of fewer than the warps.
#[test]
fn every_size() {
    on::each_precision(|device| {
        for shape in
            [[1, 1, 2, 1], [3, 8, 4, 37], [2, 7, 1, 132], [2, 16, 8, 64], [33, 4, 2, 5], [1, 30, 20, 16]]
        {
            let [n, h, w, c] = shape;
            // Off its mean, and of another spread in each channel.
            let x: Vec<f32> = noise(1, n * h * w * c)
                .iter()
                .enumerate()
                .map(|(i, v)| v * (1.0 + (i % c) as f32 / c as f32) + 1.5)
                .collect();
            let (x, dy) = (on::rounded(device, &x), on::rounded(device, &noise(2, x.len())));
            let (gamma, beta) = (noise(3, c), noise(4, c));
            let inputs = [&x[..], &gamma, &beta, &dy];
            let want = reference(shape, inputs);
            let earlier = [on::rounded(device, &noise(5, x.len())), noise(6, c), noise(7, c)];
            let found = all(device, shape, inputs, None);
            let added = all(device, shape, inputs, Some(earlier.each_ref().map(|v| &v[..])));
            assert_eq!(added[0], found[0], "{shape:?}");
            // Sums of n h w terms of about 1.
            let sums = 2e-6 * ((n * h * w) as f32).sqrt().max(4.0);
            for (i, name) in ["y", "dx", "dgamma", "dbeta"].into_iter().enumerate() {
                let tolerance = if i < 2 { on::tolerance(device, 2e-5) } else { sums };
                assert_close(&format!("{shape:?} {name}"), &found[i], &want[i], tolerance);
                if let Some(earlier) = i.checked_sub(1).map(|i| &earlier[i]) {
                    assert_close(
                        &format!("{shape:?} {name} added"),
                        &added[i],
                        &on::sum(earlier, &want[i]),
                        tolerance,
                    );
                }
            }
        }
    });
}

/// A channel of equal values, or with one position, is beta, and has no gradient but beta's. A NaN stays in its channel
/// of its image.
#[test]
fn constant_channels_and_nan() {
    on::each(|device| {
        let [y, dx, dgamma, dbeta] =
            all(device, [1, 2, 1, 2], [&[3.0, 1.0, 3.0, 2.0], &[2.0; 2], &[0.5, 0.25], &[1.0; 4]], None);
        assert_eq!((y[0], y[2], dx[0], dx[2], dgamma[0], dbeta[0]), (0.5, 0.5, 0.0, 0.0, 0.0, 2.0));
        let [y, ..] =
            all(device, [2, 1, 1, 2], [&[3.0, 1.0, -3.0, 2.0], &[2.0; 2], &[0.5, 0.25], &[1.0; 4]], None);
        assert_eq!(y, [0.5, 0.25, 0.5, 0.25]);
        let x = [1.0, f32::NAN, 2.0, 1.0, 1.0, 1.0, 2.0, 5.0];
        let [y, ..] = all(device, [2, 2, 1, 2], [&x, &[1.0; 2], &[0.0; 2], &[1.0; 8]], None);
        let nan: Vec<bool> = y.iter().map(|v| v.is_nan()).collect();
        assert_eq!(nan, [false, true, false, true, false, false, false, false]);
    });
}

#[test]
fn wrong_shapes_are_refused() {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::no_grad(&mut params).unwrap();
    let mut tensor =
        |dims: &[usize]| tape.constant(Tensor::zeros(&device, Shape::try_from(dims).unwrap()).unwrap());
    let (flat, empty, map) = (tensor(&[2, 3]), tensor(&[2, 0, 4, 3]), tensor(&[2, 2, 4, 3]));
    let (three, two) = (tensor(&[3]), tensor(&[2]));
    for (x, gamma, beta, words) in [
        (&flat, &three, &three, "[2, 3]"),
        (&empty, &three, &three, "[2, 0, 4, 3]"),
        (&map, &two, &three, "gamma is [2]"),
        (&map, &three, &two, "beta is [2]"),
    ] {
        let error = instancenorm(&mut tape, x.clone(), gamma.clone(), beta.clone()).unwrap_err().to_string();
        assert!(error.contains("instancenorm") && error.contains(words), "{error}");
    }
}

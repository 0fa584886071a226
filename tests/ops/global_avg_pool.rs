mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input, noise};
use crate::on::{self, host};
use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::element::DType;
use bcreid::ops::global_avg_pool::global_avg_pool;
use bcreid::tensor::Tensor;

#[test]
fn gradient() {
    on::each(|device| {
        for shape in [[2, 3, 5, 7], [1, 1, 1, 17], [3, 2, 1, 32]] {
            let input = Input::noise(shape, 1);
            Check::default().run(device, &[input], |t, v| global_avg_pool(t, v[0].clone()));
        }
    });
}

/// y and dx, which is added to `earlier` if there is any.
fn both(device: &Device, shape: [usize; 4], x: &[f32], dy: &[f32], earlier: Option<&[f32]>) -> [Vec<f32>; 2] {
    let mut params = Params::none(device);
    let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
    let x = tape.leaf(on::tensor(device, shape, x));
    let y = global_avg_pool(&mut tape, x.clone()).unwrap();
    assert_eq!((y.shape().dims(), y.value.dtype()), (&[shape[0], shape[3]][..], DType::F32));
    let out = host(&y.value);
    let seed = Tensor::from_f32(device, y.shape(), dy).unwrap();
    let mut seeds = vec![(y, seed)];
    seeds.extend(earlier.map(|earlier| on::earlier_gradient(&mut tape, &x, earlier)));
    let mut grads = tape.backward(seeds).unwrap();
    [out, host(&grads.take(&x).unwrap())]
}

#[test]
fn golden_values() {
    on::each_precision(|device| {
        let golden = golden::read("global_avg_pool");
        let [y, dx] = both(device, [3, 8, 4, 37], &golden["x"].values, &golden["dy"].values, None);
        // In bf16 the inputs and dx are rounded; the features are f32.
        assert_close("y", &y, &golden["y"].values, on::tolerance(device, 1e-6));
        assert_close("dx", &dx, &golden["dx"].values, on::tolerance(device, 1e-7));
    });
}

/// Against means in f64, and dx = dy / (H W) to the bit, written and added: packs of both types, of one and of neither,
/// many images, many channels, many positions.
#[test]
fn every_size() {
    on::each_precision(|device| {
        let shapes = [
            [1, 1, 1, 1],
            [3, 8, 4, 37],
            [2, 7, 1, 132],
            [2, 8, 4, 264],
            [2, 4, 2, 2048],
            [65, 2, 1, 5],
            [1, 50, 20, 16],
        ];
        for shape in shapes {
            let [n, h, w, c] = shape;
            let positions = h * w;
            // One large value among small ones.
            let x: Vec<f32> = noise(1, n * positions * c).iter().map(|v| v.powi(9) * 100.0).collect();
            let (x, dy) = (on::rounded(device, &x), noise(2, n * c));
            let earlier = on::rounded(device, &noise(3, x.len()));
            let [y, dx] = both(device, shape, &x, &dy, None);
            let [again, added] = both(device, shape, &x, &dy, Some(&earlier));
            assert_eq!(again, y, "{shape:?}");
            for (image, (y, x)) in y.chunks(c).zip(x.chunks(positions * c)).enumerate() {
                for (channel, y) in y.iter().enumerate() {
                    let values = || x.iter().skip(channel).step_by(c).map(|&v| f64::from(v));
                    let mean = values().sum::<f64>() / positions as f64;
                    let size = values().map(f64::abs).sum::<f64>() / positions as f64;
                    // The CPU sums in f64. A GPU adds up to `positions` numbers in f32, each time rounding by half a
                    // unit at most; errors of either sign add up like their root.
                    let roundings =
                        if on::is_cuda(device) { 4.0 + 2.0 * (positions as f64).sqrt() } else { 2.0 };
                    let error = (f64::from(*y) - mean).abs();
                    assert!(
                        error <= 6e-8 * roundings * size,
                        "{shape:?}, image {image}, channel {channel}: {y}, {mean}"
                    );
                }
            }
            let share = 1.0 / positions as f32;
            let want = dy.chunks(c).flat_map(|row| std::iter::repeat_n(row, positions)).flatten();
            let want: Vec<f32> = want.map(|dy| dy * share).collect();
            assert_eq!(dx, on::rounded(device, &want), "{shape:?}");
            assert_eq!(added, on::rounded(device, &on::sum(&earlier, &want)), "{shape:?}");
        }
    });
}

#[test]
fn wrong_shapes_are_refused() {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::no_grad(&mut params).unwrap();
    let flat = tape.constant(Tensor::zeros(&device, [2, 3]).unwrap());
    let empty = tape.constant(Tensor::zeros(&device, [2, 0, 4, 3]).unwrap());
    for (x, words) in [(flat, "[2, 3]"), (empty, "[2, 0, 4, 3]")] {
        let error = global_avg_pool(&mut tape, x).unwrap_err().to_string();
        assert!(error.contains("global_avg_pool") && error.contains(words), "{error}");
    }
}

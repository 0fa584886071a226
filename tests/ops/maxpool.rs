mod kernel;

use crate::golden;
use crate::gradient_check::{Check, Input, noise};
use bcreid::device::Device;
use bcreid::ops::maxpool::{MaxPool, maxpool};
use bcreid::tensor::philox::{Philox, RngStream};
use bcreid::tensor::{Params, Shape, StepValues, Tape, Tensor};

/// y's shape, y and dx of one step.
fn step(
    shape: impl Into<Shape>,
    x: &[f32],
    dy: &dyn Fn(usize) -> Vec<f32>,
    pool: MaxPool,
) -> (Shape, Vec<f32>, Vec<f32>) {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    let x = tape.leaf(Tensor::from_f32(&device, shape, x).unwrap());
    let y = maxpool(&mut tape, x.clone(), pool).unwrap();
    let (sizes, values) = (y.shape(), y.value.to_host_f32().unwrap());
    let mut grads =
        tape.backward(vec![(y, Tensor::from_f32(&device, sizes, &dy(sizes.len())).unwrap())]).unwrap();
    (sizes, values, grads.take(&x).unwrap().to_host_f32().unwrap())
}

/// Different values with a gap wider than the finite-difference step.
#[test]
fn gradient() {
    let order = Philox::new(5, 0, 0, RngStream::Test).permutation(7 * 6 * 5);
    let x = Input::new([1, 7, 6, 5], order.iter().map(|&i| i as f32 / 16.0 - 6.0).collect());
    for pool in [MaxPool::TORCHVISION, MaxPool::CAFFE] {
        Check::default().run(&Device::cpu(), std::slice::from_ref(&x), |t, v| maxpool(t, v[0].clone(), pool));
    }
}

#[test]
fn golden_values() {
    let golden = golden::read("maxpool");
    for name in ["torchvision", "caffe", "caffe_even", "dropped", "apart"] {
        let v = |what: &str| &golden[&format!("{name}.{what}")];
        let window: Vec<usize> = v("window").i32().iter().map(|&i| i as usize).collect();
        let pool = MaxPool { kernel: window[0], stride: window[1], pad: window[2], ceil: window[3] == 1 };
        let sizes: [usize; 4] = v("x").shape.clone().try_into().unwrap();
        let (shape, y, dx) = step(sizes, &v("x").values, &|_| v("dy").values.clone(), pool);
        assert_eq!(shape.dims(), v("y").shape, "{name}");
        assert_eq!(y, v("y").values, "{name}");
        golden::assert_close(name, &dx, &v("dx").values, 1e-6);
    }
}

#[test]
fn resnet_sizes() {
    let sides = |pool: MaxPool| [128, 64, 113].map(|side| pool.windows(side).unwrap());
    assert_eq!(sides(MaxPool::TORCHVISION), [64, 32, 57]);
    assert_eq!(sides(MaxPool::CAFFE), [64, 32, 56]);
    assert_eq!(MaxPool::TORCHVISION.windows(0), None);
    assert_eq!(MaxPool { stride: 0, ..MaxPool::CAFFE }.windows(8), None);
}

/// NaN wins, the last of several, as in PyTorch; a window of -inf gives its gradient to its first pixel.
#[test]
fn nan_and_infinity() {
    let pool = MaxPool { kernel: 2, stride: 2, pad: 0, ceil: false };
    let (nan, inf) = (f32::NAN, f32::NEG_INFINITY);
    let x = [1.0, nan, inf, inf, nan, 9.0, inf, inf];
    let (_, y, dx) = step([1, 2, 4, 1], &x, &|_| vec![3.0, 5.0], pool);
    assert!(y[0].is_nan() && y[1] == inf);
    assert_eq!(dx, [0.0, 0.0, 5.0, 0.0, 3.0, 0.0, 0.0, 0.0]);
}

/// The values of inference are those of training, and bits do not depend on the number of threads.
#[test]
fn one_value_in_every_mode_and_pool_of_threads() {
    let shape = [3, 33, 18, 22];
    let x = noise(1, 3 * 33 * 18 * 22);
    let [one, three] = [1, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| step(shape, &x, &|n| noise(2, n), MaxPool::TORCHVISION))
    });
    assert_eq!(one, three);
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::no_grad(&mut params).unwrap();
    let x = tape.constant(Tensor::from_f32(&device, shape, &x).unwrap());
    assert_eq!(maxpool(&mut tape, x, MaxPool::TORCHVISION).unwrap().value.f32(), one.1);
}

#[test]
fn wrong_windows_and_shapes_are_refused() {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::no_grad(&mut params).unwrap();
    let caffe = MaxPool::CAFFE;
    let cases = [
        (vec![2, 8, 8, 3], MaxPool { kernel: 0, ..caffe }, "kernel 0"),
        (vec![2, 8, 8, 3], MaxPool { kernel: 17, ..caffe }, "kernel 17"),
        (vec![2, 8, 8, 3], MaxPool { stride: 0, ..caffe }, "stride 0"),
        (vec![2, 8, 8, 3], MaxPool { pad: 2, ..caffe }, "pad 2"),
        (vec![2, 8, 2, 3], caffe, "[2, 8, 2, 3]"),
        (vec![2, 0, 8, 3], MaxPool::TORCHVISION, "[2, 0, 8, 3]"),
        (vec![8, 8, 3], caffe, "[8, 8, 3]"),
    ];
    for (shape, pool, words) in cases {
        let x = tape.constant(Tensor::zeros(&device, Shape::try_from(shape.as_slice()).unwrap()).unwrap());
        let error = maxpool(&mut tape, x, pool).unwrap_err().to_string();
        assert!(error.contains("maxpool") && error.contains(words), "{error}");
    }
}

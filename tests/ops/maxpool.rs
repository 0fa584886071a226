mod kernel;

use crate::golden;
use crate::gradient_check::{Check, Input, noise};
use crate::on::{self, host};
use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::element::Shape;
use bcreid::ops::maxpool::{MaxPool, maxpool};
use bcreid::tensor::Tensor;
use bcreid::tensor::philox::{Philox, RngStream};

/// y's shape, y and dx of one step; dx is added to `earlier` if there is any.
fn step(
    device: &Device,
    shape: impl Into<Shape>,
    x: &[f32],
    dy: &dyn Fn(usize) -> Vec<f32>,
    pool: MaxPool,
    earlier: Option<&[f32]>,
) -> (Shape, Vec<f32>, Vec<f32>) {
    let mut params = Params::none(device);
    let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
    let x = tape.leaf(on::tensor(device, shape, x));
    let y = maxpool(&mut tape, x.clone(), pool).unwrap();
    let (sizes, values) = (y.shape(), host(&y.value));
    let mut seeds = vec![(y, on::tensor(device, sizes, &dy(sizes.len())))];
    seeds.extend(earlier.map(|earlier| on::earlier_gradient(&mut tape, &x, earlier)));
    let mut grads = tape.backward(seeds).unwrap();
    (sizes, values, host(&grads.take(&x).unwrap()))
}

/// The output without a gradient.
fn inference(device: &Device, shape: impl Into<Shape>, x: &[f32], pool: MaxPool) -> Vec<f32> {
    let mut params = Params::none(device);
    let mut tape = Tape::no_grad(&mut params).unwrap();
    let x = tape.constant(on::tensor(device, shape, x));
    host(&maxpool(&mut tape, x, pool).unwrap().value)
}

/// Different values with a gap wider than the finite-difference step.
#[test]
fn gradient() {
    on::each(|device| {
        for shape in [[1, 7, 6, 5], [2, 5, 4, 4]] {
            let n = shape.iter().product::<usize>();
            let order = Philox::new(5, 0, 0, RngStream::Test).permutation(n);
            let x = Input::new(shape, order.iter().map(|&i| i as f32 / 16.0 - 6.0).collect());
            for pool in [MaxPool::TORCHVISION, MaxPool::CAFFE] {
                Check::default().run(device, std::slice::from_ref(&x), |t, v| maxpool(t, v[0].clone(), pool));
            }
        }
    });
}

/// Inputs are halves, which bf16 holds: y is exact. dx sums up to four dy.
#[test]
fn golden_values() {
    on::each_precision(|device| {
        let golden = golden::read("maxpool");
        for name in ["torchvision", "caffe", "caffe_even", "dropped", "apart"] {
            let v = |what: &str| &golden[&format!("{name}.{what}")];
            let window: Vec<usize> = v("window").i32().iter().map(|&i| i as usize).collect();
            let pool = MaxPool { kernel: window[0], stride: window[1], pad: window[2], ceil: window[3] == 1 };
            let sizes: [usize; 4] = v("x").shape.clone().try_into().unwrap();
            let dy = |_| v("dy").values.clone();
            let (shape, y, dx) = step(device, sizes, &v("x").values, &dy, pool, None);
            assert_eq!(shape.dims(), v("y").shape, "{name}");
            assert_eq!(y, v("y").values, "{name}");
            // A term of the sum may be as large as 4, and is rounded by a unit of itself.
            let tolerance = (4.0 * on::tolerance(device, 0.0)).max(1e-6);
            golden::assert_close(name, &dx, &v("dx").values, tolerance);
        }
    });
}

/// A maximum is no arithmetic, and the few sums have the CPU's order: every bit is the CPU's, of rounded inputs; dx
/// written and added; inference as training. Many values are equal, NaN or -inf, so that the choice among them counts.
#[test]
fn cuda_devices_agree_with_the_cpu() {
    on::cuda_in_each_precision(|device| {
        let window = |kernel, stride, pad, ceil| MaxPool { kernel, stride, pad, ceil };
        let values = [0.0, 1.0, f32::NEG_INFINITY, f32::INFINITY, f32::NAN, -1e30];
        for (shape, pool) in [
            // Packs of neither type, of one, of both.
            ([2, 9, 7, 3], MaxPool::TORCHVISION),
            ([2, 8, 6, 4], MaxPool::CAFFE),
            ([3, 7, 10, 24], MaxPool::TORCHVISION),
            ([1, 16, 8, 64], MaxPool::CAFFE),
            // An image smaller than the window; a last window that only the rounding up makes; one that it does not.
            ([1, 1, 1, 5], MaxPool::TORCHVISION),
            ([1, 4, 6, 8], MaxPool::CAFFE),
            ([1, 5, 7, 8], window(2, 2, 1, true)),
            // Windows side by side, apart, one pixel, overlapping by much; the largest, with places up to 255.
            ([2, 7, 5, 7], window(2, 2, 0, false)),
            ([1, 11, 13, 2], window(2, 5, 0, false)),
            ([1, 3, 4, 8], window(1, 1, 0, false)),
            ([1, 9, 8, 16], window(5, 1, 2, false)),
            ([1, 17, 19, 3], window(16, 3, 8, true)),
        ] {
            let n = shape.iter().product();
            let noisy = noise(1, n);
            let few = noise(2, n).iter().map(|v| values[((v + 1.0) * 3.0) as usize]).collect();
            for x in [noisy, few] {
                let x = on::rounded(device, &x);
                let earlier = on::rounded(device, &noise(12, n));
                let dy = |len| on::rounded(device, &noise(11, len));
                let (sizes, y, dx) = step(device, shape, &x, &dy, pool, None);
                let (cpu_sizes, cpu_y, cpu_dx) = step(&Device::cpu(), shape, &x, &dy, pool, None);
                let bits = |values: &[f32]| -> Vec<u32> {
                    values.iter().map(|v| if v.is_nan() { f32::NAN } else { *v }.to_bits()).collect()
                };
                let what = format!("{shape:?}, {pool:?}");
                assert_eq!((sizes, bits(&y)), (cpu_sizes, bits(&cpu_y)), "{what}");
                assert_eq!(bits(&inference(device, shape, &x, pool)), bits(&y), "{what}");
                assert_eq!(dx, on::rounded(device, &cpu_dx), "{what}");
                let (_, _, added) = step(device, shape, &x, &dy, pool, Some(&earlier));
                assert_eq!(added, on::rounded(device, &on::sum(&earlier, &cpu_dx)), "{what}");
            }
        }
    });
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
    on::each_precision(|device| {
        let pool = MaxPool { kernel: 2, stride: 2, pad: 0, ceil: false };
        let (nan, inf) = (f32::NAN, f32::NEG_INFINITY);
        let x = [1.0, nan, inf, inf, nan, 9.0, inf, inf];
        let (_, y, dx) = step(device, [1, 2, 4, 1], &x, &|_| vec![3.0, 5.0], pool, None);
        assert!(y[0].is_nan() && y[1] == inf);
        assert_eq!(dx, [0.0, 0.0, 5.0, 0.0, 3.0, 0.0, 0.0, 0.0]);
    });
}

/// The values of inference are those of training, and bits do not depend on the number of threads.
#[test]
fn one_value_in_every_mode_and_pool_of_threads() {
    let shape = [3, 33, 18, 22];
    let (device, x) = (Device::cpu(), noise(1, 3 * 33 * 18 * 22));
    let [one, others @ ..] = [1, 2, 3, 8].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| step(&device, shape, &x, &|n| noise(2, n), MaxPool::TORCHVISION, None))
    });
    others.iter().for_each(|other| assert_eq!(one, *other));
    assert_eq!(inference(&device, shape, &x, MaxPool::TORCHVISION), one.1);
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

//! The index arithmetic of the CPU's loops on small, odd shapes: packing, tiles, partial vectors, moments, and memory
//! that is reused. `tools/miri.sh` runs this file under Miri, which checks each access; no file is read, no process
//! started.

use bcreid::autograd::{ParamSpecs, Params, StepValues, Tape, Var};
use bcreid::device::{Device, Precision};
use bcreid::element::{DType, GradMode, Shape};
use bcreid::eval::distance::{Block, Distances};
use bcreid::ops::batchnorm::{BatchNorm, Epilogue, Statistics, batchnorm};
use bcreid::ops::conv2d::{Conv, conv2d};
use bcreid::ops::linear::linear;
use bcreid::ops::maxpool::{MaxPool, maxpool};
use bcreid::tensor::Tensor;
use bcreid::tensor::philox::{Philox, RngStream};
use half::bf16;

/// Random values in [-1, 1).
fn noise(seed: u64, n: usize) -> Vec<f32> {
    let stream = Philox::new(seed, 0, 0, RngStream::Test);
    (0..n as u32).map(|i| 2.0 * stream.uniform(i) - 1.0).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[track_caller]
fn assert_near(what: &str, ours: f64, theirs: f64, scale: f64) {
    assert!((ours - theirs).abs() <= 1e-4 * scale.max(1.0), "{what}: {ours}, expected {theirs}");
}

/// Free buffers full of NaN: an element that an operation leaves out then shows.
fn soil(device: &Device, lens: &[usize]) {
    let soiled: Vec<Tensor> = lens.iter().map(|&n| Tensor::full(device, [n], f32::NAN).unwrap()).collect();
    drop(soiled);
}

fn leaf(tape: &mut Tape<'_>, shape: impl Into<Shape>, seed: u64) -> Var {
    let shape = shape.into();
    let device = tape.device();
    tape.leaf(Tensor::from_f32(&device, shape, &noise(seed, shape.len())).unwrap())
}

/// Convolves `x` `[N, H, W, C]` by K filters of R x S. It is linear in x and in w, so that <y, dy> = <x, dx> = <w, dw>;
/// y is compared with the definition.
#[track_caller]
fn convolve([n, h, w, c]: [usize; 4], [k, r, s]: [usize; 3], stride: usize, pad: usize) {
    let device = Device::cpu();
    let what = format!("[{n}, {h}, {w}, {c}] by [{k}, {r}, {s}], stride {stride}, pad {pad}");
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    soil(&device, &[n * h * w * c, k * r * s * c, n * h * w * k]);
    let (x, filter) = (leaf(&mut tape, [n, h, w, c], 1), leaf(&mut tape, [k, r, s, c], 2));
    let (x_values, w_values) = (x.value.f32().to_vec(), filter.value.f32().to_vec());
    let y = conv2d(&mut tape, x.clone(), filter.clone(), None, Conv { stride, pad }).unwrap();
    let [_, p, q, _] = y.shape().nhwc().unwrap();
    let y_values = y.value.f32().to_vec();
    for (at, &found) in y_values.iter().enumerate() {
        let (pixel, f) = (at / k, at % k);
        let (image, i, j) = (pixel / (p * q), pixel / q % p, pixel % q);
        let mut sum = 0.0;
        for tap in 0..r * s {
            let row = (i * stride + tap / s).wrapping_sub(pad);
            let column = (j * stride + tap % s).wrapping_sub(pad);
            if row < h && column < w {
                let from = ((image * h + row) * w + column) * c;
                let filter = (f * r * s + tap) * c;
                sum += dot(&x_values[from..from + c], &w_values[filter..filter + c]);
            }
        }
        assert_near(&what, f64::from(found), sum, 4.0);
    }
    let dy = noise(3, y_values.len());
    let seed = Tensor::from_f32(&device, y.shape(), &dy).unwrap();
    let mut grads = tape.backward(vec![(y, seed)]).unwrap();
    let product = dot(&y_values, &dy);
    let dx = grads.take(&x).unwrap();
    assert_near(&format!("dx of {what}"), dot(dx.f32(), &x_values), product, 10.0);
    let dw = grads.take(&filter).unwrap();
    assert_near(&format!("dw of {what}"), dot(dw.f32(), &w_values), product, 10.0);
    rounded_once([n, h, w, c], [k, r, s], Conv { stride, pad }, y_values.len(), &what);
}

/// In bf16 a convolution and its gradients are those in f32 of the same numbers, rounded once.
#[track_caller]
fn rounded_once(image: [usize; 4], [k, r, s]: [usize; 3], conv: Conv, results: usize, what: &str) {
    let round = |values: Vec<f32>| values.into_iter().map(|v| bf16::from_f32(v).to_f32()).collect::<Vec<_>>();
    let [x, w, dy] = [(1, image.iter().product()), (2, k * r * s * image[3]), (3, results)]
        .map(|(seed, n)| round(noise(seed, n)));
    let compute = |precision: Precision| {
        let device = Device::cpu_in(precision);
        let tensor = |shape: Shape, values: &[f32]| Tensor::activations(&device, shape, values).unwrap();
        let mut params = Params::none(&device);
        let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
        soil(&device, &[x.len(), w.len(), dy.len()]);
        let x = tape.leaf(tensor(image.into(), &x));
        let w = tape.leaf(tensor([k, r, s, image[3]].into(), &w));
        let y = conv2d(&mut tape, x.clone(), w.clone(), None, conv).unwrap();
        let seed = tensor(y.shape(), &dy);
        let values = y.value.to_host_f32().unwrap();
        let mut grads = tape.backward(vec![(y, seed)]).unwrap();
        let [dx, dw] = [x, w].map(|of| grads.take(&of).unwrap().to_host_f32().unwrap());
        [values, dx, dw]
    };
    let names = ["y", "dx", "dw"].into_iter();
    for (name, (exact, narrow)) in
        names.zip(compute(Precision::F32).into_iter().zip(compute(Precision::Bf16)))
    {
        assert!(round(exact) == narrow, "{name} of {what} in bf16");
    }
}

#[test]
fn a_convolution_with_partial_tiles() {
    convolve([1, 5, 4, 3], [5, 3, 3], 2, 1);
}

#[test]
fn a_convolution_of_pixels() {
    convolve([2, 3, 3, 4], [17, 1, 1], 1, 0);
    convolve([1, 5, 3, 2], [3, 1, 1], 2, 0);
}

#[test]
fn a_convolution_with_filters_as_large_as_the_image() {
    convolve([1, 3, 4, 1], [2, 3, 4], 1, 0);
}

/// Winograd's tiles reach past an odd image.
#[test]
fn a_convolution_by_winograd() {
    // The fewest channels that take this path.
    let c = if cfg!(miri) { 5 } else { 32 };
    convolve([1, 3, 1, c], [c + 1, 3, 3], 1, 1);
    convolve([2, 2, 5, c + 13], [c, 3, 3], 1, 2);
}

/// Statistics of channel counts that are no whole vectors; the gradient of a normalised output is orthogonal to 1 and
/// to the output.
#[test]
fn moments_of_every_lane_width() {
    let device = Device::cpu();
    for (rows, c) in [([1, 2, 3], 1), ([2, 3, 3], 13), ([1, 3, 3], 22), ([1, 1, 2], 8)] {
        let n: usize = rows.iter().product();
        let mut specs = ParamSpecs::default();
        let (mean, var) = (specs.add_buffer("mean", [c], 0.0), specs.add_buffer("var", [c], 1.0));
        let mut params = Params::new(&device, &specs).unwrap();
        let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
        soil(&device, &[n * c, c]);
        let [a, b, d] = rows;
        let x = leaf(&mut tape, [a, b, d, c], 1);
        let gamma = tape.leaf(Tensor::full(&device, [c], 1.0).unwrap());
        let beta = tape.leaf(Tensor::zeros(&device, [c]).unwrap());
        let bn = BatchNorm { gamma: gamma.clone(), beta: beta.clone(), mean, var };
        let batch = Statistics::Batch { momentum: 0.1 };
        let y = batchnorm(&mut tape, x.clone(), bn, batch, Epilogue::default()).unwrap();
        let values = y.value.f32().to_vec();
        let dy = noise(5, n * c);
        let seed = Tensor::from_f32(&device, y.shape(), &dy).unwrap();
        let mut grads = tape.backward(vec![(y, seed)]).unwrap();
        let dx = grads.take(&x).unwrap();
        for channel in 0..c {
            let of = |all: &[f32]| -> Vec<f32> { all.iter().skip(channel).step_by(c).copied().collect() };
            let (y, dx, dy) = (of(&values), of(dx.f32()), of(&dy));
            let ones = vec![1.0; n];
            assert_near("mean", dot(&y, &ones), 0.0, n as f64);
            assert_near("second moment", dot(&y, &y), n as f64, 10.0 * n as f64);
            assert_near("dx", dot(&dx, &ones), 0.0, 100.0);
            let (d_gamma, d_beta) = (grads.take(&gamma), grads.take(&beta));
            if let (Some(d_gamma), Some(d_beta)) = (d_gamma, d_beta) {
                assert_near("dgamma", f64::from(d_gamma.f32()[channel]), dot(&dy, &y), 10.0);
                assert_near("dbeta", f64::from(d_beta.f32()[channel]), dot(&dy, &ones), 10.0);
            }
        }
    }
}

#[test]
fn windows_at_every_border() {
    let device = Device::cpu();
    for (pool, c) in [(MaxPool::TORCHVISION, 3), (MaxPool::CAFFE, 9)] {
        let mut params = Params::none(&device);
        let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
        soil(&device, &[5 * 4 * c, 9 * c]);
        let x = leaf(&mut tape, [1, 5, 4, c], 1);
        let values = x.value.f32().to_vec();
        let y = maxpool(&mut tape, x.clone(), pool).unwrap();
        let [_, p, q, _] = y.shape().nhwc().unwrap();
        let found = y.value.f32().to_vec();
        let clip = |at: usize, limit: usize| {
            let begin = (at * pool.stride).saturating_sub(pool.pad);
            begin..(at * pool.stride + pool.kernel - pool.pad).min(limit)
        };
        for (at, found) in found.iter().enumerate() {
            let (pixel, channel) = (at / c, at % c);
            let window =
                clip(pixel / q, 5).flat_map(|row| clip(pixel % q, 4).map(move |column| (row, column)));
            let largest = window.map(|(row, column)| values[(row * 4 + column) * c + channel]);
            assert_eq!(*found, largest.fold(f32::NEG_INFINITY, f32::max));
        }
        let seed = Tensor::full(&device, [1, p, q, c], 1.0).unwrap();
        let mut grads = tape.backward(vec![(y, seed)]).unwrap();
        let dx: f32 = grads.take(&x).unwrap().f32().iter().sum();
        assert_eq!(dx, (p * q * c) as f32, "each window's gradient goes to one element");
    }
}

/// A buffer that is used again is larger than what it holds; a shared one is not written.
#[test]
fn memory_that_is_reused() {
    let device = Device::cpu();
    for (first, second) in [(1000, 900), (1025, 1025), (1, 1023)] {
        drop(Tensor::full(&device, [first], f32::NAN).unwrap());
        let mut tensor = Tensor::empty(&device, [second], DType::F32).unwrap();
        assert_eq!(tensor.f32().len(), second);
        tensor.f32_mut().fill(2.0);
        let other = tensor.duplicate(&device).unwrap();
        tensor.store(&other, GradMode::Accumulate).unwrap();
        assert!(tensor.f32().iter().all(|&value| value == 4.0));
        let shared = tensor.clone();
        assert!(!tensor.is_unique());
        drop(shared);
        assert!(tensor.is_unique());
        let labels = Tensor::from_i32(&device, [3], &[1, -2, 3]).unwrap();
        assert_eq!(labels.i32(), [1, -2, 3]);
    }
}

#[test]
fn products_of_few_rows() {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    let (x, w, bias) = (leaf(&mut tape, [2, 3], 1), leaf(&mut tape, [5, 3], 2), leaf(&mut tape, [5], 3));
    let (xs, ws, bs) = (x.value.f32().to_vec(), w.value.f32().to_vec(), bias.value.f32().to_vec());
    let y = linear(&mut tape, x, w, bias).unwrap();
    for (at, &y) in y.value.f32().iter().enumerate() {
        let (row, class) = (at / 5, at % 5);
        let sum = dot(&xs[row * 3..][..3], &ws[class * 3..][..3]) + f64::from(bs[class]);
        assert_near("y", f64::from(y), sum, 1.0);
    }
}

#[test]
fn blocks_of_distances() {
    let (queries, gallery, dim) = (3, 5, 7);
    let (q, g) = (noise(1, queries * dim), noise(2, gallery * dim));
    let distances = Distances::new(&q, &g, dim, &Device::cpu()).unwrap().with_rows(2);
    let mut block = Block::default();
    for index in 0..distances.blocks() {
        distances.compute(index, &mut block).unwrap();
        for (row, query) in block.queries().enumerate() {
            for other in 0..gallery {
                let difference: Vec<f32> =
                    (0..dim).map(|i| q[query * dim + i] - g[other * dim + i]).collect();
                let expected = dot(&difference, &difference);
                let found = f64::from(block.row(row).at(other));
                let squared = (found - expected).abs() < 1e-4;
                assert!(squared || (found - expected.sqrt()).abs() < 1e-4, "{found}, {expected}");
            }
        }
    }
}

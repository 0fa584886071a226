mod packed;
mod padded;

use crate::golden;
use crate::gradient_check::{Check, Input, noise};
use crate::on::{self, host};
use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::device::{Device, Precision};
use bcreid::element::{DType, Shape};
use bcreid::ops::conv2d::{Conv, conv2d};
use bcreid::tensor::Tensor;

/// Output and gradients of one convolution.
#[derive(Debug, PartialEq)]
struct Outcome {
    y: Vec<f32>,
    dx: Vec<f32>,
    dw: Vec<f32>,
    db: Vec<f32>,
}

type Array<'a> = (&'a [usize], &'a [f32]);

/// Convolves once for each share of the output's gradient: with several, the gradients must add up. Activations and
/// filters are of the device's type, the bias is f32.
fn convolve(
    device: &Device,
    x: Array<'_>,
    w: Array<'_>,
    bias: &[f32],
    dy: &[f32],
    shares: &[f32],
    conv: Conv,
) -> Outcome {
    // Free buffers full of NaN show elements that were not written.
    drop([x.1.len(), w.1.len(), dy.len()].map(|n| Tensor::full(device, [n], f32::NAN).unwrap()));
    let mut params = Params::none(device);
    let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
    let [x, w] =
        [x, w].map(|(shape, values)| tape.leaf(on::tensor(device, Shape::try_from(shape).unwrap(), values)));
    let b = tape.leaf(Tensor::from_f32(device, [bias.len()], bias).unwrap());
    let mut values = Vec::new();
    let mut seeds = Vec::new();
    for share in shares {
        let y = conv2d(&mut tape, x.clone(), w.clone(), Some(b.clone()), conv).unwrap();
        values = host(&y.value);
        let part: Vec<f32> = dy.iter().map(|dy| dy * share).collect();
        seeds.push((y.clone(), on::tensor(device, y.shape(), &part)));
    }
    let mut grads = tape.backward(seeds).unwrap();
    let mut take = |var| host(&grads.take(var).unwrap());
    Outcome { dx: take(&x), dw: take(&w), db: take(&b), y: values }
}

/// The definition, rounded once.
fn reference(x: Array<'_>, w: Array<'_>, bias: &[f32], dy: &[f32], conv: Conv) -> Outcome {
    let (y, dx, dw, db) = reference_f64(x, w, bias, dy, conv);
    let f32s = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect();
    Outcome { y: f32s(y), dx: f32s(dx), dw: f32s(dw), db: f32s(db) }
}

/// y, dx, dw and db.
type Exact = (Vec<f64>, Vec<f64>, Vec<f64>, Vec<f64>);

/// The definition, in f64.
fn reference_f64(x: Array<'_>, w: Array<'_>, bias: &[f32], dy: &[f32], conv: Conv) -> Exact {
    let (&[n, height, width, c], &[k, r, s, _]) = (x.0, w.0) else { panic!("ranks") };
    let (x, w) = (x.1, w.1);
    let p = (height + 2 * conv.pad - r) / conv.stride + 1;
    let q = (width + 2 * conv.pad - s) / conv.stride + 1;
    assert_eq!(dy.len(), n * p * q * k);
    let (mut y, mut dx) = (vec![0.0f64; dy.len()], vec![0.0f64; x.len()]);
    let (mut dw, mut db) = (vec![0.0f64; w.len()], vec![0.0f64; k]);
    for pixel in 0..n * p * q {
        let (n, i, j) = (pixel / (p * q), pixel / q % p, pixel % q);
        let out = pixel * k..(pixel + 1) * k;
        y[out.clone()].iter_mut().zip(bias).for_each(|(y, &b)| *y = f64::from(b));
        db.iter_mut().zip(&dy[out.clone()]).for_each(|(db, &dy)| *db += f64::from(dy));
        for tap in 0..r * s {
            let row = (i * conv.stride + tap / s).wrapping_sub(conv.pad);
            let col = (j * conv.stride + tap % s).wrapping_sub(conv.pad);
            if row >= height || col >= width {
                continue;
            }
            let x0 = ((n * height + row) * width + col) * c;
            for (f, out) in out.clone().enumerate() {
                let w0 = (f * r * s + tap) * c;
                let dy = f64::from(dy[out]);
                let mut sum = 0.0;
                for c in 0..c {
                    let (x, w) = (f64::from(x[x0 + c]), f64::from(w[w0 + c]));
                    sum += x * w;
                    dx[x0 + c] += dy * w;
                    dw[w0 + c] += dy * x;
                }
                y[out] += sum;
            }
        }
    }
    (y, dx, dw, db)
}

/// Largest difference over the largest magnitude.
#[track_caller]
fn assert_near(what: &str, ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let scale = theirs.iter().fold(0.0f32, |m, v| m.max(v.abs())).max(1e-3);
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= tolerance * scale, "{what}[{i}]: {a}, reference {b}, scale {scale}");
    }
}

/// A case with noise for everything: x, w, bias, dy.
fn noisy(x: [usize; 4], [k, r, s]: [usize; 3], conv: Conv) -> ([usize; 4], [Vec<f32>; 4]) {
    let size = |i: usize, tap: usize| (x[i] + 2 * conv.pad - tap) / conv.stride + 1;
    let w = [k, r, s, x[3]];
    let lens = [x.iter().product(), w.iter().product(), k, x[0] * size(1, r) * size(2, s) * k];
    (w, std::array::from_fn(|i| noise(i as u64 + 1, lens[i])))
}

/// Against the definition on the same, rounded inputs.
#[track_caller]
fn compare(device: &Device, (x, filter, stride, pad): Sizes) {
    let conv = Conv { stride, pad };
    let (w, [xs, ws, bias, dy]) = noisy(x, filter, conv);
    let [xs, ws, dy] = [xs, ws, dy].map(|values| on::rounded(device, &values));
    let theirs = reference((&x, &xs), (&w, &ws), &bias, &dy, conv);
    // Half of a number is exact in every type.
    for shares in [&[1.0][..], &[0.5, 0.5]] {
        let ours = convolve(device, (&x, &xs), (&w, &ws), &bias, &dy, shares, conv);
        let case = format!("x {x:?}, w {w:?}, stride {stride}, pad {pad}, shares {shares:?}");
        // bf16 rounds y before and after the bias is added, and a gradient for each share; sums are of f32.
        let near = |what: &str, ours: &[f32], theirs: &[f32], tolerance| {
            assert_near(&format!("{what} of {case}"), ours, theirs, tolerance);
        };
        near("y", &ours.y, &theirs.y, on::tolerance(device, 5e-6));
        near("dx", &ours.dx, &theirs.dx, on::tolerance(device, 5e-6));
        near("dw", &ours.dw, &theirs.dw, on::tolerance(device, 5e-6));
        near("db", &ours.db, &theirs.db, 5e-6);
    }
}

type Sizes = ([usize; 4], [usize; 3], usize, usize);

/// (x, [K, R, S], stride, pad): small enough to move every element.
const SMALL: [Sizes; 8] = [
    ([2, 5, 3, 3], [4, 3, 3], 1, 1),
    ([1, 5, 7, 2], [3, 3, 3], 2, 1),
    ([1, 7, 5, 2], [2, 3, 3], 3, 2),
    ([2, 3, 5, 5], [9, 1, 1], 1, 0),
    ([1, 5, 6, 3], [2, 1, 1], 2, 0),
    ([1, 9, 7, 3], [2, 7, 7], 2, 3),
    ([1, 3, 6, 2], [3, 1, 3], 1, 1),
    ([1, 4, 4, 1], [2, 4, 2], 3, 0),
];

#[test]
fn gradient() {
    on::each(|device| {
        for (seed, (x, [k, r, s], stride, pad)) in SMALL.into_iter().enumerate() {
            let seed = 10 * seed as u64;
            let w = [k, r, s, x[3]];
            let inputs = [Input::noise(x, seed), Input::noise(w, seed + 1), Input::noise([k], seed + 2)];
            let conv = Conv { stride, pad };
            Check::default()
                .run(device, &inputs, |t, v| conv2d(t, v[0].clone(), v[1].clone(), Some(v[2].clone()), conv));
            Check::default()
                .run(device, &inputs[..2], |t, v| conv2d(t, v[0].clone(), v[1].clone(), None, conv));
        }
    });
}

/// In 16 bits filters come in multiples of 8; channels that do not are padded: images (3), and others. The last has
/// rows of several chunks of a bias.
const NARROW: [Sizes; 8] = [
    ([2, 15, 11, 3], [8, 7, 7], 2, 3),
    ([2, 5, 3, 20], [16, 1, 1], 1, 0),
    ([2, 6, 5, 16], [24, 1, 1], 2, 0),
    ([1, 6, 5, 7], [8, 3, 3], 1, 1),
    ([2, 8, 6, 8], [16, 3, 3], 2, 1),
    ([2, 4, 9, 5], [8, 1, 3], 1, 3),
    ([1, 3, 2, 64], [32, 3, 3], 1, 1),
    ([2, 12, 17, 8], [64, 1, 1], 1, 0),
];

#[test]
fn small_shapes_against_the_definition() {
    on::each_precision(|device| {
        NARROW.into_iter().for_each(|sizes| compare(device, sizes));
        // cuDNN's 16-bit convolutions take channels in multiples of 8 alone.
        if device.activations() == DType::F32 || !on::is_cuda(device) {
            SMALL.into_iter().for_each(|sizes| compare(device, sizes));
        }
    });
}

/// Sizes that take every path: many tasks, several passes over the depth, borders of tiles and panels, merged
/// taps, transformed tiles of 2 x 2 that hang over the image's edge.
const LARGE: [Sizes; 16] = [
    ([3, 17, 13, 20], [37, 3, 3], 1, 1),
    ([2, 9, 7, 130], [50, 3, 3], 1, 1),
    ([2, 16, 16, 64], [64, 3, 3], 1, 1),
    ([5, 13, 19, 33], [41, 3, 3], 1, 0),
    ([2, 6, 7, 400], [36, 3, 3], 1, 2),
    ([1, 5, 4, 35], [410, 3, 3], 1, 1),
    ([2, 15, 11, 33], [70, 3, 3], 2, 1),
    ([2, 13, 11, 900], [40, 1, 1], 1, 0),
    ([2, 8, 6, 40], [500, 1, 1], 1, 0),
    ([4, 13, 16, 24], [33, 1, 1], 2, 0),
    ([2, 40, 37, 3], [20, 7, 7], 2, 3),
    ([2, 31, 18, 5], [20, 3, 3], 1, 0),
    ([1, 24, 40, 16], [18, 1, 5], 1, 2),
    ([1, 24, 40, 17], [18, 4, 4], 3, 2),
    ([1, 1, 1, 70], [70, 3, 3], 1, 1),
    ([1, 3, 2, 32], [33, 3, 3], 1, 1),
];

#[test]
fn large_shapes_against_the_definition() {
    for precision in [Precision::F32, Precision::Bf16] {
        LARGE.into_iter().for_each(|sizes| compare(&Device::cpu_in(precision), sizes));
    }
}

#[test]
fn thread_count_does_not_change_a_bit() {
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
    let (one, others) = (pool(1), [2, 3, 8].map(pool));
    for (precision, (x, filter, stride, pad)) in
        [Precision::F32, Precision::Bf16].into_iter().flat_map(|p| LARGE.map(|sizes| (p, sizes)))
    {
        let conv = Conv { stride, pad };
        let (w, [xs, ws, bias, dy]) = noisy(x, filter, conv);
        let device = Device::cpu_in(precision);
        let run = || convolve(&device, (&x, &xs), (&w, &ws), &bias, &dy, &[0.25, 0.75], conv);
        let expected = one.install(run);
        for other in &others {
            let threads = other.current_num_threads();
            let case = format!("x {x:?}, filter {filter:?}, {precision}");
            assert!(other.install(run) == expected, "{case}, {threads} threads");
        }
    }
}

#[test]
fn golden_values() {
    on::each(|device| {
        let golden = golden::read("conv2d");
        let names: Vec<&str> = golden.keys().filter_map(|key| key.strip_suffix(".conv")).collect();
        assert_eq!(names.len(), 7);
        for name in names {
            let get = |key: &str| &golden[&format!("{name}.{key}")];
            let [stride, pad] = get("conv").i32()[..] else { panic!("stride and pad") };
            let conv = Conv { stride: stride as usize, pad: pad as usize };
            let (x, w) = (get("x"), get("w"));
            let ours = convolve(
                device,
                (&x.shape, &x.values),
                (&w.shape, &w.values),
                &get("b").values,
                &get("dy").values,
                &[1.0],
                conv,
            );
            for (key, values) in [("y", &ours.y), ("dx", &ours.dx), ("dw", &ours.dw), ("db", &ours.db)] {
                golden::assert_close(&format!("{name}.{key}"), values, &get(key).values, 1e-5);
            }
        }
    });
}

/// A frozen filter and pixels get no gradient, and the other gradient is right without them.
#[test]
fn an_unneeded_gradient_is_left_out() {
    on::each(|device| {
        let [x, w] = [Shape::from([1, 4, 5, 3]), Shape::from([2, 3, 3, 3])];
        let run = |x_wanted: bool, w_wanted: bool| {
            let mut params = Params::none(device);
            let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
            let mut var = |shape: Shape, wanted: bool| {
                let value = Tensor::from_f32(device, shape, &noise(5, shape.len())).unwrap();
                if wanted { tape.leaf(value) } else { tape.constant(value) }
            };
            let (x, w) = (var(x, x_wanted), var(w, w_wanted));
            let y = conv2d(&mut tape, x.clone(), w.clone(), None, Conv { stride: 1, pad: 1 }).unwrap();
            let dy = Tensor::full(device, y.shape(), 1.0).unwrap();
            let mut grads = tape.backward(vec![(y, dy)]).unwrap();
            (grads.take(&x).map(|t| host(&t)), grads.take(&w).map(|t| host(&t)))
        };
        let (dx, dw) = run(true, true);
        assert!(dx.is_some() && dw.is_some());
        assert_eq!(run(true, false), (dx, None));
        assert_eq!(run(false, true), (None, dw));
    });
}

#[test]
fn misfits_are_refused() {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::no_grad(&mut params).unwrap();
    let mut refused =
        |x: &[usize], w: &[usize], bias: Option<usize>, stride: usize, pad: usize, words: &[&str]| {
            let mut var = |shape: &[usize]| {
                tape.constant(Tensor::zeros(&device, Shape::try_from(shape).unwrap()).unwrap())
            };
            let (x, w, bias) = (var(x), var(w), bias.map(|k| var(&[k])));
            let error = conv2d(&mut tape, x, w, bias, Conv { stride, pad }).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
            assert!(error.starts_with("conv2d: ") && !error.contains('\n'), "{error}");
        };
    refused(&[4, 5], &[2, 3, 3, 3], None, 1, 1, &["[N, H, W, C]", "[4, 5]"]);
    refused(&[1, 4, 5, 3], &[2, 27], None, 1, 1, &["[K, R, S, C]", "[2, 27]"]);
    refused(&[1, 4, 5, 3], &[2, 3, 3, 4], None, 1, 1, &["3 channels", "take 4"]);
    refused(&[1, 4, 5, 3], &[2, 3, 3, 3], Some(3), 1, 1, &["bias", "[2]", "[3]"]);
    refused(&[1, 4, 5, 3], &[2, 3, 3, 3], None, 0, 1, &["stride"]);
    refused(&[1, 4, 5, 3], &[2, 7, 3, 3], None, 1, 1, &["7 x 3", "padded by 1"]);
    refused(&[0, 4, 5, 3], &[2, 3, 3, 3], None, 1, 1, &["empty"]);
}

/// How much larger the rounding errors of transformed tiles are than those of the direct sum, root mean square and
/// largest, against the definition in f64. The same sums are taken both ways: a wider border than tiles are used for
/// leaves the inner outputs as they are, and so do gradients of 0 for the others.
#[test]
fn transformed_tiles_round_like_the_direct_sum_up_to_a_small_factor() {
    let device = Device::cpu();
    let (mut least, mut most) = (f64::INFINITY, 0.0f64);
    for (x, k, kind) in [
        ([2, 16, 8, 64], 64, "noise"),
        ([2, 16, 8, 64], 64, "rectified"),
        ([2, 16, 8, 64], 64, "one sign"),
        ([2, 8, 6, 256], 128, "rectified"),
        ([2, 8, 6, 256], 128, "one sign"),
        ([2, 8, 4, 512], 512, "noise"),
        ([4, 24, 12, 32], 32, "rectified"),
        ([4, 24, 12, 32], 32, "one sign"),
        ([2, 16, 8, 64], 64, "uneven"),
    ] {
        let (narrow, wide) = (Conv { stride: 1, pad: 1 }, Conv { stride: 1, pad: 3 });
        let (w, [mut xs, mut ws, bias, mut dy]) = noisy(x, [k, 3, 3], narrow);
        match kind {
            "rectified" => xs.iter_mut().for_each(|v| *v = v.max(0.0)),
            // Sums that nothing cancels in, of nearly equal values, which the transform subtracts from each other.
            "one sign" => [&mut xs, &mut ws, &mut dy].into_iter().flatten().for_each(|v| *v = 1.0 + 0.1 * *v),
            // One pixel in 7 is a hundred times as large: a transformed tile spreads its rounding over its neighbours.
            "uneven" => {
                xs.chunks_mut(7 * x[3])
                    .for_each(|pixels| pixels[..x[3]].iter_mut().for_each(|v| *v *= 100.0));
            }
            _ => {}
        }
        let [n, height, width, _] = x;
        // The outputs of the narrow border among those of the wide one.
        let inner = |mut visit: Box<dyn FnMut(usize, usize) + '_>| {
            for (image, row, column) in
                (0..n).flat_map(|i| (0..height).flat_map(move |r| (0..width).map(move |c| (i, r, c))))
            {
                let from = ((image * height + row) * width + column) * k;
                let to = ((image * (height + 4) + row + 2) * (width + 4) + column + 2) * k;
                (0..k).for_each(|channel| visit(from + channel, to + channel));
            }
        };
        let mut wide_dy = vec![0.0; n * (height + 4) * (width + 4) * k];
        inner(Box::new(|from, to| wide_dy[to] = dy[from]));
        let exact = reference_f64((&x, &xs), (&w, &ws), &bias, &dy, narrow);
        let tiles = convolve(&device, (&x, &xs), (&w, &ws), &bias, &dy, &[1.0], narrow);
        let direct = convolve(&device, (&x, &xs), (&w, &ws), &bias, &wide_dy, &[1.0], wide);
        let mut direct_y = vec![0.0; tiles.y.len()];
        inner(Box::new(|from, to| direct_y[from] = direct.y[to]));
        let errors = |ours: &[f32], exact: &[f64]| {
            let squared = ours.iter().zip(exact).map(|(&a, &b)| (f64::from(a) - b).powi(2));
            [squared.clone().sum::<f64>().sqrt(), squared.fold(0.0, f64::max).sqrt()]
        };
        for (what, tiles, direct, exact) in [
            ("y", &tiles.y, &direct_y, &exact.0),
            ("dx", &tiles.dx, &direct.dx, &exact.1),
            ("dw", &tiles.dw, &direct.dw, &exact.2),
        ] {
            let (tiles, direct) = (errors(tiles, exact), errors(direct, exact));
            let [mean, largest] = [tiles[0] / direct[0], tiles[1] / direct[1]];
            println!("{what} of x {x:?}, {k} filters, {kind}: {mean:.2} times, largest {largest:.2} times");
            (least, most) = (least.min(mean).min(largest), most.max(mean).max(largest));
        }
    }
    println!("{least:.2} to {most:.2}");
    assert!(most < 4.0, "the error is {most:.2} times that of the direct sum");
    // Or the two were computed in one way.
    assert!(most - least > 0.01, "{least} {most}");
}

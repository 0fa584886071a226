use crate::golden;
use crate::gradient_check::{Check, Input, noise};
use bcreid::device::Device;
use bcreid::ops::conv2d::{Conv, conv2d};
use bcreid::tensor::{Params, Shape, StepValues, Tape, Tensor};

/// Output and gradients of one convolution.
struct Outcome {
    y: Vec<f32>,
    dx: Vec<f32>,
    dw: Vec<f32>,
    db: Vec<f32>,
}

fn convolve(
    x: (&[usize], &[f32]),
    w: (&[usize], &[f32]),
    bias: &[f32],
    dy: impl Fn(usize) -> Vec<f32>,
    conv: Conv,
) -> Outcome {
    let device = Device::cpu();
    let mut params = Params::new(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0));
    let leaf = |tape: &mut Tape<'_>, (shape, values): (&[usize], &[f32])| {
        tape.leaf(Tensor::from_f32(&device, Shape::try_from(shape).unwrap(), values))
    };
    let (x, w, b) = (leaf(&mut tape, x), leaf(&mut tape, w), leaf(&mut tape, (&[bias.len()], bias)));
    let y = conv2d(&mut tape, x.clone(), w.clone(), Some(b.clone()), conv).unwrap();
    let values = y.value.to_host_f32();
    let dy = Tensor::from_f32(&device, y.shape(), &dy(values.len()));
    let mut grads = tape.backward(vec![(y, dy)]).unwrap();
    let mut take = |var| grads.take(var).unwrap().to_host_f32();
    Outcome { dx: take(&x), dw: take(&w), db: take(&b), y: values }
}

/// The definition, in f64.
fn reference(
    x: (&[usize], &[f32]),
    w: (&[usize], &[f32]),
    bias: &[f32],
    dy: impl Fn(usize) -> Vec<f32>,
    conv: Conv,
) -> Outcome {
    let (&[n, height, width, c], &[k, r, s, _]) = (x.0, w.0) else { panic!("ranks") };
    let (x, w) = (x.1, w.1);
    let p = (height + 2 * conv.pad - r) / conv.stride + 1;
    let q = (width + 2 * conv.pad - s) / conv.stride + 1;
    let dy = dy(n * p * q * k);
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
    let f32s = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect();
    Outcome { y: f32s(y), dx: f32s(dx), dw: f32s(dw), db: f32s(db) }
}

/// Largest difference over the largest magnitude.
#[track_caller]
fn assert_near(what: &str, ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let scale = theirs.iter().fold(0.0f32, |m, v| m.max(v.abs())).max(1e-3);
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= 5e-6 * scale, "{what}[{i}]: {a}, reference {b}, scale {scale}");
    }
}

#[track_caller]
fn compare(x: [usize; 4], filter: [usize; 3], stride: usize, pad: usize) {
    let w = [filter[0], filter[1], filter[2], x[3]];
    let values = |shape: &[usize], seed| noise(seed, shape.iter().product());
    let (xs, ws, bias) = (values(&x, 1), values(&w, 2), values(&[w[0]], 3));
    let conv = Conv { stride, pad };
    let ours = convolve((&x, &xs), (&w, &ws), &bias, |n| noise(4, n), conv);
    let theirs = reference((&x, &xs), (&w, &ws), &bias, |n| noise(4, n), conv);
    let case = format!("x {x:?}, w {w:?}, stride {stride}, pad {pad}");
    assert_near(&format!("y of {case}"), &ours.y, &theirs.y);
    assert_near(&format!("dx of {case}"), &ours.dx, &theirs.dx);
    assert_near(&format!("dw of {case}"), &ours.dw, &theirs.dw);
    assert_near(&format!("db of {case}"), &ours.db, &theirs.db);
}

/// (x, [K, R, S], stride, pad): small enough to move every element.
const SMALL: [([usize; 4], [usize; 3], usize, usize); 8] = [
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
    for (seed, (x, [k, r, s], stride, pad)) in SMALL.into_iter().enumerate() {
        let seed = 10 * seed as u64;
        let w = [k, r, s, x[3]];
        let inputs = [Input::noise(x, seed), Input::noise(w, seed + 1), Input::noise([k], seed + 2)];
        let conv = Conv { stride, pad };
        Check::default().run(&inputs, |t, v| conv2d(t, v[0].clone(), v[1].clone(), Some(v[2].clone()), conv));
        Check::default().run(&inputs[..2], |t, v| conv2d(t, v[0].clone(), v[1].clone(), None, conv));
    }
}

#[test]
fn small_shapes_against_the_definition() {
    for (x, filter, stride, pad) in SMALL {
        compare(x, filter, stride, pad);
    }
}

/// Sizes that take every path: many tasks, several passes over the depth, borders of tiles and panels.
#[test]
fn large_shapes_against_the_definition() {
    compare([3, 17, 13, 20], [37, 3, 3], 1, 1);
    compare([2, 9, 7, 130], [50, 3, 3], 1, 1);
    compare([2, 16, 16, 64], [64, 3, 3], 1, 1);
    compare([2, 15, 11, 33], [70, 3, 3], 2, 1);
    compare([2, 13, 11, 900], [40, 1, 1], 1, 0);
    compare([2, 8, 6, 40], [500, 1, 1], 1, 0);
    compare([4, 13, 16, 24], [33, 1, 1], 2, 0);
    compare([2, 40, 37, 3], [20, 7, 7], 2, 3);
    compare([1, 24, 40, 16], [18, 1, 5], 1, 2);
    compare([1, 24, 40, 17], [18, 4, 4], 3, 2);
    compare([1, 1, 1, 70], [70, 3, 3], 1, 1);
}

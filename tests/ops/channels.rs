pub mod kernel;

use crate::gradient_check::{Check, Input, noise};
use crate::on::{self, host};
use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::ops::channels::{join, take};
use bcreid::tensor::Tensor;

#[test]
fn gradient() {
    on::each(|device| {
        // Halves that are swapped; a channel that is taken twice, and one that is not taken.
        Check::default().run(device, &[Input::noise([2, 3, 2, 8], 1)], |t, v| {
            let (first, rest) = (take(t, v[0].clone(), 0..4)?, take(t, v[0].clone(), 4..8)?);
            join(t, rest, first)
        });
        Check::default().run(device, &[Input::noise([5, 7], 1), Input::noise([5, 3], 2)], |t, v| {
            let (first, rest) = (take(t, v[0].clone(), 0..4)?, take(t, v[0].clone(), 3..6)?);
            let both = join(t, first, v[1].clone())?;
            join(t, both, rest)
        });
    });
}

/// To the bit, with widths of packs and of none; the gradients overwrite and add.
#[test]
fn every_size() {
    on::each_precision(|device| {
        for (rows, first, second) in [(1, 1, 1), (6, 32, 32), (35, 5, 8), (3, 8, 24), (257, 3, 4)] {
            let c = first + second;
            let (x, dy) =
                (on::rounded(device, &noise(1, rows * c)), on::rounded(device, &noise(2, rows * c)));
            let mut params = Params::none(device);
            let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
            let x_var = tape.leaf(on::tensor(device, [rows, c], &x));
            let a = take(&mut tape, x_var.clone(), 0..first).unwrap();
            let b = take(&mut tape, x_var.clone(), first..c).unwrap();
            let part = |values: &[f32], from: usize, to: usize| -> Vec<f32> {
                values.chunks(c).flat_map(|row| row[from..to].to_vec()).collect()
            };
            assert_eq!(host(&a.value), part(&x, 0, first));
            assert_eq!(host(&b.value), part(&x, first, c));
            // The second half in front: each gradient is the other half's.
            let y = join(&mut tape, b, a).unwrap();
            let swapped = |values: &[f32], at: usize| -> Vec<f32> {
                values.chunks(c).flat_map(|row| [&row[at..], &row[..at]].concat()).collect()
            };
            assert_eq!(host(&y.value), swapped(&x, first));
            let earlier = on::rounded(device, &noise(3, x.len()));
            let mut seeds = vec![(y, on::tensor(device, [rows, c], &dy))];
            seeds.push(on::earlier_gradient(&mut tape, &x_var, &earlier));
            let mut grads = tape.backward(seeds).unwrap();
            let want = on::rounded(device, &on::sum(&earlier, &swapped(&dy, second)));
            assert_eq!(host(&grads.take(&x_var).unwrap()), want, "{rows} x {first} + {second}");
        }
    });
}

#[test]
fn wrong_channels_are_refused() {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::no_grad(&mut params).unwrap();
    let x = tape.constant(Tensor::zeros(&device, [2, 3, 4]).unwrap());
    let other = tape.constant(Tensor::zeros(&device, [3, 2, 4]).unwrap());
    for range in [2..2, 3..5, 4..5] {
        let error = take(&mut tape, x.clone(), range.clone()).unwrap_err().to_string();
        assert!(error.contains(&format!("{range:?}")) && error.contains("its 4"), "{error}");
    }
    let error = join(&mut tape, x, other).unwrap_err().to_string();
    assert!(error.contains("[2, 3, 4]") && error.contains("[3, 2, 4]"), "{error}");
}

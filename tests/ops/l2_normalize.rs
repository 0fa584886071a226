mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input, noise};
use crate::on::{self, host};
use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::ops::l2_normalize::l2_normalize;
use bcreid::tensor::Tensor;

/// y and dx; dx is added to `earlier` if there is any. `x` and y stay as they are in the backward pass.
fn both(device: &Device, shape: [usize; 2], x: &[f32], dy: &[f32], earlier: Option<&[f32]>) -> [Vec<f32>; 2] {
    let mut params = Params::none(device);
    let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
    let x = tape.leaf(Tensor::from_f32(device, shape, x).unwrap());
    let y = l2_normalize(&mut tape, x.clone()).unwrap();
    let out = y.value.clone();
    let mut seeds = vec![(y, Tensor::from_f32(device, shape, dy).unwrap())];
    seeds.extend(earlier.map(|earlier| on::earlier_gradient(&mut tape, &x, earlier)));
    let mut grads = tape.backward(seeds).unwrap();
    [host(&out), host(&grads.take(&x).unwrap())]
}

/// Each row in its own unit, the largest of `golden`: a row's gradient scales with 1 / ||x||.
#[track_caller]
fn assert_rows_close(what: &str, d: usize, ours: &[f32], golden: &[f32], tolerance: f32) {
    for (row, (ours, golden)) in ours.chunks(d).zip(golden.chunks(d)).enumerate() {
        let unit = golden.iter().fold(f32::MIN_POSITIVE, |a, v| a.max(v.abs()));
        let in_units = |values: &[f32]| values.iter().map(|v| v / unit).collect::<Vec<_>>();
        assert_close(&format!("{what}, row {row}"), &in_units(ours), &in_units(golden), tolerance);
    }
}

#[test]
fn gradient() {
    on::each(|device| {
        let peaked = noise(2, 65).iter().map(|v| 5.0 * v.powi(5)).collect();
        for input in
            [Input::noise([5, 13], 1), Input::new([5, 13], peaked), Input::new([2, 9], vec![0.5; 18])]
        {
            Check::default().run(device, &[input], |t, v| l2_normalize(t, v[0].clone()));
        }
    });
}

/// Includes the zero row and one below the lower bound, where the gradient is dy / 1e-12.
#[test]
fn golden_values() {
    on::each(|device| {
        let golden = golden::read("l2_normalize");
        let [y, dx] = both(device, [6, 19], &golden["x"].values, &golden["dy"].values, None);
        // The CPU sums in f64, a GPU in f32; dx is what remains of dy, whose errors it has.
        let tolerance = if on::is_cuda(device) { 3e-6 } else { 1e-6 };
        assert_close("y", &y, &golden["y"].values, tolerance);
        assert_rows_close("dx", 19, &dx, &golden["dx"].values, tolerance);
    });
}

/// Short rows and long ones, of whole packs and of other lengths; dx written and added.
#[test]
fn cuda_devices_agree_with_the_cpu() {
    on::cuda(|device| {
        for shape in [[1, 1], [5, 7], [4, 128], [3, 2048], [2, 4095], [300, 5]] {
            let n = shape.iter().product();
            let [x, dy, earlier] = [1, 2, 3].map(|seed| noise(seed, n));
            let [[y, dx], [cpu_y, cpu_dx]] =
                [device, &Device::cpu()].map(|on| both(on, shape, &x, &dy, None));
            // A GPU sums in f32: at most 16 squares one by one in a thread, then the threads.
            assert_close(&format!("y of {shape:?}"), &y, &cpu_y, 1e-6);
            // What remains of dy when its radial part is taken off has the errors of the whole dy.
            let errors = |v: f32, x: &[f32]| v / x.iter().map(|v| v * v).sum::<f32>().sqrt();
            for (row, x) in x.chunks(shape[1]).enumerate() {
                let of = row * shape[1]..(row + 1) * shape[1];
                for (ours, cpu) in dx[of.clone()].iter().zip(&cpu_dx[of]) {
                    assert!(
                        (ours - cpu).abs() <= errors(3e-6, x),
                        "dx of {shape:?}: {ours}, on the CPU {cpu}"
                    );
                }
            }
            let [_, added] = both(device, shape, &x, &dy, Some(&earlier));
            assert_eq!(added, on::sum(&earlier, &dx), "{shape:?}");
        }
    });
}

#[test]
fn rows_have_unit_length() {
    on::each(|device| {
        let x: Vec<f32> =
            noise(3, 7 * 2048).iter().enumerate().map(|(i, v)| v * (i % 7 + 1) as f32).collect();
        let [y, _] = both(device, [7, 2048], &x, &x, None);
        for row in y.chunks(2048) {
            let length = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            assert!((length - 1.0).abs() < 1e-6, "{length}");
        }
    });
}

#[test]
fn the_gradient_is_tangent() {
    on::each(|device| {
        let (x, dy) = (noise(4, 64), noise(5, 64));
        let [_, dx] = both(device, [1, 64], &x, &dy, None);
        let radial: f64 = dx.iter().zip(&x).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
        assert!(radial.abs() < 1e-6, "{radial}");
    });
}

#[test]
fn the_zero_vector_stays_zero_with_a_finite_gradient() {
    on::each(|device| {
        let [y, dx] = both(device, [1, 4], &[0.0; 4], &[1.0, -2.0, 0.0, 0.5], None);
        assert_eq!(y, [0.0; 4]);
        assert_close("dx", &dx, &[1e12, -2e12, 0.0, 5e11], 1e-6);
    });
}

/// The CPU's sums of squares are f64; a GPU's are f32 and give NaN where they overflow (see the kernel's tests).
#[test]
fn lengths_whose_square_leaves_f32_are_handled() {
    let [y, _] = both(&Device::cpu(), [2, 2], &[3e30, 4e30, 3e-11, 4e-11], &[0.0; 4], None);
    assert_close("y", &y, &[0.6, 0.8, 0.6, 0.8], 1e-6);
}

#[test]
fn wrong_shapes_are_refused() {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    for t in [Tensor::zeros(&device, [4]).unwrap(), Tensor::zeros(&device, [0, 4]).unwrap()] {
        let shape = t.shape().to_string();
        let x = tape.leaf(t);
        let error = l2_normalize(&mut tape, x).unwrap_err().to_string();
        assert!(error.contains("l2_normalize") && error.contains(&shape), "{error}");
    }
}

mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input, noise};
use crate::on::{self, host};
use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::ops::dropout::{dropout, dropout_from};
use bcreid::tensor::Tensor;
use bcreid::tensor::philox::{Philox, RngStream};

/// Seed, step number, stream and ratio.
#[derive(Clone, Copy)]
struct Mask(u64, u64, RngStream, f32);

use RngStream::{Dropout, Verification};

/// y and dx of one dropout of rows of `d`; dx is added to `earlier` if there is any.
fn both(
    device: &Device,
    mask: Mask,
    x: &[f32],
    dy: &[f32],
    d: usize,
    earlier: Option<&[f32]>,
) -> [Vec<f32>; 2] {
    let Mask(seed, step, stream, ratio) = mask;
    let mut params = Params::none(device);
    let mut values = StepValues::new(device, seed).unwrap();
    values.set(step, &[]).unwrap();
    let mut tape = Tape::new(&mut params, &values);
    let shape = [x.len() / d, d];
    let x = tape.leaf(Tensor::from_f32(device, shape, x).unwrap());
    let y = match stream {
        Dropout => dropout(&mut tape, x.clone(), ratio).unwrap(),
        stream => dropout_from(&mut tape, x.clone(), ratio, stream, 0).unwrap(),
    };
    let out = host(&y.value);
    let mut seeds = vec![(y, Tensor::from_f32(device, shape, dy).unwrap())];
    seeds.extend(earlier.map(|earlier| on::earlier_gradient(&mut tape, &x, earlier)));
    let mut grads = tape.backward(seeds).unwrap();
    [out, host(&grads.take(&x).unwrap())]
}

/// The factors that multiply a matrix of m rows.
fn factors(device: &Device, mask: Mask, m: usize, d: usize) -> Vec<f32> {
    let ones = vec![1.0; m * d];
    let [y, _] = both(device, mask, &ones, &ones, d, None);
    y
}

#[test]
fn gradient() {
    on::each(|device| {
        let peaked = noise(2, 111).iter().map(|v| 10.0 * v.powi(5)).collect();
        for input in [Input::noise([3, 37], 1), Input::new([3, 37], peaked)] {
            Check::default().run(device, &[input], |t, v| dropout(t, v[0].clone(), 0.5));
        }
    });
}

#[test]
fn golden_values() {
    on::each(|device| {
        let golden = golden::read("dropout");
        for (name, ratio) in [("half", 0.5), ("paper", 0.9)] {
            let mask = Mask(0x0123_4567_89AB_CDEF, 70_001, Dropout, ratio);
            let [y, dx] = both(device, mask, &golden["x"].values, &golden["dy"].values, 37, None);
            assert_close("y", &y, &golden[&format!("{name}.y")].values, 1e-6);
            assert_close("dx", &dx, &golden[&format!("{name}.dx")].values, 1e-6);
        }
    });
}

/// Rows of whole blocks of draws and of others, of one slice of a grid and of several; every bit of seed, step and
/// image counts; dx has the mask of y, whether it is written or added.
#[test]
fn an_element_is_kept_as_its_own_draw_says() {
    on::each(|device| {
        for (m, d) in [(4, 31), (1, 1), (3, 2048), (2, 1027), (67, 6)] {
            for mask in [
                Mask(0xFEED_0000_0042, 3, Dropout, 0.7),
                Mask(5, 70_001, Verification, 0.5),
                Mask(u64::MAX, 0, Dropout, 0.9),
            ] {
                let Mask(seed, step, stream, ratio) = mask;
                let scale = 1.0 / (1.0 - ratio);
                let draws = (0..m).flat_map(|image| {
                    let own = Philox::new(seed, step, image as u64, stream);
                    (0..d as u32).map(move |j| own.uniform(j))
                });
                let factors: Vec<f32> = draws.map(|draw| if draw >= ratio { scale } else { 0.0 }).collect();
                let masked = |v: &[f32]| v.iter().zip(&factors).map(|(v, f)| v * f).collect::<Vec<_>>();
                let [x, dy, earlier] = [1, 2, 3].map(|i| noise(i, m * d));
                let what = format!("[{m}, {d}], step {step}");
                assert_eq!(both(device, mask, &x, &dy, d, None), [masked(&x), masked(&dy)], "{what}");
                let [_, added] = both(device, mask, &x, &dy, d, Some(&earlier));
                assert_eq!(added, on::sum(&earlier, &masked(&dy)), "{what}");
            }
        }
    });
}

/// A draw that equals the ratio keeps its element.
#[test]
fn a_draw_of_the_ratio_itself() {
    on::each(|device| {
        for (d, j) in [(36, 17), (35, 34)] {
            let ratio = Philox::new(5, 7, 1, Dropout).uniform(j);
            assert!(factors(device, Mask(5, 7, Dropout, ratio), 2, d)[d + j as usize] > 1.0, "{d}");
        }
    });
}

#[test]
fn rate_and_scaling() {
    on::each(|device| {
        for ratio in [0.1f32, 0.5, 0.9] {
            let factors = factors(device, Mask(1, 0, Dropout, ratio), 32, 4096);
            let dropped = factors.iter().filter(|f| **f == 0.0).count() as f64 / factors.len() as f64;
            assert!((dropped - f64::from(ratio)).abs() < 0.005, "ratio {ratio}: {dropped} dropped");
            let mean = factors.iter().map(|&f| f64::from(f)).sum::<f64>() / factors.len() as f64;
            assert!((mean - 1.0).abs() < 0.03, "ratio {ratio}: the mean became {mean}");
            assert!(factors.iter().all(|&f| f == 0.0 || f == 1.0 / (1.0 - ratio)));
        }
    });
}

#[test]
fn masks_differ_by_seed_step_image_and_stream() {
    on::each(|device| {
        let of = |seed, step| factors(device, Mask(seed, step, Dropout, 0.5), 2, 256);
        let base = of(1, 0);
        assert_eq!(base, of(1, 0));
        for other in [of(2, 0), of(1 << 32 | 1, 0), of(1, 1)] {
            assert_ne!(base, other);
        }
        assert_ne!(base[..256], base[256..]);
        assert_ne!(base, factors(device, Mask(1, 0, Verification, 0.5), 2, 256), "a mask of its own");
    });
}

#[test]
fn the_mask_does_not_depend_on_the_number_of_threads() {
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| factors(&Device::cpu(), Mask(5, 6, Dropout, 0.9), 13, 70))
    };
    [2, 3, 8].into_iter().for_each(|threads| assert_eq!(with(1), with(threads)));
}

#[test]
fn a_dropped_infinity_is_zero() {
    on::each(|device| {
        for d in [64, 63] {
            let x = vec![f32::INFINITY; d];
            let [y, _] = both(device, Mask(1, 0, Dropout, 0.5), &x, &x, d, None);
            assert!(y.contains(&0.0) && y.contains(&f32::INFINITY) && !y.iter().any(|v| v.is_nan()));
        }
    });
}

#[test]
fn identity_in_inference_and_at_ratio_zero() {
    on::each(|device| {
        let values = noise(1, 60);
        let mut params = Params::none(device);
        let mut tape = Tape::no_grad(&mut params).unwrap();
        let x = tape.constant(Tensor::from_f32(device, [3, 20], &values).unwrap());
        assert_eq!(host(&dropout(&mut tape, x, 0.9).unwrap().value), values);
        let [y, dx] = both(device, Mask(1, 0, Dropout, 0.0), &values, &values, 20, None);
        assert_eq!((&y, &dx), (&values, &values));
    });
}

#[test]
fn wrong_ratios_and_shapes_are_refused() {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    let x = tape.leaf(Tensor::zeros(&device, [2, 3]).unwrap());
    for ratio in [-0.1, 1.0, f32::NAN] {
        let error = dropout(&mut tape, x.clone(), ratio).unwrap_err().to_string();
        assert!(error.starts_with("dropout: ratio"), "{error}");
    }
    let x = tape.leaf(Tensor::zeros(&device, [2, 3, 1, 1]).unwrap());
    let error = dropout(&mut tape, x, 0.5).unwrap_err().to_string();
    assert!(error.contains("dropout") && error.contains("[2, 3, 1, 1]"), "{error}");
}

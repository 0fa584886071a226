pub mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::noise;
use crate::on::{self, host};
use crate::sgd::golden_params;
use bcreid::autograd::{ParamSpecs, Params};
use bcreid::device::Device;
use bcreid::element::Shape;
use bcreid::ops::adam::{Adam, Moments, WeightDecay, adam};
use bcreid::tensor::Tensor;

/// The four kinds with their names in the golden file: the form of weight decay, and AMSGrad.
const KINDS: [(&str, WeightDecay, bool); 4] = [
    ("adam", WeightDecay::L2, false),
    ("amsgrad", WeightDecay::L2, true),
    ("adamw", WeightDecay::Decoupled, false),
    ("adamw_amsgrad", WeightDecay::Decoupled, true),
];

/// The constants of `tests/golden/adam.py`.
fn solver(form: WeightDecay) -> Adam {
    Adam { beta1: 0.9, beta2: 0.95, epsilon: 1e-3, weight_decay: 0.05, form }
}

fn rate(step: usize) -> f32 {
    if step < 10 { 0.1 } else { 0.01 }
}

/// The learning rate and the number of a step on the device.
fn scalars(device: &Device, rate: f32, step: usize) -> (Tensor, Tensor) {
    let number = Tensor::from_i32(device, [1], &[step as i32]).unwrap();
    (Tensor::full(device, [1], rate).unwrap(), number)
}

/// Twenty steps of `torch.optim.Adam` and `AdamW`: weights after each, moments after the last.
#[test]
fn golden_values() {
    on::each(|device| {
        let golden = golden::read("adam");
        for (kind, form, amsgrad) in KINDS {
            let (mut params, ids) = golden_params(device, &golden);
            let mut moments = Moments::new(&params, amsgrad).unwrap();
            for step in 0..20 {
                let row = |key: String, n: usize| golden[&key].values[step * n..][..n].to_vec();
                for (name, id) in ids {
                    let grad = &mut params.get_mut(id).grad;
                    grad.copy_from_host_f32(&row(format!("grads.{name}"), grad.shape().len())).unwrap();
                }
                let (rate, number) = scalars(device, rate(step), step);
                adam(&mut params, &mut moments, &rate, &number, solver(form)).unwrap();
                for (name, id) in ids {
                    let value = host(&params.get(id).value);
                    let expected = row(format!("{kind}.{name}"), value.len());
                    assert_close(&format!("{kind} {name}, step {step}"), &value, &expected, 3e-6);
                }
            }
            assert_eq!(moments.each().len(), if amsgrad { 3 } else { 2 });
            for (state, each) in moments.each() {
                for ((name, _), tensor) in ids.iter().zip(each) {
                    let what = format!("{kind}.{state}/{name}");
                    assert_close(&what, &host(tensor), &golden[&what].values, 2e-6);
                }
            }
        }
    });
}

/// Shape, lr_mult and decay_mult of parameters of one segment and of many, of odd sizes, some frozen; filters have
/// gradients and a copy in bf16 where the device computes in it; those of images are wider there.
const SIZES: [(&[usize], f32, f32); 9] = [
    (&[1], 1.0, 1.0),
    (&[7], 2.0, 0.0),
    (&[5, 3, 3, 3], 0.5, 1.0),
    (&[3, 3, 1, 5], 0.5, 1.0),
    (&[100], 0.0, 1.0),
    (&[8, 1, 1, 9], 0.0, 1.0),
    (&[4097], 1.0, 0.5),
    (&[16, 3, 3, 64], 1.0, 1.0),
    (&[64, 7, 7, 3], 1.0, 1.0),
];

/// Parameters and moments of noise.
fn filled(device: &Device, amsgrad: bool) -> (Params, Moments) {
    let mut specs = ParamSpecs::default();
    for (shape, ..) in SIZES {
        specs.add("w", Shape::try_from(shape).unwrap());
    }
    let mut params = Params::new(device, &specs).unwrap();
    for (i, (param, (_, lr_mult, decay_mult))) in params.params_mut().iter_mut().zip(SIZES).enumerate() {
        let n = param.value.shape().len();
        (param.lr_mult, param.decay_mult) = (lr_mult, decay_mult);
        param.load(&noise(10 * i as u64, n)).unwrap();
        on::set_gradient(device, param, &noise(10 * i as u64 + 1, n));
    }
    let mut moments = Moments::new(&params, amsgrad).unwrap();
    for (kind, (name, each)) in moments.each_mut().into_iter().enumerate() {
        for (i, tensor) in each.iter_mut().enumerate() {
            let mut values = noise(10 * i as u64 + 2 + kind as u64, tensor.shape().len());
            if name != "exp_avg" {
                values.iter_mut().for_each(|value| *value = value.abs());
            }
            tensor.copy_from_host_f32(&values).unwrap();
        }
    }
    (params, moments)
}

/// Every element moves as it would alone, at a step number other than 0; the copy with it; gradients stay.
#[test]
fn every_parameter_moves_on_its_own() {
    const STEP: usize = 6;
    on::each_precision(|device| {
        for (kind, form, amsgrad) in KINDS {
            let (mut params, mut moments) = filled(device, amsgrad);
            let read = |params: &Params, moments: &Moments| -> Vec<Vec<Vec<f32>>> {
                let states = moments.each();
                let of = |i: usize| {
                    let param = &params.params()[i];
                    let gradient = on::without_padding(&param.grad, param.value.shape().last());
                    let mut all = vec![host(&param.value), gradient];
                    all.extend(states.iter().map(|(_, each)| host(&each[i])));
                    all
                };
                (0..SIZES.len()).map(of).collect()
            };
            let before = read(&params, &moments);
            let (rate, number) = scalars(device, 0.1, STEP);
            let solver = solver(form);
            adam(&mut params, &mut moments, &rate, &number, solver).unwrap();
            let after = read(&params, &moments);
            for (i, (shape, lr_mult, decay_mult)) in SIZES.into_iter().enumerate() {
                let what = |name: &str| format!("{name} of {shape:?}, {kind}");
                if lr_mult == 0.0 {
                    assert_eq!(after[i], before[i], "{}", what("all"));
                    continue;
                }
                let (r, d) = (0.1 * f64::from(lr_mult), f64::from(solver.weight_decay * decay_mult));
                let mut expected = before[i].clone();
                for k in 0..before[i][0].len() {
                    let at = |row: usize| f64::from(before[i][row][k]);
                    let (mut w, mut g) = (at(0), at(1));
                    match form {
                        WeightDecay::L2 => g += d * w,
                        WeightDecay::Decoupled => w *= 1.0 - r * d,
                    }
                    let m = solver.beta1 * at(2) + (1.0 - solver.beta1) * g;
                    let v = solver.beta2 * at(3) + (1.0 - solver.beta2) * g * g;
                    let u = if amsgrad { v.max(at(4)) } else { v };
                    let correction = |beta: f64| 1.0 - beta.powi(STEP as i32 + 1);
                    let root = (u / correction(solver.beta2)).sqrt() + f64::from(solver.epsilon);
                    w -= r * (m / correction(solver.beta1)) / root;
                    for (row, value) in [w, at(1), m, v, u].into_iter().take(expected.len()).enumerate() {
                        expected[row][k] = value as f32;
                    }
                }
                for (row, name) in ["value", "gradient", "mean", "square", "largest"].into_iter().enumerate()
                {
                    if let (Some(ours), Some(right)) = (after[i].get(row), expected.get(row)) {
                        assert_close(&what(name), ours, right, 2e-6);
                    }
                }
                let param = &params.params()[i];
                on::check_copy(device, param, &what("compute copy"));
            }
        }
    });
}

/// The same bits with one thread and with five.
#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let bits = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let device = Device::cpu();
            let (mut params, mut moments) = filled(&device, true);
            for step in 0..3 {
                let (rate, number) = scalars(&device, 0.1, step);
                adam(&mut params, &mut moments, &rate, &number, solver(WeightDecay::L2)).unwrap();
            }
            let values = params.params().iter().map(|param| &param.value);
            let states = moments.each();
            let all = values.chain(states.iter().flat_map(|(_, each)| each.iter()));
            all.flat_map(|tensor| tensor.f32().iter().map(|v| v.to_bits())).collect::<Vec<_>>()
        })
    };
    assert_eq!(bits(1), bits(5));
}

#[test]
fn wrong_constants_are_refused() {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut moments = Moments::new(&params, false).unwrap();
    let (rate, number) = scalars(&device, 0.1, 0);
    let good = solver(WeightDecay::L2);
    for (solver, word) in [
        (Adam { beta1: 1.0, ..good }, "beta1 1"),
        (Adam { beta2: f64::NAN, ..good }, "beta2 NaN"),
        (Adam { epsilon: 0.0, ..good }, "epsilon 0"),
        (Adam { weight_decay: -0.1, ..good }, "weight decay -0.1"),
    ] {
        let error = adam(&mut params, &mut moments, &rate, &number, solver).unwrap_err().to_string();
        assert!(error.starts_with("adam: ") && error.contains(word), "{error}");
    }
    let error = adam(&mut params, &mut moments, &rate, &rate, good).unwrap_err().to_string();
    assert!(error.contains("step number is f32 [1], expected i32 [1]"), "{error}");
    let error = adam(&mut params, &mut moments, &number, &number, good).unwrap_err().to_string();
    assert!(error.contains("learning rate"), "{error}");
}

/// A parameter that was frozen counts its steps from its first update; while it is frozen it keeps value and moments.
#[test]
fn steps_count_from_the_first_update() {
    on::each(|device| {
        let golden = golden::read("adam");
        let moved = |first_step: u32, frozen: bool| {
            let (mut params, ids) = golden_params(device, &golden);
            let mut moments = Moments::new(&params, false).unwrap();
            for (_, id) in ids {
                let param = params.get_mut(id);
                (param.first_step, param.frozen) = (first_step, frozen);
                let n = param.grad.shape().len();
                param.grad.copy_from_host_f32(&noise(3, n)).unwrap();
            }
            for step in 0..3 {
                let (rate, number) = scalars(device, 0.1, step + first_step as usize);
                adam(&mut params, &mut moments, &rate, &number, solver(WeightDecay::L2)).unwrap();
            }
            let states = moments.each().into_iter().flat_map(|(_, each)| each.iter().map(host));
            let values = ids.map(|(_, id)| host(&params.get(id).value));
            (values, states.collect::<Vec<_>>())
        };
        assert_eq!(moved(0, false), moved(1000, false));
        let (values, states) = moved(0, true);
        assert_eq!(values, ["weight", "bias"].map(|name| golden[&format!("start.{name}")].values.clone()));
        assert!(states.iter().flatten().all(|state| *state == 0.0));
    });
}

//! Batch normalisation by cuDNN, with the residual and the ReLU behind it, beside the CPU's.

use super::layer::{Layer, Step, step, step_after};
use super::{BATCH, EPILOGUES, SMALL, fused, small};
use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input, noise};
use crate::on::{self, host};
use bcreid::autograd::{ParamSpecs, StepValues, Tape, Var};
use bcreid::device::{BatchNormBackend, Device};
use bcreid::element::DType;
use bcreid::ops::add::add;
use bcreid::ops::batchnorm::{BatchNorm, Epilogue, Statistics, batchnorm};
use bcreid::tensor::Tensor;

/// What runs on `device`: cuDNN, nowhere the other kernels by mistake.
fn launches(device: &Device) -> u64 {
    let Device::Cuda(gpu) = device else { panic!("cuDNN is a library for GPUs") };
    assert_eq!(device.batchnorm(), BatchNormBackend::Cudnn);
    gpu.launches()
}

#[test]
fn golden_values() {
    on::cudnn_in_each_precision(|device| {
        // PyTorch had inputs that bf16 rounds.
        if device.activations() != DType::F32 {
            return;
        }
        let golden = golden::read("batchnorm");
        let v = |name: &str| golden[name].values.as_slice();
        let sizes: [usize; 4] = golden["x"].shape.clone().try_into().unwrap();
        for (epilogue, has_residual, relu) in EPILOGUES {
            let layer = Layer::new(device, v("gamma"), v("beta"), v("mean"), v("var"));
            let residual = has_residual.then(|| v("residual"));
            let step = step(layer, sizes, v("x"), residual, v("dy"), &fused(BATCH, relu));
            let close = |name: &str, ours: &[f32], tolerance| {
                let key = format!("batch.{epilogue}.{name}");
                assert_close(&key, ours, v(&key), on::tolerance(device, tolerance));
            };
            close("y", &step.y, 2e-6);
            close("dx", &step.dx, 5e-6);
            close("dgamma", &step.dgamma, 5e-6);
            close("dbeta", &step.dbeta, 5e-6);
            if let Some(dresidual) = &step.dresidual {
                close("dresidual", dresidual, 0.0);
            }
            for (ours, name) in step.running.iter().zip(["moved_mean", "moved_var"]) {
                assert_close(name, ours, v(name), on::tolerance(device, 1e-6));
            }
        }
    });
}

/// dy where y is positive, 0 elsewhere.
fn masked(dy: &[f32], y: &[f32]) -> Vec<f32> {
    dy.iter().zip(y).map(|(&dy, &y)| if y <= 0.0 { 0.0 } else { dy }).collect()
}

#[test]
fn agrees_with_the_cpu() {
    on::cudnn_in_each_precision(|device| {
        for shape in [[2, 43, 37, 22], [2, 31, 9, 24], [1, 2, 1, 260], [3, 5, 2, 8]] {
            let (n, c) = (shape.iter().product(), shape[3]);
            let [x, residual, dy] = [1, 2, 3].map(|seed| on::rounded(device, &noise(seed, n)));
            for (epilogue, has_residual, relu) in EPILOGUES {
                let residual = has_residual.then_some(residual.as_slice());
                let ours = step(Layer::noisy(device, c), shape, &x, residual, &dy, &fused(BATCH, relu));
                let what = |name: &str| format!("{name} of {shape:?}, {epilogue}");
                // An output of rounded sums may lie on the other side of 0, so the gradients are those of our own mask.
                let dy = if relu { masked(&dy, &ours.y) } else { dy.clone() };
                let cpu = Device::cpu();
                let y = step(Layer::noisy(&cpu, c), shape, &x, residual, &dy, &fused(BATCH, relu)).y;
                let plain = step(Layer::noisy(&cpu, c), shape, &x, None, &dy, &fused(BATCH, false));
                // The sum with the residual rounds a second time, and may be far smaller than its terms.
                let of_sum = has_residual && device.activations() == DType::BF16;
                assert_close(
                    &what("y"),
                    &ours.y,
                    &y,
                    if of_sum { 3e-2 } else { on::tolerance(device, 5e-6) },
                );
                assert_close(&what("dx"), &ours.dx, &plain.dx, on::tolerance(device, 5e-6));
                assert_eq!(ours.dresidual, has_residual.then_some(dy), "{}", what("dresidual"));
                assert_close(&what("dgamma"), &ours.dgamma, &plain.dgamma, 2e-5);
                assert_close(&what("dbeta"), &ours.dbeta, &plain.dbeta, 2e-5);
                for (ours, cpu) in ours.running.iter().zip(&plain.running) {
                    assert_close(&what("running"), ours, cpu, 2e-5);
                }
            }
        }
    });
}

/// Features `[N, C]`, behind global pooling.
#[test]
fn features_of_a_batch() {
    on::cudnn_in_each_precision(|device| {
        let [x, dy] = [1, 2].map(|seed| on::rounded(device, &noise(seed, 12 * 40)));
        let [ours, cpu] = [device, &Device::cpu()]
            .map(|on| step(Layer::noisy(on, 40), [12, 40], &x, None, &dy, &fused(BATCH, false)));
        assert_close("y", &ours.y, &cpu.y, on::tolerance(device, 5e-6));
        assert_close("dx", &ours.dx, &cpu.dx, on::tolerance(device, 5e-6));
    });
}

#[test]
fn gradient() {
    on::cudnn_in_each_precision(|device| {
        if device.activations() != DType::F32 {
            return;
        }
        let check = Check {
            tolerance: 5e-3,
            buffers: vec![vec![0.25, -0.5, 0.0], vec![0.5, 1.0, 2.0]],
            ..Check::default()
        };
        let mut specs = ParamSpecs::default();
        let (mean, var) = (specs.add_buffer("mean", [3], 0.0), specs.add_buffer("var", [3], 0.0));
        let residual = noise(4, 36).iter().map(|v| v + 4.0_f32.copysign(*v)).collect();
        let inputs = [
            Input::noise([2, 3, 2, 3], 1),
            Input::new([3], vec![0.7, -1.3, 0.4]),
            Input::noise([3], 2),
            Input::new([2, 3, 2, 3], residual),
        ];
        check.run(device, &inputs, |tape, v| {
            let bn = BatchNorm { gamma: v[1].clone(), beta: v[2].clone(), mean, var };
            batchnorm(tape, v[0].clone(), bn, BATCH, Epilogue { residual: Some(v[3].clone()), relu: true })
        });
    });
}

/// A layer that is used twice adds the second gradients of its parameters to the first ones; those of x and of the
/// residual come on top of what is there.
#[test]
fn gradients_add_to_earlier_ones() {
    on::cudnn_in_each_precision(|device| {
        let [x, residual, dy] = small(device);
        let [old_dx, old_dresidual] = [7, 8].map(|seed| on::rounded(device, &noise(seed, 60)));
        let f = fused(BATCH, true);
        let layer = || Layer::noisy(device, 3);
        let alone = step(layer(), SMALL, &x, Some(&residual), &dy, &f);
        let on_top =
            step_after(layer(), SMALL, (&x, Some(&old_dx)), (Some(&residual), Some(&old_dresidual)), &dy, &f);
        assert_eq!(on_top.dx, on::rounded(device, &on::sum(&old_dx, &alone.dx)));
        let sum = on::rounded(device, &on::sum(&old_dresidual, alone.dresidual.as_ref().unwrap()));
        assert_eq!(on_top.dresidual.unwrap(), sum);

        let twice = |tape: &mut Tape<'_>, x: Var, bn: BatchNorm, residual: Option<Var>| {
            let first = f(tape, x.clone(), bn.clone(), residual.clone())?;
            let second = f(tape, x, bn, residual)?;
            add(tape, first, second)
        };
        let twice = step(layer(), SMALL, &x, Some(&residual), &dy, &twice);
        let double = |values: &[f32]| values.iter().map(|v| 2.0 * v).collect::<Vec<_>>();
        assert_close("dgamma", &twice.dgamma, &double(&alone.dgamma), 1e-6);
        assert_close("dbeta", &twice.dbeta, &double(&alone.dbeta), 1e-6);
    });
}

/// gamma is shared by two layers, each with a beta of its own: one gradient is added to, the other overwritten.
#[test]
fn each_parameter_has_its_own_write_mode() {
    on::cudnn_in_each_precision(|device| {
        let [x, _, dy] = small(device);
        let of = |device: &Device| {
            let mut layer = Layer::noisy(device, 3);
            let mut tape = Tape::new(&mut layer.params, &StepValues::new(device, 0).unwrap());
            let x = tape.leaf(on::tensor(device, SMALL, &x));
            let gamma = tape.param(layer.gamma);
            let other = tape.leaf(Tensor::from_f32(device, [3], &noise(20, 3)).unwrap());
            let (mean, var) = (layer.mean, layer.var);
            let first = BatchNorm { gamma: gamma.clone(), beta: tape.param(layer.beta), mean, var };
            let second = BatchNorm { gamma, beta: other.clone(), mean, var };
            let f = fused(BATCH, false);
            let first = f(&mut tape, x.clone(), first, None).unwrap();
            let second = f(&mut tape, x, second, None).unwrap();
            let sum = add(&mut tape, first, second).unwrap();
            let mut gradients = tape.backward(vec![(sum, on::tensor(device, SMALL, &dy))]).unwrap();
            let other = host(&gradients.take(&other).unwrap());
            [layer.gamma, layer.beta].map(|id| host(&layer.params.get(id).grad)).into_iter().chain([other])
        };
        for (name, (ours, cpu)) in
            ["gamma", "beta", "other beta"].iter().zip(of(device).zip(of(&Device::cpu())))
        {
            assert_close(name, &ours, &cpu, 1e-6);
        }
    });
}

/// Of a layer whose parameters are constants only dx is given; of one whose beta is learned, beta's gradient too.
#[test]
fn constant_parameters_get_no_gradient() {
    on::cudnn_in_each_precision(|device| {
        let [x, _, dy] = small(device);
        let with = |gamma: f32, beta: f32| -> Step {
            let mut layer = Layer::noisy(device, 3);
            layer.params.get_mut(layer.gamma).lr_mult = gamma;
            layer.params.get_mut(layer.beta).lr_mult = beta;
            step(layer, SMALL, &x, None, &dy, &fused(BATCH, false))
        };
        let all = with(1.0, 1.0);
        assert!(all.dgamma.iter().chain(&all.dbeta).all(|&gradient| gradient != 0.0));
        let zero = vec![0.0; 3];
        for (gamma, beta) in [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0)] {
            let some = with(gamma, beta);
            assert_eq!((&some.y, &some.dx, &some.running), (&all.y, &all.dx, &all.running));
            assert_eq!(&some.dgamma, if gamma > 0.0 { &all.dgamma } else { &zero });
            assert_eq!(&some.dbeta, if beta > 0.0 { &all.dbeta } else { &zero });
        }
    });
}

/// Inference takes the running statistics and leaves them alone: one call of cuDNN, and one kernel for each part of the
/// epilogue.
#[test]
fn inference() {
    on::cudnn_in_each_precision(|device| {
        let [x, residual, _] = small(device);
        for (epilogue, has_residual, relu) in EPILOGUES {
            let of = |device: &Device| {
                let mut layer = Layer::noisy(device, 3);
                let before = layer.running();
                let mut tape = Tape::no_grad(&mut layer.params).unwrap();
                let input = tape.constant(on::tensor(device, SMALL, &x));
                let residual = has_residual.then(|| tape.constant(on::tensor(device, SMALL, &residual)));
                let (gamma, beta) = (tape.param(layer.gamma), tape.param(layer.beta));
                let bn = BatchNorm { gamma, beta, mean: layer.mean, var: layer.var };
                let launched = on::is_cuda(device).then(|| launches(device));
                let y = fused(BATCH, relu)(&mut tape, input, bn, residual).unwrap();
                if let Some(before) = launched {
                    let expected = 1 + u64::from(has_residual) + u64::from(relu);
                    assert_eq!(launches(device) - before, expected, "{epilogue}");
                }
                let y = host(&y.value);
                drop(tape);
                assert_eq!(layer.running(), before);
                y
            };
            assert_close(epilogue, &of(device), &of(&Device::cpu()), on::tolerance(device, 2e-6));
        }
    });
}

/// cuDNN has no gradient of frozen statistics: such a layer is computed by the other kernels, bit for bit.
#[test]
fn frozen_statistics_with_gradients() {
    on::cudnn_in_each_precision(|device| {
        let [x, residual, dy] = small(device);
        for (epilogue, has_residual, relu) in EPILOGUES {
            let residual = has_residual.then_some(residual.as_slice());
            let [ours, cpu] = [device, &Device::cpu()].map(|on| {
                step(Layer::noisy(on, 3), SMALL, &x, residual, &dy, &fused(Statistics::Frozen, relu))
            });
            assert_close(epilogue, &ours.y, &cpu.y, on::tolerance(device, 5e-6));
            assert_close(epilogue, &ours.dx, &cpu.dx, on::tolerance(device, 5e-6));
            assert_eq!(ours.running, cpu.running);
        }
    });
}

/// Training is one call of cuDNN in each direction, and one kernel for each part of the epilogue.
#[test]
fn training_is_by_cudnn() {
    on::cudnn_in_each_precision(|device| {
        let [x, residual, _] = small(device);
        for (epilogue, has_residual, relu) in EPILOGUES {
            let mut layer = Layer::noisy(device, 3);
            let mut tape = Tape::new(&mut layer.params, &StepValues::new(device, 0).unwrap());
            let x = tape.leaf(on::tensor(device, SMALL, &x));
            let residual = has_residual.then(|| tape.leaf(on::tensor(device, SMALL, &residual)));
            let (gamma, beta) = (tape.param(layer.gamma), tape.param(layer.beta));
            let bn = BatchNorm { gamma, beta, mean: layer.mean, var: layer.var };
            let seed = on::tensor(device, SMALL, &[1.0; 60]);
            let before = launches(device);
            let y = fused(BATCH, relu)(&mut tape, x, bn, residual).unwrap();
            let forward = launches(device);
            assert_eq!(forward - before, 1 + u64::from(has_residual) + u64::from(relu), "{epilogue}");
            tape.backward(vec![(y, seed)]).unwrap();
            // The seed becomes the gradient without a kernel.
            assert_eq!(launches(device) - forward, 1 + u64::from(relu), "{epilogue}");
        }
    });
}

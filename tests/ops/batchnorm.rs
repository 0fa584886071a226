mod cudnn;
mod frozen;
pub mod kernel;
mod layer;

use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input, noise};
use crate::on;
use bcreid::Result;
use bcreid::autograd::{ParamSpecs, StepValues, Tape, Var};
use bcreid::device::Device;
use bcreid::element::Shape;
use bcreid::ops::batchnorm::{BatchNorm, EPS, Epilogue, Statistics, batchnorm};
use bcreid::ops::{add::add, relu::relu};
use bcreid::tensor::Tensor;
use layer::{Forward, Layer, step, step_after};

const BATCH: Statistics = Statistics::Batch { momentum: 0.1 };

fn fused(
    statistics: Statistics,
    relu: bool,
) -> impl Fn(&mut Tape<'_>, Var, BatchNorm, Option<Var>) -> Result<Var> {
    move |tape, x, bn, residual| batchnorm(tape, x, bn, statistics, Epilogue { residual, relu })
}

const EPILOGUES: [(&str, bool, bool); 4] =
    [("plain", false, false), ("relu", false, true), ("add", true, false), ("add_relu", true, true)];

#[test]
fn golden_values() {
    on::each(|device| {
        let golden = golden::read("batchnorm");
        let v = |name: &str| golden[name].values.as_slice();
        let sizes: [usize; 4] = golden["x"].shape.clone().try_into().unwrap();
        for (mode, statistics) in [("batch", BATCH), ("frozen", Statistics::Frozen)] {
            for (epilogue, has_residual, relu) in EPILOGUES {
                let layer = Layer::new(device, v("gamma"), v("beta"), v("mean"), v("var"));
                let residual = has_residual.then(|| v("residual"));
                let step = step(layer, sizes, v("x"), residual, v("dy"), &fused(statistics, relu));
                let close = |name: &str, ours: &[f32], tolerance| {
                    let key = format!("{mode}.{epilogue}.{name}");
                    assert_close(&key, ours, v(&key), tolerance);
                };
                close("y", &step.y, 2e-6);
                close("dx", &step.dx, 5e-6);
                close("dgamma", &step.dgamma, 5e-6);
                close("dbeta", &step.dbeta, 5e-6);
                if let Some(dresidual) = &step.dresidual {
                    close("dresidual", dresidual, 0.0);
                }
                let moved = if mode == "batch" { ["moved_mean", "moved_var"] } else { ["mean", "var"] };
                let tolerance = if mode == "batch" { 1e-6 } else { 0.0 };
                assert_close(moved[0], &step.running[0], v(moved[0]), tolerance);
                assert_close(moved[1], &step.running[1], v(moved[1]), tolerance);
            }
        }
    });
}

/// Every output of a CUDA device beside the CPU's of the same, rounded inputs: several chunks of rows, packs of both
/// types, of one and of neither.
#[test]
fn cuda_devices_agree_with_the_cpu() {
    on::cuda_in_each_precision(|device| {
        for shape in [[2, 43, 37, 22], [2, 31, 9, 24], [1, 2, 1, 260], [3, 5, 2, 8]] {
            let (n, c) = (shape.iter().product(), shape[3]);
            let [x, residual, dy] = [1, 2, 3].map(|seed| on::rounded(device, &noise(seed, n)));
            for statistics in [BATCH, Statistics::Frozen] {
                for (epilogue, has_residual, relu) in EPILOGUES {
                    let residual = has_residual.then_some(residual.as_slice());
                    let [ours, cpu] = [device, &Device::cpu()].map(|on| {
                        step(Layer::noisy(on, c), shape, &x, residual, &dy, &fused(statistics, relu))
                    });
                    let what = |name: &str| format!("{name} of {shape:?}, {statistics:?}, {epilogue}");
                    // Both compute in f32 from the same numbers; bf16 rounds what leaves the kernel, once.
                    assert_close(&what("y"), &ours.y, &cpu.y, on::tolerance(device, 5e-6));
                    assert_close(&what("dx"), &ours.dx, &cpu.dx, on::tolerance(device, 5e-6));
                    assert_eq!(ours.dresidual, cpu.dresidual, "{}", what("dresidual"));
                    // A thread adds 4 rows of a chunk in f32, a column of up to 256 threads meets in f32; the rest is
                    // f64.
                    assert_close(&what("dgamma"), &ours.dgamma, &cpu.dgamma, 2e-5);
                    assert_close(&what("dbeta"), &ours.dbeta, &cpu.dbeta, 2e-5);
                    for (ours, cpu) in ours.running.iter().zip(&cpu.running) {
                        assert_close(&what("running"), ours, cpu, 1e-6);
                    }
                }
            }
        }
    });
}

#[test]
fn gradient() {
    on::each(|device| {
        let check = Check {
            tolerance: 5e-3,
            buffers: vec![vec![0.25, -0.5, 0.0], vec![0.5, 1.0, 2.0]],
            ..Check::default()
        };
        // An id is a place in the order of addition: these fit the parameters that the checker makes.
        let mut specs = ParamSpecs::default();
        let (mean, var) = (specs.add_buffer("mean", [3], 0.0), specs.add_buffer("var", [3], 0.0));
        // Far from 0 either way, so that no step crosses the rectifier's kink.
        let residual = noise(4, 36).iter().map(|v| v + 4.0_f32.copysign(*v)).collect();
        let inputs = [
            Input::noise([2, 3, 2, 3], 1),
            Input::new([3], vec![0.7, -1.3, 0.4]),
            Input::new([3], vec![5.0, -5.0, 4.0]),
            Input::new([2, 3, 2, 3], residual),
        ];
        for statistics in [BATCH, Statistics::Frozen] {
            for (_, has_residual, relu) in EPILOGUES {
                let inputs = match has_residual {
                    true => [inputs[0].clone(), inputs[1].clone(), Input::noise([3], 2), inputs[3].clone()]
                        .to_vec(),
                    false => inputs[..3].to_vec(),
                };
                check.run(device, &inputs, |tape, v| {
                    let bn = BatchNorm { gamma: v[1].clone(), beta: v[2].clone(), mean, var };
                    batchnorm(
                        tape,
                        v[0].clone(),
                        bn,
                        statistics,
                        Epilogue { residual: v.get(3).cloned(), relu },
                    )
                });
            }
        }
    });
}

/// More than one chunk of rows and every lane width: 22 = 16 + 4 + 1 + 1 channels, 2 x 43 x 37 rows.
const LARGE: [usize; 4] = [2, 43, 37, 22];
const LARGE_LEN: usize = 2 * 43 * 37 * 22;

#[test]
fn the_fused_tail_equals_batchnorm_add_relu() {
    on::each(|device| {
        let (x, residual, dy) = (noise(1, LARGE_LEN), noise(2, LARGE_LEN), noise(3, LARGE_LEN));
        for statistics in [BATCH, Statistics::Frozen] {
            for (_, has_residual, with_relu) in EPILOGUES {
                let residual = has_residual.then_some(residual.as_slice());
                let composed = |tape: &mut Tape<'_>, x, bn, residual: Option<Var>| {
                    let y = batchnorm(tape, x, bn, statistics, Epilogue::default())?;
                    let y = match residual {
                        Some(r) => add(tape, y, r)?,
                        None => y,
                    };
                    if with_relu { relu(tape, y) } else { Ok(y) }
                };
                let of = |f: Forward| step(Layer::noisy(device, 22), LARGE, &x, residual, &dy, f);
                let (one, many) = (of(&fused(statistics, with_relu)), of(&composed));
                // A GPU may fuse the residual's addition with the product before it, and round once instead of twice.
                assert_close("y", &one.y, &many.y, if on::is_cuda(device) { 1e-6 } else { 0.0 });
                assert_eq!(one.running, many.running);
                assert_eq!(one.dresidual, many.dresidual);
                assert_close("dx", &one.dx, &many.dx, 1e-6);
                assert_close("dgamma", &one.dgamma, &many.dgamma, 1e-5);
                assert_close("dbeta", &one.dbeta, &many.dbeta, 1e-5);
            }
        }
    });
}

const SMALL: [usize; 4] = [2, 5, 2, 3];

/// x, residual and dy of a small step, as the device has them.
fn small(device: &Device) -> [Vec<f32>; 3] {
    [1, 2, 3].map(|seed| on::rounded(device, &noise(seed, 60)))
}

/// The block's input is its residual too: both ways must be added up, and neither spoil the other.
#[test]
fn a_residual_used_twice_collects_both_gradients() {
    on::each_precision(|device| {
        let [x, residual, dy] = small(device);
        for statistics in [BATCH, Statistics::Frozen] {
            let twice = |tape: &mut Tape<'_>, x, bn, residual: Option<Var>| {
                let residual = residual.unwrap();
                let y = fused(statistics, true)(tape, x, bn, Some(residual.clone()))?;
                add(tape, y, residual)
            };
            let of = |f: Forward| step(Layer::noisy(device, 3), SMALL, &x, Some(&residual), &dy, f);
            let (double, single) = (of(&twice), of(&fused(statistics, true)));
            let sum = on::rounded(device, &on::sum(&single.dresidual.unwrap(), &dy));
            assert_eq!(double.dresidual.unwrap(), sum);
            assert_eq!(double.dx, single.dx);
            assert_eq!((double.dgamma, double.dbeta), (single.dgamma, single.dbeta));
        }
    });
}

/// Only the residual needs a gradient: x is not kept, whatever the statistics are.
#[test]
fn a_residual_may_be_the_only_one_with_a_gradient() {
    on::each_precision(|device| {
        let [x, residual, dy] = small(device);
        for statistics in [BATCH, Statistics::Frozen] {
            let mut layer = Layer::noisy(device, 3);
            for id in [layer.gamma, layer.beta] {
                layer.params.get_mut(id).lr_mult = 0.0;
            }
            let mut tape = Tape::new(&mut layer.params, &StepValues::new(device, 0).unwrap());
            let x = tape.constant(on::tensor(device, SMALL, &x));
            let residual = tape.leaf(on::tensor(device, SMALL, &residual));
            let key = on::key(device, &residual);
            let bn = BatchNorm {
                gamma: tape.param(layer.gamma),
                beta: tape.param(layer.beta),
                mean: layer.mean,
                var: layer.var,
            };
            let y = fused(statistics, true)(&mut tape, x, bn, Some(residual)).unwrap();
            let open: Vec<bool> = on::host(&y.value).iter().map(|&y| y > 0.0).collect();
            let mut grads = tape.backward(vec![(y, on::tensor(device, SMALL, &dy))]).unwrap();
            let masked: Vec<f32> =
                dy.iter().zip(&open).map(|(&dy, &open)| if open { dy } else { 0.0 }).collect();
            assert_eq!(on::host(&grads.take(&key).unwrap()), masked, "{statistics:?}");
        }
    });
}

/// No image: nothing is launched that a device refuses.
#[test]
fn an_empty_input_has_an_empty_output() {
    on::each_precision(|device| {
        let mut layer = Layer::noisy(device, 3);
        let mut tape = Tape::new(&mut layer.params, &StepValues::new(device, 0).unwrap());
        let x = tape.leaf(on::tensor(device, [0, 5, 2, 3], &[]));
        let bn = BatchNorm {
            gamma: tape.param(layer.gamma),
            beta: tape.param(layer.beta),
            mean: layer.mean,
            var: layer.var,
        };
        let y = fused(Statistics::Frozen, true)(&mut tape, x, bn, None).unwrap();
        assert_eq!(y.shape().dims(), [0, 5, 2, 3]);
        tape.backward(vec![(y, on::tensor(device, [0, 5, 2, 3], &[]))]).unwrap();
    });
}

/// x as its own residual: y = relu(bn(x) + x).
#[test]
fn the_input_may_be_its_own_residual() {
    on::each_precision(|device| {
        let [x, _, dy] = small(device);
        let own = |tape: &mut Tape<'_>, x: Var, bn, _: Option<Var>| {
            fused(BATCH, true)(tape, x.clone(), bn, Some(x))
        };
        let own = step(Layer::noisy(device, 3), SMALL, &x, None, &dy, &own);
        let two = step(Layer::noisy(device, 3), SMALL, &x, Some(&x), &dy, &fused(BATCH, true));
        let sum = on::sum(&two.dx, &two.dresidual.unwrap());
        assert_close("dx", &own.dx, &sum, on::tolerance(device, 1e-6));
    });
}

/// The gradients of all inputs come on top of what is there, and a layer that is used twice collects both uses.
#[test]
fn gradients_add_to_earlier_ones() {
    on::each_precision(|device| {
        let [x, residual, dy] = small(device);
        let [old_dx, old_dresidual] = [7, 8].map(|seed| on::rounded(device, &noise(seed, 60)));
        for (statistics, relu) in [(BATCH, true), (BATCH, false), (Statistics::Frozen, true)] {
            let f = fused(statistics, relu);
            let layer = || Layer::noisy(device, 3);
            let alone = step(layer(), SMALL, &x, Some(&residual), &dy, &f);
            let (x_and_old, residual_and_old) =
                ((&x[..], Some(&old_dx[..])), (Some(&residual[..]), Some(&old_dresidual[..])));
            let on_top = step_after(layer(), SMALL, x_and_old, residual_and_old, &dy, &f);
            let what = format!("{statistics:?}, relu {relu}");
            assert_eq!(on_top.dx, on::rounded(device, &on::sum(&old_dx, &alone.dx)), "{what}");
            let sum = on::rounded(device, &on::sum(&old_dresidual, &alone.dresidual.unwrap()));
            assert_eq!(on_top.dresidual.unwrap(), sum, "{what}");

            // The same input twice, so that each use of the parameters gives what one gives alone.
            let twice = |tape: &mut Tape<'_>, x: Var, bn: BatchNorm, residual: Option<Var>| {
                let first = f(tape, x.clone(), bn.clone(), residual.clone())?;
                let second = f(tape, x, bn, residual)?;
                add(tape, first, second)
            };
            let twice = step(layer(), SMALL, &x, Some(&residual), &dy, &twice);
            let double = |values: &[f32]| values.iter().map(|v| 2.0 * v).collect::<Vec<_>>();
            assert_close(&what, &twice.dgamma, &double(&alone.dgamma), 1e-6);
            assert_close(&what, &twice.dbeta, &double(&alone.dbeta), 1e-6);
        }
    });
}

/// What f64 makes of the same f32 inputs: y and dx of the plain layer with batch statistics.
fn reference(x: &[f32], dy: &[f32], gamma: &[f32], beta: &[f32]) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let c = gamma.len();
    let rows = (x.len() / c) as f64;
    let (mut y, mut dx, mut var) = (vec![0.0; x.len()], vec![0.0; x.len()], vec![0.0; c]);
    for ch in 0..c {
        let column = |v: &[f32]| v.iter().skip(ch).step_by(c).map(|&v| f64::from(v)).collect::<Vec<_>>();
        let (x, dy) = (column(x), column(dy));
        let mean = x.iter().sum::<f64>() / rows;
        let v = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / rows;
        let inv_std = 1.0 / (v + f64::from(EPS)).sqrt();
        let hat: Vec<f64> = x.iter().map(|x| (x - mean) * inv_std).collect();
        let (db, dg) = (dy.iter().sum::<f64>(), dy.iter().zip(&hat).map(|(g, h)| g * h).sum::<f64>());
        let scale = f64::from(gamma[ch]) * inv_std;
        for (i, (hat, g)) in hat.iter().zip(&dy).enumerate() {
            y[i * c + ch] = (hat * f64::from(gamma[ch]) + f64::from(beta[ch])) as f32;
            dx[i * c + ch] = (scale * (g - db / rows - hat * dg / rows)) as f32;
        }
        var[ch] = (v * rows / (rows - 1.0)) as f32;
    }
    (y, dx, var)
}

/// A mean of 1000 with a deviation of 0.03 (a few hundred units in the last place), a constant channel, and a
/// first row that lies far from all others: where naive sums lose every digit.
#[test]
fn large_means_and_small_variances_stay_exact() {
    on::each(|device| {
        let c = 22;
        let rows = LARGE_LEN / c;
        let mut x: Vec<f32> = noise(1, LARGE_LEN).iter().map(|v| 1000.0 + 0.05 * v).collect();
        for row in 0..rows {
            x[row * c + 1] = 7.5;
            x[row * c + 2] = if row == 0 { 1000.0 } else { x[row * c + 2] - 1000.0 };
            x[row * c + 3] *= -100.0;
        }
        let dy = noise(3, LARGE_LEN);
        let (gamma, beta) = (noise(10, c), noise(11, c));
        let (y, dx, var) = reference(&x, &dy, &gamma, &beta);
        let layer = Layer::new(device, &gamma, &beta, &vec![0.0; c], &vec![0.0; c]);
        let all = Statistics::Batch { momentum: 1.0 };
        let step = step(layer, LARGE, &x, None, &dy, &fused(all, false));
        assert_close("y", &step.y, &y, 5e-6);
        assert_close("dx", &step.dx, &dx, 5e-6);
        for (ours, reference) in step.running[1].iter().zip(&var) {
            assert!((ours - reference).abs() <= 1e-5 * reference, "variance {ours}, in f64 {reference}");
        }
    });
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let (x, residual, dy) = (noise(1, LARGE_LEN), noise(2, LARGE_LEN), noise(3, LARGE_LEN));
    for statistics in [BATCH, Statistics::Frozen] {
        for (_, has_residual, relu) in EPILOGUES {
            let residual = has_residual.then_some(residual.as_slice());
            let [one, others @ ..] = [1, 2, 3, 8].map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    step(Layer::noisy(&Device::cpu(), 22), LARGE, &x, residual, &dy, &fused(statistics, relu))
                })
            });
            others.iter().for_each(|other| assert_eq!(one, *other));
        }
    }
}

/// NaN in the input reaches its whole channel through the batch's statistics, and with frozen ones its own
/// element; in the residual, its own element. No epilogue hides it, and the rectifier lets its gradient through.
#[test]
fn nan_is_not_hidden() {
    on::each_precision(|device| {
        const AT: usize = 4;
        let [x, residual, dy] = small(device);
        let clean = [x, residual];
        let [nan_x, nan_residual] = clean.clone().map(|mut values| {
            values[AT] = f32::NAN;
            values
        });
        for statistics in [BATCH, Statistics::Frozen] {
            for (epilogue, has_residual, relu) in EPILOGUES {
                for learned in [true, false] {
                    let layer = || {
                        let mut layer = Layer::noisy(device, 3);
                        for id in [layer.gamma, layer.beta] {
                            layer.params.get_mut(id).lr_mult = if learned { 1.0 } else { 0.0 };
                        }
                        layer
                    };
                    let what = format!("{statistics:?}, {epilogue}, learned {learned}");
                    let residual = has_residual.then_some(clean[1].as_slice());
                    let out = step(layer(), SMALL, &nan_x, residual, &dy, &fused(statistics, relu));
                    let batch = statistics == BATCH;
                    for (i, y) in out.y.iter().enumerate() {
                        let reached = if batch { i % 3 == AT % 3 } else { i == AT };
                        assert_eq!(y.is_nan(), reached, "{what}: y[{i}]");
                    }
                    let channels = [false, batch, false];
                    for running in &out.running {
                        assert_eq!(
                            running.iter().map(|r| r.is_nan()).collect::<Vec<_>>(),
                            channels,
                            "{what}"
                        );
                    }
                    assert!(out.dx[AT] != 0.0, "{what}: dx");
                    assert!(out.dresidual.is_none_or(|d| d[AT] == dy[AT]), "{what}: dresidual");
                    if has_residual {
                        let residual = Some(nan_residual.as_slice());
                        let out = step(layer(), SMALL, &clean[0], residual, &dy, &fused(statistics, relu));
                        assert!(out.y.iter().enumerate().all(|(i, y)| y.is_nan() == (i == AT)), "{what}");
                        assert!(out.dx.iter().all(|d| d.is_finite()) && out.dx[AT] != 0.0, "{what}: dx");
                        assert_eq!(out.dresidual.unwrap()[AT], dy[AT], "{what}: dresidual");
                    }
                }
            }
        }
    });
}

#[test]
fn wrong_shapes_are_refused() {
    let refused = |channels: usize, x: &[usize], residual: Option<&[usize]>, words: &[&str]| {
        let mut layer = Layer::noisy(&Device::cpu(), channels);
        let device = layer.params.device().clone();
        let before = layer.running();
        let mut tape = Tape::new(&mut layer.params, &StepValues::new(&device, 0).unwrap());
        let zeros = |shape: &[usize]| Tensor::zeros(&device, Shape::try_from(shape).unwrap()).unwrap();
        let x = tape.leaf(zeros(x));
        let residual = residual.map(|r| tape.leaf(zeros(r)));
        let bn = BatchNorm {
            gamma: tape.param(layer.gamma),
            beta: tape.param(layer.beta),
            mean: layer.mean,
            var: layer.var,
        };
        let error = fused(BATCH, true)(&mut tape, x, bn, residual).unwrap_err().to_string();
        assert!(words.iter().all(|w| error.contains(w)) && error.contains("batchnorm"), "{error}");
        drop(tape);
        assert_eq!(layer.running(), before);
    };
    refused(4, &[2, 5, 2, 3], None, &["[2, 5, 2, 3]", "gamma", "[4]", "[3]"]);
    refused(3, &[2, 5, 2, 3], Some(&[2, 5, 1, 3]), &["residual", "[2, 5, 1, 3]", "[2, 5, 2, 3]"]);
    refused(3, &[1, 1, 1, 3], None, &["at least 2 values"]);
    refused(3, &[0, 1, 1, 3], None, &["at least 2 values"]);
}

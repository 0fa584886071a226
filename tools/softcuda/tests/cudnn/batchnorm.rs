//! The stand-in's batch normalisation against f64, and what it refuses.

use std::ptr;

use crate::common::numbers::Type;
use crate::common::stand_ins::{Process, captured, free, upload, wait};
use crate::layer::{Cudnn, SUCCESS, nhwc};
use crate::normalise::*;

fn modes() -> impl Iterator<Item = (Type, i32)> {
    [Type::F32, Type::Bf16].into_iter().flat_map(|of| [(of, SPATIAL), (of, PERSISTENT)])
}

#[test]
fn training_agrees_with_f64() {
    Process::of("batchnorm::training_agrees_with_f64").run(|| {
        let cudnn = Cudnn::open();
        for (of, mode) in modes() {
            for [alpha, beta] in [[1.0f32, 0.0], [0.5, 1.0]] {
                let what = format!("{of:?}, mode {mode}, factors {alpha} and {beta}");
                let normaliser = Normaliser::new(&cudnn, of, mode);
                let arrays =
                    Arrays { factors: [alpha, beta], of_parameters: [alpha, beta], ..normaliser.arrays() };
                let before = |address| columns(&normaliser.data(address));
                let (x, dy, old_y, old_dx) =
                    (before(arrays.x), before(arrays.dy), before(arrays.y), before(arrays.dx));
                let [gamma, shift, old_dgamma, old_dshift] =
                    arrays.parameters.map(|address| normaliser.channels(address));
                let [mean, variance] = [0, 1].map(|i| normaliser.channels(arrays.statistics[i]));
                assert_eq!(normaliser.forward(&arrays), SUCCESS, "{what}");
                assert_eq!(normaliser.backward(&arrays), SUCCESS, "{what}");

                let (alpha, beta) = (f64::from(alpha), f64::from(beta));
                let (mut y, mut dx) = (Vec::new(), Vec::new());
                let mut of_channels = vec![Vec::new(); 6];
                for c in 0..x.len() {
                    let [m, biased, unbiased] = moments(&x[c]);
                    let (inverse, n) = (1.0 / (biased + EPSILON).sqrt(), x[c].len() as f64);
                    let normal: Vec<f64> = x[c].iter().map(|x| (x - m) * inverse).collect();
                    let (gamma, shift) = (f64::from(gamma[c]), f64::from(shift[c]));
                    let result = normal.iter().zip(&old_y[c]);
                    y.push(result.map(|(v, old)| alpha * (gamma * v + shift) + beta * old).collect());
                    let sum: f64 = dy[c].iter().sum();
                    let product: f64 = dy[c].iter().zip(&normal).map(|(g, v)| g * v).sum();
                    let gradient = dy[c].iter().zip(&normal).zip(&old_dx[c]).map(|((g, v), old)| {
                        alpha * gamma * inverse * (g - sum / n - v * product / n) + beta * old
                    });
                    dx.push(gradient.collect());
                    let moved = |old: f32, new: f64| (1.0 - MOMENTUM) * f64::from(old) + MOMENTUM * new;
                    for (list, value) in of_channels.iter_mut().zip([
                        moved(mean[c], m),
                        moved(variance[c], unbiased),
                        m,
                        inverse,
                        alpha * product + beta * f64::from(old_dgamma[c]),
                        alpha * sum + beta * f64::from(old_dshift[c]),
                    ]) {
                        list.push(value);
                    }
                }
                of.assert_near(&normaliser.data(arrays.y), &rows(&y), &format!("y, {what}"));
                of.assert_near(&normaliser.data(arrays.dx), &rows(&dx), &format!("dx, {what}"));
                let [.., dgamma, dshift] = arrays.parameters;
                let found = arrays.statistics.into_iter().chain([dgamma, dshift]);
                for (i, (address, want)) in found.zip(&of_channels).enumerate() {
                    Type::F32.assert_near(&normaliser.channels(address), want, &format!("array {i}, {what}"));
                }
            }
        }
    });
}

#[test]
fn inference_agrees_with_f64() {
    Process::of("batchnorm::inference_agrees_with_f64").run(|| {
        let cudnn = Cudnn::open();
        for (of, mode) in modes() {
            let normaliser = Normaliser::new(&cudnn, of, mode);
            let arrays = normaliser.arrays();
            assert_eq!(normaliser.inference(&arrays), SUCCESS);
            let [gamma, shift, ..] = arrays.parameters.map(|address| normaliser.channels(address));
            let [mean, variance] = [0, 1].map(|i| normaliser.channels(arrays.statistics[i]));
            let mut x = columns(&normaliser.data(arrays.x));
            for (c, column) in x.iter_mut().enumerate() {
                let [gamma, shift, mean, variance] =
                    [&gamma, &shift, &mean, &variance].map(|values| f64::from(values[c]));
                column
                    .iter_mut()
                    .for_each(|x| *x = gamma * (*x - mean) / (variance + EPSILON).sqrt() + shift);
            }
            of.assert_near(&normaliser.data(arrays.y), &rows(&x), &format!("{of:?}, mode {mode}"));
        }
    });
}

#[test]
fn statistics_may_be_left_out() {
    Process::of("batchnorm::statistics_may_be_left_out").run(|| {
        let cudnn = Cudnn::open();
        let normaliser = Normaliser::new(&cudnn, Type::F32, SPATIAL);
        let all = normaliser.arrays();
        assert_eq!((normaliser.forward(&all), normaliser.backward(&all)), (SUCCESS.into(), SUCCESS.into()));
        let want = [normaliser.data(all.y), normaliser.data(all.dx)];
        let none = Arrays { statistics: [0; 4], workspace: (0, 0), reserve: (0, 0), ..normaliser.arrays() };
        assert_eq!((normaliser.forward(&none), normaliser.backward(&none)), (SUCCESS.into(), SUCCESS.into()));
        let near = |got: &[f32], want: &[f32]| {
            let want: Vec<f64> = want.iter().map(|&v| v.into()).collect();
            Type::F32.assert_near(got, &want, "without statistics");
        };
        near(&normaliser.data(none.y), &want[0]);
        near(&normaliser.data(none.dx), &want[1]);
    });
}

/// The bits of a result show the mode, and are the same in each run.
#[test]
fn the_modes_round_differently() {
    Process::of("batchnorm::the_modes_round_differently").run(|| {
        let cudnn = Cudnn::open();
        let runs = |mode| {
            [(); 2].map(|()| {
                let normaliser = Normaliser::new(&cudnn, Type::F32, mode);
                let arrays = normaliser.arrays();
                assert_eq!(normaliser.forward(&arrays), SUCCESS);
                normaliser.channels(arrays.statistics[3])
            })
        };
        let [plain, persistent] = [SPATIAL, PERSISTENT].map(runs);
        assert_eq!(plain[0], plain[1]);
        assert_eq!(persistent[0], persistent[1]);
        assert_ne!(plain[0], persistent[0]);
    });
}

#[test]
fn a_replay_normalises_anew() {
    Process::of("batchnorm::a_replay_normalises_anew").run(|| {
        let cudnn = Cudnn::open();
        let normaliser = Normaliser::new(&cudnn, Type::F32, PERSISTENT);
        let arrays = normaliser.arrays();
        let graph = captured(&cudnn.stream, || {
            assert_eq!(normaliser.forward(&arrays), SUCCESS);
            assert_eq!(normaliser.backward(&arrays), SUCCESS);
        });
        graph.launch().unwrap();
        let once = normaliser.data(arrays.y);
        // Without variance every output is beta.
        upload(&cudnn.stream, arrays.x, &vec![3.0f32; once.len()]);
        graph.launch().unwrap();
        let shift = normaliser.channels(arrays.parameters[1]);
        let want: Vec<f32> = shift.iter().copied().cycle().take(once.len()).collect();
        assert_ne!(once, want);
        assert_eq!(normaliser.data(arrays.y), want);
    });
}

#[test]
fn what_cudnn_refuses_is_refused() {
    Process::of("batchnorm::what_cudnn_refuses_is_refused")
        .says("one of the running statistics is null")
        .says("one of the saved statistics is null")
        .says("epsilon is below CUDNN_BN_MIN_EPSILON")
        .says("x is null")
        .says("x does not begin at a multiple of 16 bytes")
        .says("y, which is written, overlaps x")
        .says("dx, which is written, overlaps dy")
        .says("the workspace of 16 bytes is less than the")
        .says("the reserve space of 0 bytes is less than the")
        .says("the persistent mode needs the saved statistics")
        .says("supported for 16-bit IEEE floats only")
        .says("must be packed NHWC")
        .says("the parameters must be f32")
        .says("sizes 1 x C x 1 x 1")
        .run(|| {
            let cudnn = Cudnn::open();
            for (of, mode) in modes() {
                let normaliser = Normaliser::new(&cudnn, of, mode);
                let good = normaliser.arrays();
                let [gamma, shift, dgamma, dshift] = good.parameters;
                let [mean, variance, saved_mean, saved_inverse] = good.statistics;
                let both = |arrays: Arrays, status: &str| {
                    let status = format!("CUDNN_STATUS_{status}");
                    assert_eq!([normaliser.forward(&arrays), normaliser.backward(&arrays)], [&*status; 2]);
                };
                both(Arrays { epsilon: -1e-9, ..good }, "BAD_PARAM");
                both(Arrays { epsilon: f64::NAN, ..good }, "BAD_PARAM");
                both(Arrays { x: 0, ..good }, "BAD_PARAM");
                both(Arrays { parameters: [0, shift, dgamma, 0], ..good }, "BAD_PARAM");
                let alignment = if of == Type::F32 { 2 } else { 8 };
                both(Arrays { x: good.x + alignment, ..good }, "BAD_PARAM_MISALIGNED_POINTER");
                both(
                    Arrays { parameters: [gamma + 2, shift, dgamma, dshift], ..good },
                    "BAD_PARAM_MISALIGNED_POINTER",
                );
                both(Arrays { y: good.x, dx: good.dy, ..good }, "BAD_PARAM");
                both(Arrays { statistics: [mean, variance, saved_mean, 0], ..good }, "BAD_PARAM");
                let one = Arrays { statistics: [mean, 0, saved_mean, saved_inverse], ..good };
                assert_eq!(normaliser.forward(&one), "CUDNN_STATUS_BAD_PARAM");
                if mode == PERSISTENT {
                    both(Arrays { workspace: (good.workspace.0, 16), ..good }, "BAD_PARAM_SIZE_INSUFFICIENT");
                    both(Arrays { reserve: (0, 1 << 10), ..good }, "BAD_PARAM_SIZE_INSUFFICIENT");
                    let none = Arrays { statistics: [mean, variance, 0, 0], ..good };
                    assert_eq!(normaliser.backward(&none), "CUDNN_STATUS_BAD_PARAM");
                }
                for status in [
                    normaliser.inference(&Arrays { epsilon: -1.0, ..good }),
                    normaliser.inference(&Arrays { y: good.x, ..good }),
                    normaliser.inference(&Arrays { statistics: [mean, 0, 0, 0], ..good }),
                ] {
                    assert_eq!(status, "CUDNN_STATUS_BAD_PARAM");
                }
                // Descriptors.
                let status = |change: &dyn Fn(&mut Normaliser), want: &str| {
                    let mut other = Normaliser::new(&cudnn, of, mode);
                    change(&mut other);
                    let want = format!("CUDNN_STATUS_{want}");
                    assert_eq!([other.forward(&good), other.backward(&good)], [&*want; 2]);
                    assert_eq!(other.sizes(), Err(want));
                };
                status(&|of| of.ops = 1, "NOT_SUPPORTED");
                status(&|of| of.mode = 0, "NOT_SUPPORTED");
                let other = |size| described(&cudnn, Type::F32, size, nhwc(size));
                status(&|of| of.parameters = other([1, 16, 1, 1]), "BAD_PARAM_SHAPE_MISMATCH");
                let bf16 = described(&cudnn, Type::Bf16, [1, 8, 1, 1], [8, 1, 1, 1]);
                status(&|of| of.parameters = bf16, "BAD_PARAM");
                let [n, c, h, w] = SIZE;
                if (of, mode) != (Type::F32, SPATIAL) {
                    let nchw = Normaliser::with_strides(&cudnn, of, mode, [c * h * w, h * w, w, 1]);
                    assert_eq!(nchw.forward(&good), "CUDNN_STATUS_NOT_SUPPORTED_LAYOUT");
                }
                assert_eq!(n, 2);
                let derive = normaliser.call.cudnnDeriveBNTensorDescriptor;
                // SAFETY: no descriptor, and one.
                let statuses = unsafe {
                    [
                        derive(normaliser.parameters, ptr::null_mut(), mode),
                        derive(normaliser.parameters, normaliser.x, 3),
                    ]
                };
                assert_eq!(statuses.map(|status| cudnn.status(status)), ["CUDNN_STATUS_BAD_PARAM"; 2]);
            }
            wait(&cudnn.stream).unwrap();
        });
}

/// Enqueues both passes, with `between` between them; the second one must fail when it runs.
fn fails(between: impl FnOnce(&Normaliser, &Arrays) -> Arrays) {
    let cudnn = Cudnn::open();
    let normaliser = Normaliser::new(&cudnn, Type::F32, PERSISTENT);
    let arrays = normaliser.arrays();
    assert_eq!(normaliser.forward(&arrays), SUCCESS);
    wait(&cudnn.stream).unwrap();
    let changed = between(&normaliser, &arrays);
    assert_eq!(normaliser.backward(&changed), SUCCESS);
    wait(&cudnn.stream).unwrap_err();
}

#[test]
fn another_x_is_told() {
    Process::of("batchnorm::another_x_is_told").says("x is not that of the forward pass").run(|| {
        fails(|_, arrays| Arrays { x: arrays.y, ..*arrays });
    });
}

#[test]
fn a_lost_reserve_space_is_told() {
    Process::of("batchnorm::a_lost_reserve_space_is_told").says("x is not that of the forward pass").run(
        || {
            fails(|normaliser, arrays| {
                upload(&normaliser.cudnn.stream, arrays.reserve.0, &[1u64; 16]);
                *arrays
            });
        },
    );
}

#[test]
fn freed_statistics_are_told() {
    Process::of("batchnorm::freed_statistics_are_told")
        .says("cuDNN batch normalisation: the saved mean: buffer")
        .run(|| {
            fails(|_, arrays| {
                free(arrays.statistics[2]);
                *arrays
            });
        });
}

#[test]
fn unwritten_gradients_are_not_added_to() {
    Process::of("batchnorm::unwritten_gradients_are_not_added_to")
        .says("cuDNN batch normalisation: a gradient that is added to")
        .run(|| {
            fails(|_, arrays| {
                let [gamma, shift, dgamma, _] = arrays.parameters;
                let unwritten = crate::common::stand_ins::alloc(32);
                Arrays { parameters: [gamma, shift, dgamma, unwritten], of_parameters: [1.0, 1.0], ..*arrays }
            });
        });
}

#[test]
fn plants_refuse_the_persistent_mode() {
    Process::of("batchnorm::plants_refuse_the_persistent_mode")
        .set("SOFTCUDA_PLANT", "refused-persistent")
        .says("the persistent mode is offered and not done")
        .run(|| {
            let cudnn = Cudnn::open();
            for (mode, status) in [(SPATIAL, SUCCESS), (PERSISTENT, "CUDNN_STATUS_NOT_SUPPORTED")] {
                let normaliser = Normaliser::new(&cudnn, Type::F32, mode);
                let arrays = normaliser.arrays();
                normaliser.sizes().unwrap();
                assert_eq!([normaliser.forward(&arrays), normaliser.backward(&arrays)], [status; 2]);
            }
            wait(&cudnn.stream).unwrap();
        });
}

#[test]
fn a_plant_refuses_the_gradient_in_the_persistent_mode() {
    Process::of("batchnorm::a_plant_refuses_the_gradient_in_the_persistent_mode")
        .set("SOFTCUDA_PLANT", "refused-persistent-gradient")
        .run(|| {
            let cudnn = Cudnn::open();
            let normaliser = Normaliser::new(&cudnn, Type::F32, PERSISTENT);
            let arrays = normaliser.arrays();
            assert_eq!(normaliser.forward(&arrays), SUCCESS);
            assert_eq!(normaliser.backward(&arrays), "CUDNN_STATUS_NOT_SUPPORTED");
            wait(&cudnn.stream).unwrap();
        });
}

#[test]
fn a_plant_offers_no_persistent_mode() {
    Process::of("batchnorm::a_plant_offers_no_persistent_mode").set("SOFTCUDA_PLANT", "no-persistent").run(
        || {
            let cudnn = Cudnn::open();
            let sizes = |mode| Normaliser::new(&cudnn, Type::F32, mode).sizes();
            assert_eq!(sizes(PERSISTENT), Err("CUDNN_STATUS_NOT_SUPPORTED".into()));
            assert_eq!(sizes(SPATIAL), Ok([0; 3]));
        },
    );
}

//! The stand-in for cuDNN against convolutions in f64, and what it refuses.

mod batchnorm;
#[path = "../common/mod.rs"]
mod common;
mod layer;
mod normalise;

use common::numbers::{Type, tf32};
use common::stand_ins::{Process, alloc, captured, download, free, upload, uploaded, wait};
use cudarc::driver::sys::CUresult;
use layer::*;

#[test]
fn convolutions_agree_with_f64() {
    Process::of("convolutions_agree_with_f64").run(|| {
        let cudnn = Cudnn::open();
        for (filter, pad, stride, of) in [
            (1, 0, 1, Type::F32),
            (1, 0, 2, Type::Bf16),
            (3, 1, 1, Type::F32),
            (3, 1, 1, Type::Bf16),
            (3, 1, 2, Type::F32),
            (3, 0, 2, Type::Bf16),
            (7, 3, 2, Type::F32),
            (7, 3, 2, Type::Bf16),
        ] {
            let (c, k) = if of == Type::F32 { (3, 5) } else { (8, 16) };
            let case = Case { of, x: [2, c, 9, 7], w: [k, c, filter, filter], pad, stride };
            let layer = Layer::new(&cudnn, &case);
            for (direction, (alpha, beta)) in DIRECTIONS
                .into_iter()
                .flat_map(|direction| [(direction, (1.0, 0.0)), (direction, (0.5, 1.0))])
            {
                let run = Run { alpha, beta, ..Run::of(&cudnn, &case) };
                let [.., old] = direction.roles(noise(&case));
                if beta == 0.0 {
                    let [.., result] = direction.roles(run.arrays);
                    upload(&cudnn.stream, result, &of.encode(&vec![f32::NAN; old.len()]));
                }
                assert_eq!(layer.run(direction, &run), SUCCESS);
                let got = result_of(&cudnn, &case, direction, &run);

                let [first, second, _] = direction.roles(noise(&case));
                let mut sums = vec![0.0; got.len()];
                case.each_product(|x, w, y| {
                    let [i, j, to] = direction.roles([x, w, y]);
                    sums[to] += f64::from(first[i]) * f64::from(second[j]);
                });
                let scaled = |(sum, old): (&f64, &f32)| f64::from(alpha) * sum + f64::from(beta * old);
                let want: Vec<f64> = sums.iter().zip(&old).map(scaled).collect();
                of.assert_near(&got, &want, &format!("{case:?} {direction:?} beta {beta}"));
            }
        }
    });
}

#[test]
fn strides_say_how_an_array_lies() {
    Process::of("strides_say_how_an_array_lies").run(|| {
        let cudnn = Cudnn::open();
        let [n, c, h, w] = SMALL.x;
        let run = Run::of(&cudnn, &SMALL);
        assert_eq!(Layer::new(&cudnn, &SMALL).run(Forward, &run), SUCCESS);
        let want = result_of(&cudnn, &SMALL, Forward, &run);

        let [x, ..] = noise(&SMALL);
        let mut turned = vec![0.0; x.len()];
        for (i, (n, c_, h_, w_)) in each([n, c, h, w]).enumerate() {
            turned[i] = x[(((n * h + h_) * w + w_) * c + c_) as usize];
        }
        upload(&cudnn.stream, run.arrays[0], &turned);
        let nchw = Layer::described(&cudnn, &SMALL, [c * h * w, h * w, w, 1], SMALL.y());
        assert_eq!(nchw.run(Forward, &run), SUCCESS);
        assert_eq!(result_of(&cudnn, &SMALL, Forward, &run), want);
    });
}

#[test]
fn the_first_gradient_algorithm_is_not_deterministic() {
    Process::of("the_first_gradient_algorithm_is_not_deterministic").run(|| {
        let cudnn = Cudnn::open();
        let layer = Layer::new(&cudnn, &SMALL);
        for direction in DIRECTIONS {
            let listed = layer.algorithms(direction);
            assert_eq!(listed.len(), 3);
            for found in listed {
                assert_eq!((found.status, found.math), (0, 3));
                assert_eq!(found.memory, layer.workspace(direction, found.algorithm));
                let run = Run { algorithm: found.algorithm, ..Run::of(&cudnn, &SMALL) };
                let mut results = (0..2).map(|_| {
                    assert_eq!(layer.run(direction, &run), SUCCESS);
                    result_of(&cudnn, &SMALL, direction, &run)
                });
                let same = results.next() == results.next();
                assert_eq!(same, found.determinism == 1, "{direction:?} {found:?}");
                assert_eq!(same, direction == Forward || found.algorithm != 0);
            }
        }
    });
}

/// The bits of a result show which algorithm was taken.
#[test]
fn the_last_algorithm_sums_in_the_other_order() {
    Process::of("the_last_algorithm_sums_in_the_other_order").run(|| {
        let cudnn = Cudnn::open();
        let layer = Layer::new(&cudnn, &SMALL);
        for direction in DIRECTIONS {
            let [first, last] = [1, 2].map(|algorithm| {
                let run = Run { algorithm, ..Run::of(&cudnn, &SMALL) };
                assert_eq!(layer.run(direction, &run), SUCCESS);
                result_of(&cudnn, &SMALL, direction, &run)
            });
            let first: Vec<f64> = first.iter().map(|&value| value.into()).collect();
            Type::F32.assert_near(&last, &first, &format!("{direction:?}"));
            assert!(last.iter().zip(&first).any(|(&a, &b)| f64::from(a) != b), "{direction:?}");
        }
    });
}

/// The type FMA alone keeps all bits of f32.
#[test]
fn factors_are_rounded_to_tf32_where_the_math_type_permits_it() {
    Process::of("factors_are_rounded_to_tf32_where_the_math_type_permits_it").run(|| {
        let cudnn = Cudnn::open();
        let values = noise(&SMALL);
        for (math, is_rounded) in [(0, true), (1, true), (2, true), (3, false)] {
            let layer = Layer::new(&cudnn, &SMALL);
            layer.set_math(math);
            for direction in DIRECTIONS {
                let run = Run::of(&cudnn, &SMALL);
                assert_eq!(layer.run(direction, &run), SUCCESS);
                let [first, second, result] = direction.roles(values.each_ref());
                let factor = |value: f32| f64::from(if is_rounded { tf32(value) } else { value });
                let mut want = vec![0.0; result.len()];
                SMALL.each_product(|x, w, y| {
                    let [i, j, to] = direction.roles([x, w, y]);
                    want[to] += factor(first[i]) * factor(second[j]);
                });
                let got = result_of(&cudnn, &SMALL, direction, &run);
                Type::F32.assert_near(&got, &want, &format!("{direction:?} math {math}"));
            }
        }
    });
}

#[test]
fn a_plant_refuses_sums_with_the_result() {
    Process::of("a_plant_refuses_sums_with_the_result")
        .set("SOFTCUDA_PLANT", "refused-accumulate")
        .says("algorithm 0 does not add to the result")
        .run(|| {
            let cudnn = Cudnn::open();
            let layer = Layer::new(&cudnn, &SMALL);
            for direction in DIRECTIONS {
                for (algorithm, beta, status) in
                    [(0, 0.0, SUCCESS), (1, 1.0, "CUDNN_STATUS_NOT_SUPPORTED"), (2, 1.0, SUCCESS)]
                {
                    let run = Run { algorithm, beta, ..Run::of(&cudnn, &SMALL) };
                    assert_eq!(layer.run(direction, &run), status, "{direction:?} {algorithm} {beta}");
                }
                let run = Run { algorithm: 0, beta: 1.0, ..Run::of(&cudnn, &SMALL) };
                assert_eq!(layer.run(direction, &run), "CUDNN_STATUS_NOT_SUPPORTED", "{direction:?}");
            }
            wait(&cudnn.stream).unwrap();
        });
}

#[test]
fn a_plant_fails_what_was_offered() {
    Process::of("a_plant_fails_what_was_offered").set("SOFTCUDA_PLANT", "failed-execution").run(|| {
        let cudnn = Cudnn::open();
        let layer = Layer::new(&cudnn, &SMALL);
        for direction in DIRECTIONS {
            for found in layer.algorithms(direction) {
                let algorithm = found.algorithm;
                let run = Run { algorithm, ..Run::of(&cudnn, &SMALL) };
                let expected = if algorithm == 2 { SUCCESS } else { "CUDNN_STATUS_EXECUTION_FAILED" };
                assert_eq!((found.status, layer.run(direction, &run).as_str()), (0, expected), "{found:?}");
            }
        }
        wait(&cudnn.stream).unwrap();
    });
}

#[test]
fn a_plant_offers_other_math_types() {
    Process::of("a_plant_offers_other_math_types")
        .set("SOFTCUDA_PLANT", "other-math")
        .says("algorithm 1 is offered with math type 0, and the descriptor has 3")
        .run(|| {
            let cudnn = Cudnn::open();
            let layer = Layer::new(&cudnn, &SMALL);
            for direction in DIRECTIONS {
                let offered = layer.algorithms(direction);
                assert_eq!(offered.iter().map(|found| found.math).collect::<Vec<_>>(), [1, 0, 3]);
                for algorithm in 0..3 {
                    for math in [0, 1, 3] {
                        layer.set_math(math);
                        let run = Run { algorithm, ..Run::of(&cudnn, &SMALL) };
                        let is_right = offered[algorithm as usize].math == math;
                        let expected = if is_right { SUCCESS } else { "CUDNN_STATUS_NOT_SUPPORTED" };
                        assert_eq!(layer.run(direction, &run), expected, "{direction:?} {algorithm} {math}");
                    }
                }
                layer.set_math(3);
            }
            wait(&cudnn.stream).unwrap();
        });
}

#[test]
fn a_plant_wants_channels_in_fours() {
    Process::of("a_plant_wants_channels_in_fours")
        .set("SOFTCUDA_PLANT", "channels-in-fours")
        .says("f32 channels must be multiples of 4")
        .run(|| {
            let cudnn = Cudnn::open();
            let even = Case { x: [2, 4, 6, 5], w: [8, 4, 3, 3], ..SMALL };
            for (case, status) in [(even, SUCCESS), (SMALL, "CUDNN_STATUS_NOT_SUPPORTED")] {
                let run = Run::of(&cudnn, &case);
                assert_eq!(Layer::new(&cudnn, &case).run(Forward, &run), status, "{case:?}");
            }
            wait(&cudnn.stream).unwrap();
        });
}

#[test]
fn a_replay_convolves_anew() {
    Process::of("a_replay_convolves_anew").run(|| {
        let cudnn = Cudnn::open();
        for direction in DIRECTIONS {
            let (layer, run) = (Layer::new(&cudnn, &SMALL), Run::of(&cudnn, &SMALL));
            let graph = captured(&cudnn.stream, || assert_eq!(layer.run(direction, &run), SUCCESS));
            drop(layer);
            let replay = || {
                graph.launch().unwrap();
                result_of(&cudnn, &SMALL, direction, &run)
            };
            let once = replay();
            let [first, ..] = direction.roles(noise(&SMALL));
            let twice: Vec<f32> = first.iter().map(|value| 2.0 * value).collect();
            upload(&cudnn.stream, direction.roles(run.arrays)[0], &twice);
            let doubled: Vec<f32> = once.iter().map(|value| 2.0 * value).collect();
            assert_eq!(replay(), doubled, "{direction:?}");
        }
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    Process::of("what_does_not_fit_is_refused")
        .says("elements of x overlap")
        .says("do not give y 2 x 4 x 6 x 6")
        .says("the workspace of 100 bytes is less than the")
        .says("an array does not begin at a multiple of 16 bytes")
        .says("an array does not begin at a multiple of 4 bytes")
        .says("16-bit channels must be multiples of 8")
        .says("16-bit arrays must be packed NHWC")
        .says("algorithm 3 is none of those that were listed")
        .run(|| {
            let cudnn = Cudnn::open();
            let [(small, run), (small_bf16, run_bf16)] =
                [SMALL, SMALL_BF16].map(|case| (Layer::new(&cudnn, &case), Run::of(&cudnn, &case)));
            let [n, c, h, w] = nhwc(SMALL.x);
            let swapped = Layer::described(&cudnn, &SMALL, [n, c, w, h], SMALL.y());
            let wide = Layer::described(&cudnn, &SMALL, nhwc(SMALL.x), [2, 4, 6, 6]);
            let few_channels = Case { x: [2, 12, 6, 5], w: [16, 12, 3, 3], ..SMALL_BF16 };
            let few = Layer::new(&cudnn, &few_channels);
            let [n, c, h, w] = nhwc(SMALL_BF16.x);
            let loose = Layer::described(&cudnn, &SMALL_BF16, [2 * n, c, h, w], SMALL_BF16.y());
            let [x, filters, y] = run.arrays;
            let [x_bf16, filters_bf16, y_bf16] = run_bf16.arrays;
            for direction in DIRECTIONS {
                let refused = |layer: &Layer, run: &Run, status: &str| {
                    assert_eq!(layer.run(direction, run), format!("CUDNN_STATUS_{status}"), "{direction:?}");
                };
                refused(&swapped, &run, "NOT_SUPPORTED_LAYOUT");
                refused(&wide, &run, "BAD_PARAM_SHAPE_MISMATCH");
                let short = Run { workspace: (run.workspace.0, 100), ..run };
                refused(&small, &short, "BAD_PARAM_SIZE_INSUFFICIENT");
                refused(&small, &Run { workspace: (0, 1 << 16), ..run }, "BAD_PARAM_SIZE_INSUFFICIENT");
                for odd in [[x + 2, filters, y], [x, filters + 2, y], [x, filters, y + 2]] {
                    refused(&small, &Run { arrays: odd, ..run }, "BAD_PARAM_MISALIGNED_POINTER");
                }
                let odd = Run { arrays: [x_bf16 + 8, filters_bf16, y_bf16], ..run_bf16 };
                refused(&small_bf16, &odd, "BAD_PARAM_MISALIGNED_POINTER");
                refused(&few, &run_bf16, "NOT_SUPPORTED");
                refused(&loose, &run_bf16, "NOT_SUPPORTED_LAYOUT");
                refused(&small, &Run { algorithm: 3, ..run }, "NOT_SUPPORTED");
            }
            wait(&cudnn.stream).unwrap();
        });
}

/// Enqueues the convolution, which must fail when it runs.
fn fails(cudnn: &Cudnn, direction: Direction, run: &Run) {
    assert_eq!(Layer::new(cudnn, &SMALL).run(direction, run), SUCCESS);
    assert_eq!(wait(&cudnn.stream).unwrap_err().0, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
}

#[test]
fn a_freed_array_is_told() {
    Process::of("a_freed_array_is_told")
        .says("cuDNN convolution: second input: buffer `allocation 2` is freed")
        .run(|| {
            let cudnn = Cudnn::open();
            let run = Run::of(&cudnn, &SMALL);
            free(run.arrays[1]);
            fails(&cudnn, Forward, &run);
        });
}

#[test]
fn a_short_result_is_told() {
    Process::of("a_short_result_is_told").says("cuDNN convolution: result: 720 bytes at byte 0").run(|| {
        let cudnn = Cudnn::open();
        let run = Run::of(&cudnn, &SMALL);
        let [_, w, y] = run.arrays;
        fails(&cudnn, Data, &Run { arrays: [alloc(716), w, y], ..run });
    });
}

#[test]
fn a_workspace_on_the_host_is_told() {
    Process::of("a_workspace_on_the_host_is_told")
        .says("cuDNN convolution: workspace: the address is in no buffer")
        .run(|| {
            let (cudnn, host) = (Cudnn::open(), vec![0u8; 1 << 16]);
            let run = Run { workspace: (host.as_ptr() as u64, host.len()), ..Run::of(&cudnn, &SMALL) };
            fails(&cudnn, Filter, &run);
        });
}

#[test]
fn a_replay_needs_its_workspace() {
    Process::of("a_replay_needs_its_workspace")
        .says("cuDNN convolution: workspace: buffer `allocation 4` is freed")
        .run(|| {
            let cudnn = Cudnn::open();
            let (layer, run) = (Layer::new(&cudnn, &SMALL), Run::of(&cudnn, &SMALL));
            let graph = captured(&cudnn.stream, || assert_eq!(layer.run(Filter, &run), SUCCESS));
            free(run.workspace.0);
            graph.launch().unwrap();
            assert_eq!(wait(&cudnn.stream).unwrap_err().0, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
        });
}

#[test]
fn a_workspace_loses_what_it_held() {
    Process::of("a_workspace_loses_what_it_held").run(|| {
        let cudnn = Cudnn::open();
        let run = Run::of(&cudnn, &SMALL);
        let held = uploaded(&cudnn.stream, &vec![1.0f32; 1 << 14]);
        let run = Run { workspace: (held, 1 << 16), ..run };
        assert_eq!(Layer::new(&cudnn, &SMALL).run(Forward, &run), SUCCESS);
        assert!(download::<f32>(&cudnn.stream, held, 1)[0].is_nan());
    });
}

#[test]
fn the_library_may_be_old() {
    Process::of("the_library_may_be_old").set("SOFTCUDA_CUDNN_VERSION", 8907).run(|| {
        // SAFETY: it takes nothing.
        assert_eq!(unsafe { (Functions::load().cudnnGetVersion)() }, 8907);
    });
}

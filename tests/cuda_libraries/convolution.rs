//! Convolutions in all directions against sums in f64.

use crate::standin::{Gpu, assert_close, build, is_inner, numbers, passes_again, with_stand_ins};
use bcreid::device::cuda::cudnn::{Choice, Cudnn, Direction, Element, Problem, WORKSPACE_LIMIT};
use bcreid::device::cuda::libraries::probe;
use half::bf16;
use std::sync::Arc;

fn open(gpu: &Gpu) -> Cudnn {
    // SAFETY: the stream lives as long as the process.
    unsafe { Cudnn::open(probe().cudnn.as_ref().unwrap(), gpu.stream()) }.unwrap()
}

const SQUARE: Problem = Problem {
    n: 2,
    h: 6,
    w: 5,
    c: 8,
    k: 16,
    r: 3,
    s: 3,
    stride: 1,
    pad: 1,
    element: Element::F32,
    tf32: false,
};

fn kinds() -> Vec<Problem> {
    let shapes = [
        SQUARE,
        Problem { stride: 2, ..SQUARE },
        Problem { r: 1, s: 1, pad: 0, ..SQUARE },
        Problem { r: 1, s: 1, pad: 0, stride: 2, ..SQUARE },
        Problem { n: 1, h: 9, w: 7, r: 7, s: 7, pad: 3, stride: 2, ..SQUARE },
    ];
    let both = |shape: Problem| [Element::F32, Element::Bf16].map(|element| Problem { element, ..shape });
    let odd = [Problem { c: 3, k: 5, ..SQUARE }, Problem { tf32: true, h: 4, ..SQUARE }];
    shapes.into_iter().flat_map(both).chain(odd).collect()
}

/// The sum of products along all taps, in f64, of x, w and y, of which the direction's result is ignored.
fn reference(problem: &Problem, direction: Direction, x: &[f32], w: &[f32], y: &[f32]) -> Vec<f64> {
    let Problem { n, h, w: width, c, k, r, s, stride, pad, .. } = *problem;
    let (p, q) = problem.output().unwrap();
    let len = match direction {
        Direction::Forward => n * p * q * k,
        Direction::InputGradient => n * h * width * c,
        Direction::FilterGradient => k * r * s * c,
    };
    let mut sums = vec![0.0; len];
    for (image, row, column) in (0..n * p * q).map(|i| (i / (p * q), i / q % p, i % q)) {
        for (down, across) in (0..r * s).map(|i| (i / s, i % s)) {
            let (v, u) =
                ((row * stride + down).wrapping_sub(pad), (column * stride + across).wrapping_sub(pad));
            if v >= h || u >= width {
                continue;
            }
            for (filter, channel) in (0..k * c).map(|i| (i / c, i % c)) {
                let at_x = ((image * h + v) * width + u) * c + channel;
                let at_w = ((filter * r + down) * s + across) * c + channel;
                let at_y = ((image * p + row) * q + column) * k + filter;
                let (at, a, b) = match direction {
                    Direction::Forward => (at_y, x[at_x], w[at_w]),
                    Direction::InputGradient => (at_x, w[at_w], y[at_y]),
                    Direction::FilterGradient => (at_w, x[at_x], y[at_y]),
                };
                sums[at] += f64::from(a) * f64::from(b);
            }
        }
    }
    sums
}

/// Numbers that the element can hold.
fn rounded(values: Vec<f32>, element: Element) -> Vec<f32> {
    match element {
        Element::F32 => values,
        Element::Bf16 => values.into_iter().map(|value| bf16::from_f32(value).to_f32()).collect(),
    }
}

fn upload(gpu: &Gpu, values: &[f32], element: Element) -> u64 {
    match element {
        Element::F32 => gpu.upload(values),
        Element::Bf16 => gpu.upload(&values.iter().map(|&value| bf16::from_f32(value)).collect::<Vec<_>>()),
    }
}

fn read(gpu: &Gpu, address: u64, len: usize, element: Element) -> Vec<f32> {
    match element {
        Element::F32 => gpu.read(address, len),
        Element::Bf16 => gpu.read::<bf16>(address, len).into_iter().map(bf16::to_f32).collect(),
    }
}

#[test]
fn all_directions_agree_with_f64() {
    with_stand_ins("convolution::all_directions_agree_with_f64", || {
        let gpu = Gpu::open();
        let cudnn = open(&gpu);
        for problem in kinds() {
            let Problem { n, h, w: width, c, k, r, s, element, .. } = problem;
            let (p, q) = problem.output().unwrap();
            let make = |seed, len| rounded(numbers(seed, len), element);
            let (x, w, y) = (make(1, n * h * width * c), make(2, k * r * s * c), make(3, n * p * q * k));
            let plan = cudnn.plan(&problem).unwrap();
            let of = |values: &[f32]| upload(&gpu, values, element);
            for (direction, operands, before) in [
                (Direction::Forward, [of(&x), of(&w)], &y),
                (Direction::InputGradient, [of(&w), of(&y)], &x),
                (Direction::FilterGradient, [of(&x), of(&y)], &w),
            ] {
                let choice = plan.choice(direction).unwrap();
                assert!(choice.workspace() <= WORKSPACE_LIMIT);
                let workspace = gpu.memory(choice.workspace());
                for beta in [0.0, 1.0] {
                    // With beta 0 the old values must not be read: NaN would show.
                    let old = if beta == 0.0 { vec![f32::NAN; before.len()] } else { before.clone() };
                    let result = of(&old);
                    // SAFETY: the arrays have the problem's sizes and are never freed.
                    let taken = unsafe { cudnn.run(choice, operands, result, beta, workspace) }.unwrap();
                    assert!(taken, "{direction} of the {problem}");
                    let mut expected = reference(&problem, direction, &x, &w, &y);
                    if beta == 1.0 {
                        expected.iter_mut().zip(before).for_each(|(sum, &old)| *sum += f64::from(old));
                    }
                    let tolerance = if element == Element::F32 { 1e-6 } else { 1.0 / 256.0 };
                    let what = format!("{direction} of the {problem}, beta {beta}");
                    assert_close(&read(&gpu, result, before.len(), element), &expected, tolerance, &what);
                }
            }
        }
    });
}

#[test]
fn a_plan_is_made_once() {
    with_stand_ins("convolution::a_plan_is_made_once", || {
        let gpu = Gpu::open();
        let cudnn = open(&gpu);
        assert_eq!(probe().cudnn.as_ref().unwrap().version().map(|version| version.0), Some(9));
        let first = cudnn.plan(&SQUARE).unwrap();
        assert!(Arc::ptr_eq(&first, &cudnn.plan(&SQUARE).unwrap()));
        assert!(!Arc::ptr_eq(&first, &cudnn.plan(&Problem { stride: 2, ..SQUARE }).unwrap()));
        assert_eq!(first.problem(), &SQUARE);
        drop(cudnn);
        // A plan that somebody still holds keeps its descriptors.
        // The stand-in's algorithm 0 of both gradients is not deterministic, the other one needs a workspace.
        for direction in [Direction::InputGradient, Direction::FilterGradient] {
            assert!(first.choice(direction).unwrap().workspace() > 0);
        }
    });
}

/// The stand-in's algorithm 0 of the forward pass needs no workspace, and the other one, to which the plan moves on
/// after a rejection, does.
#[test]
fn a_run_takes_the_algorithm_that_its_workspace_is_for() {
    let name = "convolution::a_run_takes_the_algorithm_that_its_workspace_is_for";
    if !is_inner() {
        let mut environment: Vec<_> = build().environment().into();
        environment.push(("SOFTCUDA_PLANT", "broken-promise".into()));
        return passes_again(name, environment);
    }
    let gpu = Gpu::open();
    let cudnn = open(&gpu);
    let plan = cudnn.plan(&SQUARE).unwrap();
    let at = gpu.upload(&[1.0f32; 1 << 13]);
    let choices = [(); 2].map(|()| plan.choice(Direction::Forward).unwrap());
    let run = |choice: Choice<'_>, workspace| {
        // SAFETY: the arrays have the problem's sizes, the workspace that of the choice; they are never freed.
        unsafe { cudnn.run(choice, [at, at], gpu.memory(1 << 13), 0.0, workspace) }
    };
    // Two threads have sized their workspaces, and both are rejected: the plan moves on once, and the second one does
    // not run the next algorithm without its workspace.
    for choice in choices {
        assert_eq!(choice.workspace(), 0);
        assert!(!run(choice, 0).unwrap(), "rejected");
    }
    let next = plan.choice(Direction::Forward).unwrap();
    assert!(next.workspace() > 0);
    assert!(run(next, gpu.memory(next.workspace())).unwrap());
}

#[test]
fn refusals_name_problem_and_reason() {
    with_stand_ins("convolution::refusals_name_problem_and_reason", || {
        let gpu = Gpu::open();
        let cudnn = open(&gpu);
        let large = 1 << 16;
        for (problem, reason) in [
            (Problem { c: 12, element: Element::Bf16, ..SQUARE }, "multiples of 8"),
            (Problem { k: 4, element: Element::Bf16, ..SQUARE }, "multiples of 8"),
            (Problem { r: 9, ..SQUARE }, "larger than the padded input"),
            (Problem { stride: 0, ..SQUARE }, "is 0"),
            (Problem { n: large, h: large, ..SQUARE }, "2^31"),
            (Problem { pad: usize::MAX, ..SQUARE }, "larger than the padded input"),
        ] {
            let error = cudnn.plan(&problem).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(&problem.to_string()), "{error}");
        }
        let plan = cudnn.plan(&SQUARE).unwrap();
        let at = gpu.memory(1 << 16);
        let choice = plan.choice(Direction::FilterGradient).unwrap();
        // SAFETY: refused before anything is read.
        let error = unsafe { cudnn.run(choice, [at, at], at, 0.0, 0) }.unwrap_err();
        let need = choice.workspace();
        let told = error.to_string();
        assert!(
            told.contains(&format!("needs a workspace of {need} bytes"))
                && told.contains("filters' gradient"),
            "{told}"
        );
        let plan = cudnn.plan(&Problem { element: Element::Bf16, ..SQUARE }).unwrap();
        let choice = plan.choice(Direction::Forward).unwrap();
        // SAFETY: refused before anything is read.
        let error = unsafe { cudnn.run(choice, [at + 2, at], at, 0.0, at) }.unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains(
                "bf16 convolution of [2, 6, 5, 8] by [16, 3, 3, 8], stride 1, pad 1 by algorithm 0 failed"
            ) && told.contains("CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER (2003)"),
            "{told}"
        );
    });
}

//! Convolutions in all directions against sums in f64. What is asked here is true of every cuDNN 9; what is true of the
//! stand-in alone is in `offers`.

use crate::standin::{Gpu, assert_close, numbers, with_stand_ins};
use bcreid::Result;
use bcreid::device::cuda::cudnn::{Choice, Cudnn, Direction, Element, Plan, Problem, WORKSPACE_LIMIT};
use bcreid::device::cuda::libraries::probe;
use bcreid::element::GradMode::{self, Accumulate, Overwrite};
use half::bf16;
use std::sync::Arc;

pub const DIRECTIONS: [Direction; 3] =
    [Direction::Forward, Direction::InputGradient, Direction::FilterGradient];

pub fn open(gpu: &Gpu) -> Cudnn {
    // SAFETY: the stream lives as long as the process.
    unsafe { Cudnn::open(probe().cudnn.as_ref().unwrap(), gpu.stream()) }.unwrap()
}

/// Tries out a direction of a plan.
pub fn try_out(
    gpu: &Gpu,
    cudnn: &Cudnn,
    plan: &Plan,
    direction: Direction,
    operands: [u64; 2],
) -> Result<()> {
    let result = gpu.memory(plan.problem().result_bytes(direction));
    let workspace = |bytes| Ok((gpu.memory(bytes), ()));
    // SAFETY: the callers' arrays have the problem's sizes, as the result has; nothing is freed.
    unsafe { cudnn.try_out(plan, direction, operands, result, workspace) }
}

/// The two operands of a direction, of small numbers; they are large enough for all problems of this size.
pub fn operands(gpu: &Gpu) -> [u64; 2] {
    [(); 2].map(|()| gpu.upload(&[1.0f32; 1 << 13]))
}

/// Both choices of a direction, after a dry run.
pub fn choices<'a>(gpu: &Gpu, cudnn: &Cudnn, plan: &'a Plan, direction: Direction) -> [Choice<'a>; 2] {
    try_out(gpu, cudnn, plan, direction, operands(gpu)).unwrap();
    [Overwrite, Accumulate].map(|mode| plan.choice(direction, mode).unwrap().unwrap())
}

pub const SQUARE: Problem = Problem {
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
    let odd = [Problem { c: 4, k: 12, ..SQUARE }, Problem { tf32: true, h: 4, ..SQUARE }];
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
pub fn rounded(values: Vec<f32>, element: Element) -> Vec<f32> {
    match element {
        Element::F32 => values,
        Element::Bf16 => values.into_iter().map(|value| bf16::from_f32(value).to_f32()).collect(),
    }
}

pub fn upload(gpu: &Gpu, values: &[f32], element: Element) -> u64 {
    match element {
        Element::F32 => gpu.upload(values),
        Element::Bf16 => gpu.upload(&values.iter().map(|&value| bf16::from_f32(value)).collect::<Vec<_>>()),
    }
}

pub fn read(gpu: &Gpu, address: u64, len: usize, element: Element) -> Vec<f32> {
    match element {
        Element::F32 => gpu.read(address, len),
        Element::Bf16 => gpu.read::<bf16>(address, len).into_iter().map(bf16::to_f32).collect(),
    }
}

/// How far from the sum in f64 a result may be, relative to the largest one.
fn tolerance(problem: &Problem, mode: GradMode) -> f64 {
    match (problem.element, problem.tf32) {
        // The transforms of Winograd's algorithms take a digit.
        (Element::F32, false) => 1e-5,
        // Both factors have 10 bits of mantissa; a chip may cut the rest off.
        (Element::F32, true) => 2e-3,
        // The sum is rounded, and it may be rounded before the old value is added, too.
        (Element::Bf16, _) if mode == Accumulate => 1.0 / 128.0,
        (Element::Bf16, _) => 1.0 / 256.0,
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
                try_out(&gpu, &cudnn, &plan, direction, operands).unwrap();
                for mode in [Overwrite, Accumulate] {
                    let what = format!("{direction} of the {problem}, {mode:?}");
                    let choice = plan.choice(direction, mode).unwrap().unwrap();
                    assert!(choice.workspace() <= WORKSPACE_LIMIT, "{what}");
                    // When it overwrites, the old values must not be read: NaN would show.
                    let old = if mode == Overwrite { vec![f32::NAN; before.len()] } else { before.clone() };
                    let (result, workspace) = (of(&old), gpu.memory(choice.workspace()));
                    // SAFETY: the arrays have the problem's sizes and are never freed.
                    unsafe { cudnn.run(choice, operands, result, workspace) }.unwrap();
                    let mut expected = reference(&problem, direction, &x, &w, &y);
                    if mode == Accumulate {
                        expected.iter_mut().zip(before).for_each(|(sum, &old)| *sum += f64::from(old));
                    }
                    let found = read(&gpu, result, before.len(), element);
                    assert_close(&found, &expected, tolerance(&problem, mode), &what);
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
        assert!(first.choice(Direction::Forward, Overwrite).is_none(), "nothing has been tried out");
        let [choice, _] = choices(&gpu, &cudnn, &first, Direction::Forward);
        drop(cudnn);
        // A plan that somebody still holds keeps its descriptors and choices.
        let kept = first.choice(Direction::Forward, Overwrite).unwrap().unwrap();
        assert_eq!(kept.numbers(), choice.numbers());
    });
}

/// As in a process that resumes a run.
#[test]
fn another_handle_makes_the_same_choices() {
    with_stand_ins("convolution::another_handle_makes_the_same_choices", || {
        let gpu = Gpu::open();
        let [a, b] = [(); 2].map(|()| open(&gpu));
        for problem in kinds() {
            let plans = [&a, &b].map(|cudnn| cudnn.plan(&problem).unwrap());
            for direction in DIRECTIONS {
                let made = [(&a, &plans[0]), (&b, &plans[1])]
                    .map(|(cudnn, plan)| choices(&gpu, cudnn, plan, direction));
                assert_eq!(
                    made[0].map(|choice| choice.numbers()),
                    made[1].map(|choice| choice.numbers()),
                    "{direction} of the {problem}"
                );
                // A direction that is tried out again keeps what it has.
                let again = choices(&gpu, &a, &plans[0], direction);
                assert_eq!(again.map(|choice| choice.numbers()), made[0].map(|choice| choice.numbers()));
            }
        }
    });
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
    });
}

//! The choice among the algorithms that cuDNN offers and some of which it then refuses: on the stand-ins alone, whose
//! algorithms are known.
//! In each direction it offers 0, 1 and 2, in this order; 0 needs no workspace and is not deterministic in gradients.

use crate::convolution::{DIRECTIONS, SQUARE, choices, open, operands, try_out};
use crate::standin::{Gpu, build, is_inner, passes_again};
use bcreid::Error;
use bcreid::device::cuda::cublas::Cublas;
use bcreid::device::cuda::cudnn::{Direction, Element, Problem};
use bcreid::device::cuda::libraries::probe;
use bcreid::element::GradMode::{Accumulate, Overwrite};

const BF16: Problem = Problem { element: Element::Bf16, ..SQUARE };
const TF32: Problem = Problem { tf32: true, ..SQUARE };
/// cuDNN's numbers of math types.
const DEFAULT: i32 = 0;
const TENSOR_OP: i32 = 1;
const FMA: i32 = 3;

/// Runs the test `name` again on the stand-ins with this variable set, and `body` there.
fn with(name: &str, variable: &'static str, value: &str, body: fn()) {
    if is_inner() {
        return body();
    }
    let mut environment: Vec<_> = build().environment().into();
    environment.push((variable, value.into()));
    passes_again(name, environment);
}

pub fn planted(name: &str, plant: &str, body: fn()) {
    with(name, "SOFTCUDA_PLANT", plant, body);
}

pub fn with_status(name: &str, status: &str, body: fn()) {
    with(name, "SOFTCUDA_STATUS", status, body);
}

/// The numbers of the algorithms that overwrite and that add, and of their math types, in each direction.
#[track_caller]
fn assert_chosen(problem: &Problem, expected: [[(i32, i32); 2]; 3]) {
    let gpu = Gpu::open();
    let cudnn = open(&gpu);
    let plan = cudnn.plan(problem).unwrap();
    for (direction, expected) in DIRECTIONS.into_iter().zip(expected) {
        let made = choices(&gpu, &cudnn, &plan, direction);
        assert_eq!(made.map(|choice| choice.numbers()), expected, "{direction} of the {problem}");
        for choice in made {
            let (result, workspace) = (gpu.upload(&[0.0f32; 1 << 11]), gpu.memory(choice.workspace()));
            // SAFETY: the arrays are at least as large as the problem's and are never freed.
            unsafe { cudnn.run(choice, operands(&gpu), result, workspace) }.unwrap();
        }
    }
}

#[test]
fn the_first_deterministic_one_is_taken() {
    planted("offers::the_first_deterministic_one_is_taken", "", || {
        assert_chosen(&SQUARE, [[(0, FMA); 2], [(1, FMA); 2], [(1, FMA); 2]]);
        assert_chosen(&TF32, [[(0, DEFAULT); 2], [(1, DEFAULT); 2], [(1, DEFAULT); 2]]);
        assert_chosen(&BF16, [[(0, TENSOR_OP); 2], [(1, TENSOR_OP); 2], [(1, TENSOR_OP); 2]]);
        let gpu = Gpu::open();
        let cudnn = open(&gpu);
        let plan = cudnn.plan(&SQUARE).unwrap();
        for (direction, needs) in DIRECTIONS.into_iter().zip([false, true, true]) {
            let [choice, _] = choices(&gpu, &cudnn, &plan, direction);
            assert_eq!(choice.workspace() > 0, needs, "{direction}");
        }
    });
}

#[test]
fn one_that_is_not_supported_is_passed_over() {
    planted("offers::one_that_is_not_supported_is_passed_over", "broken-promise", || {
        assert_chosen(&SQUARE, [[(1, FMA); 2], [(1, FMA); 2], [(1, FMA); 2]]);
    });
}

#[test]
fn one_that_fails_when_it_runs_is_passed_over() {
    planted("offers::one_that_fails_when_it_runs_is_passed_over", "failed-execution", || {
        assert_chosen(&SQUARE, [[(2, FMA); 2]; 3]);
    });
}

/// An algorithm that is refused only where it adds stays the choice for overwriting.
#[test]
fn one_that_only_overwrites_stays_for_that() {
    planted("offers::one_that_only_overwrites_stays_for_that", "refused-accumulate", || {
        let gradient = [(1, FMA), (2, FMA)];
        assert_chosen(&SQUARE, [[(0, FMA), (2, FMA)], gradient, gradient]);
    });
}

/// Each algorithm works with the math type of its offer alone. In f32 only FMA is f32.
#[test]
fn one_has_the_math_type_of_its_offer() {
    planted("offers::one_has_the_math_type_of_its_offer", "other-math", || {
        assert_chosen(&SQUARE, [[(2, FMA); 2]; 3]);
        let gradient = [(1, DEFAULT); 2];
        for problem in [TF32, BF16] {
            assert_chosen(&problem, [[(0, TENSOR_OP); 2], gradient, gradient]);
        }
    });
}

/// A number that no list has is passed over as well. If none is left, the error has the reason of each.
#[test]
fn none_that_runs_is_an_error_with_all_reasons() {
    let status = "cudnnConvolutionBackwardFilter=999999";
    with_status("offers::none_that_runs_is_an_error_with_all_reasons", status, || {
        let gpu = Gpu::open();
        let cudnn = open(&gpu);
        let plan = cudnn.plan(&SQUARE).unwrap();
        let direction = Direction::FilterGradient;
        try_out(&gpu, &cudnn, &plan, direction, operands(&gpu)).unwrap();
        for mode in [Overwrite, Accumulate] {
            let error = plan.choice(direction, mode).unwrap().unwrap_err().to_string();
            assert!(
                error.contains(
                    "no algorithm for the filters' gradient of the f32 convolution of [2, 6, 5, 8] by [16, 3, 3, 8]"
                ) && error.contains("offered 0: not deterministic, 1: CUDNN_UNKNOWN_STATUS (999999) in a dry run, 2:")
                    && error.contains("use another cuDNN 9, or the CPU"),
                "{error}"
            );
        }
        let [choice, _] = choices(&gpu, &cudnn, &plan, Direction::Forward);
        assert_eq!(choice.numbers(), (0, FMA), "the other directions have theirs");
    });
}

/// It is passed over by nothing: the next algorithm would hide an error of the program.
#[test]
fn a_wrong_parameter_is_an_error_at_once() {
    planted("offers::a_wrong_parameter_is_an_error_at_once", "", || {
        let gpu = Gpu::open();
        let cudnn = open(&gpu);
        let plan = cudnn.plan(&BF16).unwrap();
        let [a, b] = operands(&gpu);
        let error = try_out(&gpu, &cudnn, &plan, Direction::Forward, [a + 2, b]).unwrap_err().to_string();
        assert!(
            error.contains(
                "the forward pass of the bf16 convolution of [2, 6, 5, 8] by [16, 3, 3, 8], stride 1, pad 1 by \
                 algorithm 0 failed"
            ) && error.contains("CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER (2003)"),
            "{error}"
        );
        assert!(plan.choice(Direction::Forward, Overwrite).is_none(), "nothing is decided");
        let [choice, _] = choices(&gpu, &cudnn, &plan, Direction::Forward);
        // SAFETY: refused before anything is read.
        let error = unsafe { cudnn.run(choice, [a + 2, b], a, 0) }.unwrap_err().to_string();
        assert!(error.contains("by algorithm 0 failed") && error.contains("(2003)"), "{error}");
    });
}

/// Free memory changes from run to run, so it must not decide which algorithm is taken.
#[test]
fn no_memory_for_a_workspace_is_an_error() {
    planted("offers::no_memory_for_a_workspace_is_an_error", "", || {
        let gpu = Gpu::open();
        let cudnn = open(&gpu);
        let plan = cudnn.plan(&SQUARE).unwrap();
        let direction = Direction::InputGradient;
        let result = gpu.memory(plan.problem().result_bytes(direction));
        let full = |_| Err::<(u64, ()), _>(Error::Device("full".into()));
        // SAFETY: the arrays have the problem's sizes and are never freed.
        let error = unsafe { cudnn.try_out(&plan, direction, operands(&gpu), result, full) }.unwrap_err();
        assert!(error.to_string().contains("full"), "{error}");
        assert!(plan.choice(direction, Overwrite).is_none());
    });
}

/// A direction whose result is never added to needs no workspace for that.
#[test]
fn no_memory_to_add_is_an_error_only_where_it_adds() {
    planted("offers::no_memory_to_add_is_an_error_only_where_it_adds", "", || {
        let gpu = Gpu::open();
        let cudnn = open(&gpu);
        let plan = cudnn.plan(&SQUARE).unwrap();
        let direction = Direction::InputGradient;
        let result = gpu.memory(plan.problem().result_bytes(direction));
        let mut left = 1;
        let once = |bytes| {
            left -= 1;
            if left < 0 { Err(Error::Device("full".into())) } else { Ok((gpu.memory(bytes), ())) }
        };
        // SAFETY: the arrays have the problem's sizes and are never freed.
        unsafe { cudnn.try_out(&plan, direction, operands(&gpu), result, once) }.unwrap();
        plan.choice(direction, Overwrite).unwrap().unwrap();
        let error = plan.choice(direction, Accumulate).unwrap().unwrap_err().to_string();
        assert!(error.contains("the input's gradient") && error.contains("full"), "{error}");
    });
}

/// Nor may the memory that cuDNN takes for itself.
#[test]
fn no_memory_inside_of_cudnn_is_an_error() {
    let status = "cudnnConvolutionForward=4004";
    with_status("offers::no_memory_inside_of_cudnn_is_an_error", status, || {
        let gpu = Gpu::open();
        let cudnn = open(&gpu);
        let plan = cudnn.plan(&SQUARE).unwrap();
        let error = try_out(&gpu, &cudnn, &plan, Direction::Forward, operands(&gpu)).unwrap_err().to_string();
        assert!(error.contains("by algorithm 0 failed") && error.contains("(4004)"), "{error}");
        assert!(plan.choice(Direction::Forward, Overwrite).is_none(), "nothing is decided");
    });
}

#[test]
fn a_missing_workspace_is_named() {
    planted("offers::a_missing_workspace_is_named", "", || {
        let gpu = Gpu::open();
        let cudnn = open(&gpu);
        let plan = cudnn.plan(&SQUARE).unwrap();
        let [choice, _] = choices(&gpu, &cudnn, &plan, Direction::FilterGradient);
        let (at, need) = (gpu.memory(1 << 16), choice.workspace());
        // SAFETY: refused before anything is read.
        let error = unsafe { cudnn.run(choice, [at, at], at, 0) }.unwrap_err().to_string();
        assert!(
            error.contains(&format!("needs a workspace of {need} bytes"))
                && error.contains("filters' gradient"),
            "{error}"
        );
    });
}

/// Every engine for f32 that the library names wants them; the program pads images' 3.
#[test]
fn channels_in_fours_are_told() {
    planted("offers::channels_in_fours_are_told", "channels-in-fours", || {
        assert_chosen(&SQUARE, [[(0, FMA); 2], [(1, FMA); 2], [(1, FMA); 2]]);
        let gpu = Gpu::open();
        let cudnn = open(&gpu);
        let plan = cudnn.plan(&Problem { c: 3, ..SQUARE }).unwrap();
        try_out(&gpu, &cudnn, &plan, Direction::Forward, operands(&gpu)).unwrap();
        let error = plan.choice(Direction::Forward, Overwrite).unwrap().unwrap_err().to_string();
        assert!(
            error.contains("the query for algorithms failed: CUDNN_STATUS_NOT_SUPPORTED (3000)"),
            "{error}"
        );
    });
}

/// The address of cuBLAS's workspace, which the stand-in holds to multiples of 256.
#[test]
fn a_workspace_that_begins_anywhere_is_refused() {
    planted("offers::a_workspace_that_begins_anywhere_is_refused", "", || {
        let gpu = Gpu::open();
        let library = probe().cublas.as_ref().unwrap();
        // SAFETY: refused.
        let error = unsafe { Cublas::open(library, gpu.stream(), 257, 256) }.unwrap_err().to_string();
        let told = "cublasSetWorkspace of 256 bytes at 0x101 failed: CUBLAS_STATUS_INVALID_VALUE (7)";
        assert!(error.contains(told), "{error}");
    });
}

//! The modes of cuDNN's batch normalisation, and what a program does where one is refused: on the stand-ins alone.

use crate::batchnorm::{Layer, PROBLEM, assert_layer_is_right};
use crate::convolution::open;
use crate::offers::{planted, with_status};
use crate::standin::Gpu;
use bcreid::device::cuda::cudnn::Element;
use bcreid::device::cuda::cudnn::batchnorm::{BatchNormProblem, Pass};

/// What the plan says of its modes before any call, and after a layer.
fn modes(expected: [[bool; 2]; 2]) {
    let gpu = Gpu::open();
    let cudnn = open(&gpu);
    for element in [Element::F32, Element::Bf16] {
        let problem = BatchNormProblem { element, ..PROBLEM };
        let plan = cudnn.batchnorm_plan(&problem).unwrap();
        let is = || [Pass::Forward, Pass::Backward].map(|pass| plan.is_persistent(pass));
        assert_eq!(is(), expected[0], "{problem}, before");
        assert_layer_is_right(&gpu, &cudnn, problem);
        assert_eq!(is(), expected[1], "{problem}, after");
    }
}

#[test]
fn the_persistent_mode_is_taken() {
    planted("batchnorm_modes::the_persistent_mode_is_taken", "", || modes([[true; 2]; 2]));
}

#[test]
fn a_mode_that_is_not_offered_is_not_taken() {
    planted("batchnorm_modes::a_mode_that_is_not_offered_is_not_taken", "no-persistent", || {
        modes([[false; 2]; 2])
    });
}

/// The forward pass without a reserve space leaves the backward pass no choice, which the plan does not count.
#[test]
fn a_mode_that_is_refused_is_left() {
    planted("batchnorm_modes::a_mode_that_is_refused_is_left", "refused-persistent", || {
        modes([[true; 2], [false, true]]);
    });
}

/// The plain backward pass needs the saved statistics alone.
#[test]
fn a_backward_pass_may_leave_the_mode_alone() {
    let name = "batchnorm_modes::a_backward_pass_may_leave_the_mode_alone";
    planted(name, "refused-persistent-gradient", || modes([[true; 2], [true, false]]));
}

/// A wrong parameter in this mode alone, such as a type that the mode does not have.
#[test]
fn a_size_that_is_refused_leaves_the_mode() {
    let status = "cudnnGetBatchNormalizationBackwardExWorkspaceSize=2000";
    with_status("batchnorm_modes::a_size_that_is_refused_leaves_the_mode", status, || {
        modes([[true, false]; 2])
    });
}

/// A parameter that is wrong in both modes is an error, which names the pass.
#[test]
fn a_wrong_parameter_is_an_error() {
    let status = "cudnnBatchNormalizationForwardTrainingEx=2000";
    with_status("batchnorm_modes::a_wrong_parameter_is_an_error", status, || {
        let gpu = Gpu::open();
        let cudnn = open(&gpu);
        let error = Layer::new(&gpu, &cudnn, PROBLEM).forward(&cudnn).unwrap_err().to_string();
        assert!(error.contains("the forward pass of the f32 batch normalisation"), "{error}");
        assert!(error.contains("BAD_PARAM (2000)"), "{error}");
    });
}

/// Other answers than refusals are errors: the running statistics may have been moved already.
#[test]
fn an_error_does_not_change_the_mode() {
    let status = "cudnnBatchNormalizationForwardTrainingEx=5000@1";
    with_status("batchnorm_modes::an_error_does_not_change_the_mode", status, || {
        let gpu = Gpu::open();
        let cudnn = open(&gpu);
        let layer = Layer::new(&gpu, &cudnn, PROBLEM);
        let error = layer.forward(&cudnn).unwrap_err().to_string();
        assert!(
            error.contains("the forward pass of the f32 batch normalisation of [4, 6, 5, 16]"),
            "{error}"
        );
        assert!(
            error.contains("EXECUTION_FAILED (5000)") && layer.plan.is_persistent(Pass::Forward),
            "{error}"
        );
    });
}

/// The tests notice what the stand-in changes between a program and the library.
#[test]
fn planted_errors_are_noticed() {
    for plant in ["lost-parameter-sum", "swapped-running"] {
        let run = || planted("batchnorm::training_agrees_with_f64", plant, || {});
        assert!(std::panic::catch_unwind(run).is_err(), "{plant} is not noticed");
    }
}

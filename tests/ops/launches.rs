//! Tensors of unsupported element types: operations check shapes, and the launch checks types.

use crate::on;
use bcreid::autograd::{ParamSpecs, Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::element::DType;
use bcreid::ops::batchnorm::{BatchNorm, Epilogue, Statistics, batchnorm};
use bcreid::ops::{add::add, relu::relu};
use bcreid::tensor::Tensor;
use bcreid::{Error, Result};

/// That an error of the device names the kernel, what it was given, and what there is.
#[track_caller]
fn assert_refused<T>(result: Result<T>, kernel: &str, given: &str, variants: &[&str]) {
    let Err(error) = result else { panic!("{kernel} takes {given}") };
    let text = error.to_string();
    assert!(matches!(error, Error::Device(_)), "{error:?}");
    assert!(text.contains(&format!("kernel {kernel}: no variant takes {given};")), "{text}");
    assert!(variants.iter().all(|name| text.contains(name)) && !text.contains('\n'), "{text}");
}

fn tensor(device: &Device, dtype: DType) -> Tensor {
    Tensor::cleared(device, [2, 3], dtype).unwrap()
}

#[test]
fn a_wrong_element_type_is_a_clear_error() {
    on::cuda_in_each_precision(|device| {
        let mut specs = ParamSpecs::default();
        let [gamma, beta] = ["gamma", "beta"].map(|name| specs.add(name, [3]));
        let [mean, var] = ["mean", "var"].map(|name| specs.add_buffer(name, [3], 1.0));
        let mut params = Params::new(device, &specs).unwrap();
        let values = StepValues::new(device, 0).unwrap();
        let mut tape = Tape::new(&mut params, &values);

        let variants = ["relu_forward_f32", "relu_forward_bf16"];
        for dtype in [DType::I32, DType::U8] {
            let x = tape.leaf(tensor(device, dtype));
            assert_refused(relu(&mut tape, x), "relu_forward", &format!("x {dtype}, y {dtype}"), &variants);
        }
        let [a, b] = [0, 1].map(|_| tape.leaf(tensor(device, DType::I32)));
        let given = "a i32, b i32, y i32";
        assert_refused(add(&mut tape, a, b), "add_forward", given, &["add_forward_f32", "add_forward_bf16"]);

        // Scale and shift are f32 whatever the activations are.
        let x = tape.leaf(tensor(device, device.activations()));
        let narrow = Tensor::cleared(device, [3], DType::BF16).unwrap();
        let bn = BatchNorm { gamma: tape.leaf(narrow), beta: tape.param(beta), mean, var };
        let refused = batchnorm(&mut tape, x.clone(), bn, Statistics::Frozen, Epilogue::default());
        let own = device.activations();
        let given =
            format!("x {own}, mean f32, var f32, gamma bf16, beta f32, table f32, residual null, y {own}");
        assert_refused(
            refused,
            "batchnorm_frozen",
            &given,
            &["batchnorm_frozen_f32", "batchnorm_frozen_bf16"],
        );
        let bn = BatchNorm { gamma: tape.param(gamma), beta: tape.param(beta), mean, var };
        batchnorm(&mut tape, x, bn, Statistics::Frozen, Epilogue::default()).unwrap();

        // A gradient of another type than its value's.
        let other = if device.activations() == DType::F32 { DType::BF16 } else { DType::F32 };
        let x = tape.leaf(tensor(device, device.activations()));
        let y = relu(&mut tape, x).unwrap();
        let backward = tape.backward(vec![(y, tensor(device, other))]);
        let given = format!("y {}, dy {other}, dx {other}", device.activations());
        assert_refused(backward, "relu_backward", &given, &["relu_backward_f32", "relu_backward_bf16"]);
    });
}

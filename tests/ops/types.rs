//! Tensors of unsupported element types on the CPU: where a parameter or a feature must be f32, another type is an error
//! that names the operation and the input. (Launches check the types on a GPU: `launches`.)

use bcreid::Result;
use bcreid::autograd::{ParamSpecs, Params, StepValues, Tape, Var};
use bcreid::device::{Device, Precision};
use bcreid::element::{DType, Shape};
use bcreid::ops::batchnorm::{BatchNorm, Epilogue, Statistics, batchnorm};
use bcreid::ops::conv2d::{Conv, conv2d};
use bcreid::ops::instancenorm::instancenorm;
use bcreid::ops::linear::linear;
use bcreid::tensor::Tensor;

fn leaf(tape: &mut Tape<'_>, shape: impl Into<Shape>, dtype: DType) -> Var {
    let device = tape.device();
    tape.leaf(Tensor::cleared(&device, shape, dtype).unwrap())
}

#[track_caller]
fn assert_refused(result: Result<Var>, words: &str) {
    let Err(error) = result else { panic!("accepted: {words}") };
    assert!(error.to_string().starts_with(words), "{error}");
}

#[test]
fn parameters_and_features_of_another_type_are_an_error() {
    let device = Device::cpu_in(Precision::Bf16);
    let mut specs = ParamSpecs::default();
    let [mean, var] = ["mean", "var"].map(|name| specs.add_buffer(name, [3], 1.0));
    let mut params = Params::new(&device, &specs).unwrap();
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    let image = leaf(&mut tape, [1, 2, 2, 3], DType::BF16);
    let [exact, narrow] = [DType::F32, DType::BF16].map(|dtype| leaf(&mut tape, [3], dtype));

    let bn = |gamma: &Var, beta: &Var| BatchNorm { gamma: gamma.clone(), beta: beta.clone(), mean, var };
    let mut norm = |bn| batchnorm(&mut tape, image.clone(), bn, Statistics::Frozen, Epilogue::default());
    assert_refused(norm(bn(&narrow, &exact)), "batchnorm: gamma is bf16 [3], expected f32");
    assert_refused(norm(bn(&exact, &narrow)), "batchnorm: beta is bf16 [3], expected f32");
    norm(bn(&exact, &exact)).unwrap();
    let refused = instancenorm(&mut tape, image.clone(), exact.clone(), narrow.clone());
    assert_refused(refused, "instancenorm: beta is bf16 [3], expected f32");

    let conv = Conv { stride: 1, pad: 0 };
    let [exact_w, narrow_w] = [DType::F32, DType::BF16].map(|dtype| leaf(&mut tape, [3, 1, 1, 3], dtype));
    let refused = conv2d(&mut tape, image.clone(), exact_w, None, conv);
    assert_refused(refused, "conv2d: the input is bf16, the filters f32: give the input in");
    let refused = conv2d(&mut tape, image.clone(), narrow_w.clone(), Some(narrow.clone()), conv);
    assert_refused(refused, "conv2d: bias is bf16 [3], expected f32");
    conv2d(&mut tape, image, narrow_w, Some(exact.clone()), conv).unwrap();

    let [exact_x, narrow_x] = [DType::F32, DType::BF16].map(|dtype| leaf(&mut tape, [2, 3], dtype));
    let refused = linear(&mut tape, narrow_x.clone(), exact_x.clone(), None);
    assert_refused(refused, "linear: x is bf16 [2, 3], expected f32");
    assert_refused(linear(&mut tape, exact_x, narrow_x, None), "linear: w is bf16 [2, 3], expected f32");
}

/// TF32 is a format of products on CUDA.
#[test]
fn tf32_is_f32_on_the_cpu() {
    assert_eq!(Device::cpu_in(Precision::Tf32).precision(), Precision::F32);
    assert!(Device::choose("cpu", Precision::Tf32).is_err());
}

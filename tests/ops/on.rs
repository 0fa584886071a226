//! The devices an operation is tested on: one test body for the CPU and for a CUDA device, which is the stand-ins or,
//! with BCREID_TEST_GPU=1, the GPU of this machine.
//!
//! The body calls the operation as a network does, so that its own launches are under test. Values go to the device and
//! come back through [`tensor`] and [`host`]: on a device that computes in bf16 they are rounded on the way.

use bcreid::autograd::{Param, Tape, Var};
use bcreid::device::cuda::CudaDevice;
use bcreid::device::{BatchNormBackend, Device, Numerics, Precision};
use bcreid::element::{DType, Shape};
use bcreid::ops::add::add;
use bcreid::tensor::Tensor;
use half::bf16;

#[path = "../common/stand_ins.rs"]
mod stand_ins;

/// Runs `body`, a closure that is written in the test itself, on the CPU and on a CUDA device in f32.
#[track_caller]
pub fn each<F: Fn(&Device)>(body: F) {
    on(&[Precision::F32], body);
}

/// As [`each`], and on both in bf16 too.
#[track_caller]
pub fn each_precision<F: Fn(&Device)>(body: F) {
    on(&[Precision::F32, Precision::Bf16], body);
}

/// As [`each`], on the CUDA device alone: for a comparison with the CPU, and for what the CPU does not have.
#[track_caller]
pub fn cuda<F: Fn(&Device)>(body: F) {
    in_own_process(&[Precision::F32], body);
}

/// As [`cuda`], and on a CUDA device in bf16 too.
#[track_caller]
pub fn cuda_in_each_precision<F: Fn(&Device)>(body: F) {
    in_own_process(&[Precision::F32, Precision::Bf16], body);
}

/// As [`cuda_in_each_precision`], with batch normalisation by cuDNN.
#[track_caller]
pub fn cudnn_in_each_precision<F: Fn(&Device)>(body: F) {
    let by_cudnn = |precision| Numerics { precision, batchnorm: BatchNormBackend::Cudnn };
    in_own_process(&[Precision::F32, Precision::Bf16].map(by_cudnn), body);
}

#[track_caller]
fn on<F: Fn(&Device)>(precisions: &[Precision], body: F) {
    if !stand_ins::is_inner() {
        for &precision in precisions {
            println!("on the CPU in {precision}:");
            body(&Device::cpu_in(precision));
        }
    }
    in_own_process(precisions, body);
}

#[track_caller]
fn in_own_process<F: Fn(&Device)>(numerics: &[impl Into<Numerics> + Copy], body: F) {
    // The type of a closure is called after the function it stands in: "ops::relu::gradient::{{closure}}".
    let test =
        std::any::type_name::<F>().strip_prefix("ops::").and_then(|name| name.strip_suffix("::{{closure}}"));
    let test = test.expect("the body of a test is a closure in it");
    stand_ins::in_own_process(test, || {
        for &numerics in numerics {
            let numerics = numerics.into();
            println!("on a CUDA device in {numerics}:");
            body(&Device::Cuda(CudaDevice::open(0, numerics).unwrap()));
        }
    });
}

/// A tensor of activations: f32, or `values` rounded to bf16 where the device computes in it.
pub fn tensor(device: &Device, shape: impl Into<Shape>, values: &[f32]) -> Tensor {
    Tensor::activations(device, shape, values).unwrap()
}

/// The elements on the host, in f32.
pub fn host(tensor: &Tensor) -> Vec<f32> {
    tensor.to_host_f32().unwrap()
}

/// `values` as [`tensor`] leaves them.
pub fn rounded(device: &Device, values: &[f32]) -> Vec<f32> {
    match device.activations() {
        DType::BF16 => values.iter().map(|&value| bf16::from_f32(value).to_f32()).collect(),
        _ => values.to_vec(),
    }
}

/// Whether a parameter of this shape has a copy for matrix products on `device`.
pub fn has_copy(device: &Device, shape: &[usize]) -> bool {
    shape.len() == 4 && (device.activations() == DType::BF16 || is_cuda(device) && shape[3] == 3)
}

/// Overwrites the gradient of a parameter, in its type, with NaN in further channels; returns the rounded values.
pub fn set_gradient(device: &Device, param: &mut Param, values: &[f32]) -> Vec<f32> {
    let (c, wide) = (param.value.shape().last(), param.grad.shape().last());
    let padded = |pixel: &[f32]| [pixel, &vec![f32::NAN; wide - c]].concat();
    let padded: Vec<f32> = values.chunks(c).flat_map(padded).collect();
    if param.grad.dtype() == DType::F32 {
        param.grad.copy_from_host_f32(&padded).unwrap();
        return values.to_vec();
    }
    param.grad.convert_from(&Tensor::from_f32(device, [padded.len()], &padded).unwrap()).unwrap();
    rounded(device, values)
}

/// The gradient or the copy of a parameter of `channels`, without further channels.
pub fn without_padding(tensor: &Tensor, channels: usize) -> Vec<f32> {
    let wide = tensor.shape().last();
    host(tensor).chunks(wide).flat_map(|pixel| pixel[..channels].to_vec()).collect()
}

/// Checks that a parameter has a copy where it should, equal to the weights, and 0 in further channels.
pub fn check_copy(device: &Device, param: &Param, what: &str) {
    let shape = param.value.shape();
    assert_eq!(param.compute_copy.is_some(), has_copy(device, shape.dims()), "{what}");
    if let Some(copy) = &param.compute_copy {
        assert_eq!(without_padding(copy, shape.last()), rounded(device, &host(&param.value)), "{what}");
        let further = |pixel: &[f32]| pixel[shape.last()..].iter().all(|&value| value == 0.0);
        assert!(host(copy).chunks(copy.shape().last()).all(further), "{what}: further channels");
    }
}

/// Whether `device` is a CUDA device.
pub fn is_cuda(device: &Device) -> bool {
    matches!(device, Device::Cuda(_))
}

/// The same variable with other contents, to ask for its gradient later without holding the memory of its value, so
/// that an operation may work in place.
pub fn key(device: &Device, var: &Var) -> Var {
    let mut key = var.clone();
    key.value = Tensor::cleared(device, var.shape(), var.value.dtype()).unwrap();
    key
}

/// A seed for [`Tape::backward`] that puts `values` into the gradient of `var` before the operations recorded so far
/// add to it. `var` is a leaf or its [`key`].
pub fn earlier_gradient(tape: &mut Tape<'_>, var: &Var, values: &[f32]) -> (Var, Tensor) {
    let device = tape.device();
    let dtype = var.value.dtype();
    let zero = tape.constant(Tensor::cleared(&device, var.shape(), dtype).unwrap());
    let sum = add(tape, zero, var.clone()).unwrap();
    let seed = match dtype {
        DType::F32 => Tensor::from_f32(&device, var.shape(), values).unwrap(),
        _ => tensor(&device, var.shape(), values),
    };
    (sum, seed)
}

/// `old + new`, element by element.
pub fn sum(old: &[f32], new: &[f32]) -> Vec<f32> {
    old.iter().zip(new).map(|(old, new)| old + new).collect()
}

/// The tolerance of a comparison: `f32`, or two roundings to bf16. The transforms of Winograd's algorithms, which cuDNN
/// may take for f32, lose a digit.
pub fn tolerance(device: &Device, f32: f32) -> f32 {
    match device.activations() {
        DType::BF16 => f32.max(8e-3),
        _ if is_cuda(device) && stand_ins::on_gpu() => f32.max(2e-5),
        _ => f32,
    }
}

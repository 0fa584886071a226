//! The devices an operation is tested on: one test body for the CPU and for a CUDA device, which is the stand-ins or, with
//! BCREID_TEST_GPU=1, the GPU of this machine.
//!
//! The body calls the operation as a network does, so that its own launches are under test. Values go to the device and
//! come back through [`tensor`] and [`host`]: on a device that computes in bf16 they are rounded on the way.

use bcreid::device::cuda::CudaDevice;
use bcreid::device::{Device, Precision};
use bcreid::tensor::{DType, Shape, Tensor};
use half::bf16;

#[path = "../common/stand_ins.rs"]
mod stand_ins;

/// Runs `body`, a closure that is written in the test itself, on the CPU and on a CUDA device in f32.
#[track_caller]
pub fn each<F: Fn(&Device)>(body: F) {
    on(&[Precision::F32], body);
}

/// As [`each`], and on a CUDA device in bf16 too.
#[track_caller]
pub fn each_precision<F: Fn(&Device)>(body: F) {
    on(&[Precision::F32, Precision::Bf16], body);
}

#[track_caller]
fn on<F: Fn(&Device)>(precisions: &[Precision], body: F) {
    // The type of a closure is called after the function it stands in: "ops::relu::gradient::{{closure}}".
    let test =
        std::any::type_name::<F>().strip_prefix("ops::").and_then(|name| name.strip_suffix("::{{closure}}"));
    let test = test.expect("the body of a test is a closure in it");
    if !stand_ins::is_inner() {
        body(&Device::cpu());
    }
    stand_ins::in_own_process(test, || {
        for &precision in precisions {
            println!("on a CUDA device in {precision}:");
            body(&Device::Cuda(CudaDevice::open(0, precision).unwrap()));
        }
    });
}

/// A tensor of activations: f32, or `values` rounded to bf16 where the device computes in it.
pub fn tensor(device: &Device, shape: impl Into<Shape>, values: &[f32]) -> Tensor {
    let exact = Tensor::from_f32(device, shape, values).unwrap();
    if device.activations() == DType::F32 {
        return exact;
    }
    let mut rounded = Tensor::empty(device, exact.shape(), device.activations()).unwrap();
    rounded.convert_from(&exact).unwrap();
    rounded
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

/// The tolerance of a comparison: `f32`, or two roundings to bf16.
pub fn tolerance(device: &Device, f32: f32) -> f32 {
    if device.activations() == DType::BF16 { f32.max(8e-3) } else { f32 }
}

use crate::gpu::{self, Float, Gpu, Outcome, equal};
use crate::gradient_check::noise;
use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::ops::relu::relu;
use bcreid::tensor::Tensor;
use softcuda::{Launch, args};

/// y and dx of the CPU.
fn reference(x: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    let x = tape.leaf(Tensor::from_f32(&device, [x.len()], x).unwrap());
    let y = relu(&mut tape, x.clone()).unwrap();
    let out = y.value.to_host_f32().unwrap();
    let mut grads = tape.backward(vec![(y, Tensor::from_f32(&device, [dy.len()], dy).unwrap())]).unwrap();
    (out, grads.take(&x).unwrap().to_host_f32().unwrap())
}

fn check<F: Float>(gpu: &Gpu, x: &[f32], dy: &[f32], launch: Launch) -> Outcome {
    let n = x.len();
    let (forward, backward) = (format!("relu_forward_{}", F::NAME), format!("relu_backward_{}", F::NAME));
    let (want, gradient) = reference(&F::kept(x), &F::kept(dy));

    let (x, y) = (gpu.upload_as::<F>("x", x)?, gpu.unwritten::<F>("y", n)?);
    gpu.launch(&forward, launch, args![&x, &y, n as u64])?;
    equal("y", &gpu.read_f32(&y)?, &want)?;
    gpu.launch(&forward, launch, args![&x, &x, n as u64])?;
    equal("y in place of x", &gpu.read_f32(&x)?, &want)?;

    let (dy, dx) = (gpu.upload_as::<F>("dy", dy)?, gpu.unwritten::<F>("dx", n)?);
    gpu.launch(&backward, launch, args![&y, &dy, &dx, n as u64])?;
    equal("dx", &gpu.read_f32(&dx)?, &gradient)?;
    gpu.launch(&backward, launch, args![&y, &dy, &dy, n as u64])?;
    equal("dx in place of dy", &gpu.read_f32(&dy)?, &gradient)
}

fn every_case<F: Float>(gpu: &Gpu) -> Outcome {
    for n in [1, 3, 4, 7, 8, 9, 1023, 20_011] {
        for launch in [Launch::new(1, 32), Launch::new(3, 96), Launch::new(7, 256)] {
            check::<F>(gpu, &noise(1, n), &noise(2, n), launch)?;
        }
    }
    Ok(())
}

#[test]
fn f32() {
    gpu::run("relu", every_case::<f32>);
}

#[test]
fn bf16() {
    gpu::run("relu", every_case::<u16>);
}

/// NaN, both zeros, infinities and the smallest numbers, in packs and behind them.
#[test]
fn extremes() {
    gpu::run("relu", |gpu| {
        let extremes =
            [f32::NAN, 0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, 1e-40, -1e-40, f32::MAX, f32::MIN];
        let x: Vec<f32> = extremes.into_iter().cycle().take(37).collect();
        let nan_among: Vec<f32> =
            noise(3, 37).into_iter().map(|v| if v > 0.8 { f32::NAN } else { v }).collect();
        check::<f32>(gpu, &x, &nan_among, Launch::new(1, 32))?;
        check::<u16>(gpu, &x, &nan_among, Launch::new(1, 32))
    });
}

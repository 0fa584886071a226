use crate::gpu::{self, Float, Gpu, Outcome, equal};
use crate::gradient_check::noise;
use bcreid::device::Device;
use bcreid::ops::maxpool::MaxPool;
use softcuda::{Arg, Launch, args};

/// Forward and backward of `x` `[n, h, w, c]` against the CPU's, bit for bit: a maximum is no arithmetic, and the few
/// sums have the CPU's order.
fn check<F: Float>(gpu: &Gpu, [n, h, w, c]: [usize; 4], x: &[f32], window: MaxPool, block: u32) -> Outcome {
    let dy = |len| F::kept(&noise(11, len));
    let (sizes, y_want, dx_want) = super::step(&Device::cpu(), [n, h, w, c], &F::kept(x), &dy, window, None);
    let (oh, ow) = (sizes.dims()[1], sizes.dims()[2]);
    let MaxPool { kernel, stride, pad, .. } = window;
    let sizes = [h, w, c, oh, ow, kernel, stride, pad].map(|size| Arg::I32(size as i32));

    let x = gpu.upload_as::<F>("x", x)?;
    let y = gpu.unwritten::<F>("y", y_want.len())?;
    let places = gpu.unwritten::<u8>("places", y_want.len())?;
    let forward = |places: Arg| {
        let arguments = [args![&x, &y, places], sizes.as_slice()].concat();
        gpu.launch(&format!("maxpool_forward_{}", F::NAME), Launch::new((n * oh) as u32, block), &arguments)
    };
    forward((&places).into())?;
    equal("y", &gpu.read_f32(&y)?, &y_want)?;
    forward(Arg::Pointer(0))?;
    equal("y without places", &gpu.read_f32(&y)?, &y_want)?;

    let dy = gpu.upload_as::<F>("dy", &dy(y_want.len()))?;
    let backward = |dx: Arg, accumulate: i32| {
        let arguments = [args![&dy, &places, dx, accumulate], sizes.as_slice()].concat();
        gpu.launch(&format!("maxpool_backward_{}", F::NAME), Launch::new((n * h) as u32, block), &arguments)
    };
    let dx = gpu.unwritten::<F>("dx", dx_want.len())?;
    backward((&dx).into(), 0)?;
    equal("dx", &gpu.read_f32(&dx)?, &F::kept(&dx_want))?;

    let old = F::kept(&noise(12, dx_want.len()));
    let sum: Vec<f32> = old.iter().zip(&dx_want).map(|(old, dx)| old + dx).collect();
    let dx = gpu.upload_as::<F>("dx", &old)?;
    backward((&dx).into(), 1)?;
    equal("dx added to what was there", &gpu.read_f32(&dx)?, &F::kept(&sum))
}

fn every_case<F: Float>(gpu: &Gpu) -> Outcome {
    let window = |kernel, stride, pad, ceil| MaxPool { kernel, stride, pad, ceil };
    for (shape, window, block) in [
        // One channel at a time, packs in one type, packs in both.
        ([2, 9, 7, 3], MaxPool::TORCHVISION, 32),
        ([2, 8, 6, 4], MaxPool::CAFFE, 64),
        ([3, 7, 10, 24], MaxPool::TORCHVISION, 96),
        ([1, 16, 8, 64], MaxPool::TORCHVISION, 256),
        ([1, 16, 8, 64], MaxPool::CAFFE, 1024),
        // An image smaller than the window; a last window that only the rounding up makes; one that it does not.
        ([1, 1, 1, 5], MaxPool::TORCHVISION, 32),
        ([1, 4, 6, 8], MaxPool::CAFFE, 32),
        ([1, 5, 7, 8], window(2, 2, 1, true), 32),
        // Windows side by side, apart, one pixel, overlapping by much; the largest, with places up to 255.
        ([2, 7, 5, 7], window(2, 2, 0, false), 32),
        ([1, 11, 13, 2], window(2, 5, 0, false), 32),
        ([1, 3, 4, 8], window(1, 1, 0, false), 64),
        ([1, 9, 8, 16], window(5, 1, 2, false), 64),
        ([1, 17, 19, 3], window(16, 3, 8, true), 128),
        // Many images, many channels.
        ([1024, 3, 2, 1], MaxPool::TORCHVISION, 32),
        ([1, 3, 5, 4096], MaxPool::TORCHVISION, 512),
        ([1, 3, 4, 4095], MaxPool::CAFFE, 512),
    ] {
        let x = noise(shape[3] as u64, shape.iter().product());
        check::<F>(gpu, shape, &x, window, block)?;
    }
    Ok(())
}

#[test]
fn f32() {
    gpu::run("maxpool", every_case::<f32>);
}

#[test]
fn bf16() {
    gpu::run("maxpool", every_case::<u16>);
}

/// Few different values, so that most windows hold their maximum, a NaN or nothing but -inf more than once: which of
/// them gets the gradient is the CPU's choice.
fn ties_and_nans<F: Float>(gpu: &Gpu) -> Outcome {
    let shape = [2, 15, 11, 12];
    let values = [0.0, 1.0, f32::NEG_INFINITY, f32::INFINITY, f32::NAN, -1e30];
    for kinds in [1, 2, 3, 4, 5, 6] {
        let pick = |v: &f32| values[((v + 1.0) / 2.0 * kinds as f32) as usize];
        let x: Vec<f32> = noise(kinds, shape.iter().product()).iter().map(pick).collect();
        check::<F>(gpu, shape, &x, MaxPool::TORCHVISION, 64)?;
        check::<F>(gpu, shape, &x, MaxPool::CAFFE, 64)?;
    }
    let infinite = vec![f32::NEG_INFINITY; shape.iter().product()];
    check::<F>(gpu, shape, &infinite, MaxPool::TORCHVISION, 64)
}

#[test]
fn equal_maxima_and_nan() {
    gpu::run("maxpool", |gpu| {
        ties_and_nans::<f32>(gpu)?;
        ties_and_nans::<u16>(gpu)
    });
}

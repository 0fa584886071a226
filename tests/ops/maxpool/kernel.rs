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
    for (shape, window, block) in [
        // One channel at a time, packs in one type, packs in both.
        ([2, 9, 7, 3], MaxPool::TORCHVISION, 32),
        ([2, 8, 6, 4], MaxPool::CAFFE, 64),
        ([3, 7, 10, 24], MaxPool::TORCHVISION, 96),
        ([1, 16, 8, 64], MaxPool::TORCHVISION, 256),
        ([1, 16, 8, 64], MaxPool::CAFFE, 1024),
        // The largest window, many images, many channels.
        ([1, 17, 19, 3], MaxPool { kernel: 16, stride: 3, pad: 8, ceil: true }, 128),
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

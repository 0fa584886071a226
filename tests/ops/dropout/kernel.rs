use super::{Mask, both};
use crate::gpu::{self, Gpu, Outcome, equal};
use crate::gradient_check::noise;
use bcreid::device::Device;
use bcreid::tensor::philox::RngStream;
use softcuda::{Arg, Launch, args};

struct Case {
    d: usize,
    seed: u64,
    step: i32,
    stream: RngStream,
    ratio: f32,
}

impl Case {
    fn launch(&self, gpu: &Gpu, launch: Launch, [x, y]: [Arg; 2]) -> Outcome {
        let step = gpu.upload("step", &[self.step])?;
        let scale = 1.0 / (1.0 - self.ratio);
        let (d, stream) = (self.d as i32, self.stream as i32);
        gpu.launch("dropout_f32", launch, args![x, y, d, self.seed, &step, stream, self.ratio, scale])?;
        Ok(())
    }

    /// One multiplication and one rounding an element: the bits of the CPU.
    fn check(&self, gpu: &Gpu, x: &[f32], launch: Launch) -> Outcome {
        // y and dx of the same values: the derivative is the mask.
        let mask = Mask(self.seed, self.step as u64, self.stream, self.ratio);
        let [want, gradient] = both(&Device::cpu(), mask, x, x, self.d, None);
        equal("the CPU's dx", &gradient, &want)?;
        let (x, y) = (gpu.upload("x", x)?, gpu.unwritten::<f32>("y", x.len())?);
        self.launch(gpu, launch, [(&x).into(), (&y).into()])?;
        equal("dropout", &gpu.read(&y)?, &want)?;
        self.launch(gpu, launch, [(&x).into(), (&x).into()])?;
        equal("y in place of x", &gpu.read(&x)?, &want)
    }
}

fn every_case(gpu: &Gpu) -> Outcome {
    for (m, d, grid, block) in [
        (1, 1, 1, 32),
        (5, 2, 1, 64),
        (3, 3, 2, 32),
        (7, 4, 1, 32),
        (4, 37, 1, 32),
        (16, 751, 1, 128),
        (2, 4095, 3, 96),
        (2, 4096, 4, 256),
        (3, 2048, 1, 1024),
        (1024, 6, 1, 32),
    ] {
        for (step, stream, ratio) in [
            (0, RngStream::Dropout, 0.5),
            (70_001, RngStream::Verification, 0.9),
            (i32::MAX, RngStream::Dropout, 0.0),
        ] {
            let case = Case { d, seed: 0x0123_4567_89AB_CDEF + d as u64, step, stream, ratio };
            case.check(gpu, &noise(1, m * d), Launch::new((m as u32, grid), block))?;
        }
    }
    Ok(())
}

#[test]
fn f32() {
    gpu::run("dropout", every_case);
}

#[test]
fn a_dropped_infinity_is_zero_and_nan_stays() {
    gpu::run("dropout", |gpu| {
        for d in [64, 63] {
            let case = Case { d, seed: 1, step: 0, stream: RngStream::Dropout, ratio: 0.5 };
            let extremes = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, 1e-40, 0.0];
            let x: Vec<f32> = extremes.into_iter().cycle().take(3 * d).collect();
            case.check(gpu, &x, Launch::new(3, 32))?;
        }
        Ok(())
    });
}

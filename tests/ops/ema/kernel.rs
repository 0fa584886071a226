use crate::gpu::{self, Gpu, Outcome, close};
use crate::gradient_check::noise;
use softcuda::{Launch, args};

fn every_case(gpu: &Gpu) -> Outcome {
    for n in [1, 3, 4, 7, 1023, 20_011] {
        for launch in [Launch::new(1, 32), Launch::new(3, 96), Launch::new(7, 256)] {
            let (average, weights) = (noise(1, n), noise(2, n));
            let (a, w) = (gpu.upload("average", &average)?, gpu.upload("weights", &weights)?);
            gpu.launch("ema_f32", launch, args![&a, &w, 0.125f32, n as u64])?;
            let moved = |(a, w): (&f32, &f32)| f64::from(*a) + 0.125 * (f64::from(*w) - f64::from(*a));
            let expected: Vec<f64> = average.iter().zip(&weights).map(moved).collect();
            close("average", &gpu.read(&a)?, &expected, 1e-6, 1.0)?;
        }
    }
    Ok(())
}

#[test]
fn f32() {
    gpu::run("ema", every_case);
}

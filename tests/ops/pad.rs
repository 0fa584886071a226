//! Padded and cropped channels are part of `conv2d`, which is tested with them: the kernels of `cuda/pad.cu` by
//! themselves, bit for bit.

use crate::gpu::{self, Buffer, Float, Gpu, Outcome, equal};
use crate::gradient_check::noise;
use half::bf16;
use softcuda::{Launch, args};

/// Row by row, `narrow` channels on one side and `wide` on the other.
#[derive(Clone, Copy, Debug)]
struct Case {
    rows: usize,
    narrow: usize,
    wide: usize,
    launch: Launch,
}

impl Case {
    fn pad<T: Float>(&self, gpu: &Gpu, x: &[f32]) -> Outcome {
        let Case { rows, narrow, wide, launch } = *self;
        let mut want = vec![0.0; rows * wide];
        for (to, from) in want.chunks_mut(wide).zip(T::kept(x).chunks(narrow)) {
            to[..narrow].copy_from_slice(from);
        }
        let (x, y) = (gpu.upload_as::<T>("x", x)?, gpu.unwritten::<T>("y", want.len())?);
        let arguments = args![&x, &y, rows as u64, narrow as i32, wide as i32];
        gpu.launch(&format!("pad_channels_{}", T::NAME), launch, arguments)?;
        equal("padded", &gpu.read_f32(&y)?, &T::kept(&want))
    }

    fn crop<T: Float>(&self, gpu: &Gpu, x: &[f32]) -> Outcome {
        let Case { rows, narrow, wide, launch } = *self;
        let kept = T::kept(x);
        let want: Vec<f32> = kept.chunks(wide).flat_map(|row| &row[..narrow]).copied().collect();
        let x = gpu.upload_as::<T>("x", x)?;
        let launch = |accumulate: i32, y: &Buffer<T>| {
            let arguments = args![&x, y, accumulate, rows as u64, wide as i32, narrow as i32];
            gpu.launch(&format!("crop_channels_{}", T::NAME), launch, arguments)
        };
        let y = gpu.unwritten::<T>("y", want.len())?;
        launch(0, &y)?;
        equal("cropped", &gpu.read_f32(&y)?, &want)?;

        let old = T::kept(&noise(5, want.len()));
        let sum: Vec<f32> = old.iter().zip(&want).map(|(old, x)| old + x).collect();
        let y = gpu.upload_as::<T>("y", &old)?;
        launch(1, &y)?;
        equal("cropped and added", &gpu.read_f32(&y)?, &T::kept(&sum))
    }
}

fn every_case<T: Float>(gpu: &Gpu) -> Outcome {
    for (rows, narrow, wide) in [
        // One of everything; an image's channels; nothing to pad; a multiple of nothing.
        (1, 1, 1),
        (1, 3, 8),
        (1001, 3, 8),
        (7, 5, 5),
        (9, 16, 16),
        (37, 3, 13),
        (211, 1, 3),
        (11, 751, 752),
        (5, 9, 64),
    ] {
        for launch in [Launch::new(1, 32), Launch::new(3, 96), Launch::new(2, 1024)] {
            let case = Case { rows, narrow, wide, launch };
            let both = || -> Outcome {
                case.pad::<T>(gpu, &noise(1, rows * narrow))?;
                case.crop::<T>(gpu, &noise(2, rows * wide))
            };
            both().map_err(|error| format!("{case:?}: {error}"))?;
        }
    }
    Ok(())
}

#[test]
fn f32() {
    gpu::run("pad", every_case::<f32>);
}

#[test]
fn bf16() {
    gpu::run("pad", every_case::<u16>);
}

/// What overflows bf16, ties, subnormal numbers, infinities and NaN: each stays in its channel, and the rest is 0.
#[test]
fn extremes() {
    gpu::run("pad", |gpu| {
        let (inf, tie) = (f32::INFINITY, 1.0 + f32::EPSILON * (1 << 15) as f32);
        let x = [f32::MAX, -inf, f32::NAN, 1e-40, tie, -0.0, bf16::MAX.to_f32(), inf, f32::MIN_POSITIVE];
        let case = Case { rows: 3, narrow: 3, wide: 8, launch: Launch::new(1, 32) };
        case.pad::<u16>(gpu, &x)?;
        case.pad::<f32>(gpu, &x)?;
        let case = Case { rows: 3, narrow: 2, wide: 3, ..case };
        case.crop::<u16>(gpu, &x)?;
        case.crop::<f32>(gpu, &x)
    });
}

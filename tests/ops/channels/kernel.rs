use crate::gpu::{self, Float, Gpu, Outcome, equal};
use crate::gradient_check::noise;
use softcuda::{Launch, args};

/// `width` channels from channel `from_first` of `from_c` to channel `to_first` of `to_c`.
#[derive(Clone, Copy, Debug)]
struct Case {
    rows: usize,
    width: usize,
    from_c: usize,
    from_first: usize,
    to_c: usize,
    to_first: usize,
}

impl Case {
    fn run<F: Float>(&self, gpu: &Gpu, launch: Launch) -> Outcome {
        let Case { rows, width, from_c, from_first, to_c, to_first } = *self;
        let from = F::kept(&noise(1, rows * from_c));
        let old = F::kept(&noise(2, rows * to_c));
        let from_buffer = gpu.upload_as::<F>("from", &from)?;
        let sizes = [width, from_c, from_first, to_c, to_first].map(|size| size as i32);
        let [width_, from_c_, from_first_, to_c_, to_first_] = sizes;
        for accumulate in [0, 1] {
            let mut want = old.clone();
            for (to, from) in want.chunks_mut(to_c).zip(from.chunks(from_c)) {
                for (to, from) in to[to_first..][..width].iter_mut().zip(&from[from_first..]) {
                    *to = if accumulate == 1 { *to + from } else { *from };
                }
            }
            let to = gpu.upload_as::<F>("to", &old)?;
            let arguments = args![
                &from_buffer,
                &to,
                accumulate,
                rows as u64,
                width_,
                from_c_,
                from_first_,
                to_c_,
                to_first_
            ];
            gpu.launch(&format!("channels_copy_{}", F::NAME), launch, arguments)?;
            equal("copied", &gpu.read_f32(&to)?, &F::kept(&want))?;
        }
        // All channels of `from`.
        if from_c == width {
            let mut want = vec![0.0; rows * to_c];
            for (to, from) in want.chunks_mut(to_c).zip(from.chunks(from_c)) {
                to[to_first..][..width].copy_from_slice(from);
            }
            let to = gpu.unwritten::<F>("to", rows * to_c)?;
            let arguments = args![&from_buffer, &to, rows as u64, width_, to_c_, to_first_];
            gpu.launch(&format!("channels_spread_{}", F::NAME), launch, arguments)?;
            equal("spread", &gpu.read_f32(&to)?, &F::kept(&want))?;
        }
        Ok(())
    }
}

pub fn every_case<F: Float>(gpu: &Gpu) -> Outcome {
    for (rows, [width, from_c, from_first, to_c, to_first]) in [
        (1, [1, 1, 0, 1, 0]),
        // Halves of packs of both types, of one, and of neither.
        (33, [32, 64, 32, 32, 0]),
        (33, [32, 32, 0, 64, 32]),
        (9, [4, 4, 0, 12, 4]),
        (70, [5, 5, 0, 13, 7]),
        (70, [5, 13, 7, 5, 0]),
        (5, [16, 40, 8, 24, 8]),
    ] {
        for launch in [Launch::new(1, 32), Launch::new(3, 96), Launch::new(2, 1024)] {
            let case = Case { rows, width, from_c, from_first, to_c, to_first };
            case.run::<F>(gpu, launch).map_err(|error| format!("{case:?}: {error}"))?;
        }
    }
    Ok(())
}

#[test]
fn f32() {
    gpu::run("channels", every_case::<f32>);
}

#[test]
fn bf16() {
    gpu::run("channels", every_case::<u16>);
}

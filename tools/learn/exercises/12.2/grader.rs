//! The largest value of a block: sizes, numbers of warps and orders of threads.

use crate::checks::{Checks, Finding, Numbers, that};
use crate::gpu::{self, SEEDS};
use softcuda::{Device, FaultKind, Launch, args};
use std::path::Path;

const KERNEL: &str = "block_max";

pub fn grade(checks: &mut Checks, answer: &Path) {
    checks.check("the kernel exists", || gpu::has_kernels(&gpu::open(answer)?.0, &[KERNEL]));
    for n in [1, 31, 32, 33, 1000, 5000] {
        checks.check(&format!("n = {n}"), || {
            let (_, device) = gpu::open(answer)?;
            for warps in [1, 2, 7, 32] {
                run(&device, n, warps)?;
            }
            Ok(())
        });
    }
}

fn run(device: &Device, n: usize, warps: u32) -> Finding {
    let mut numbers = Numbers::new(n as u64 + u64::from(warps));
    // All negative, some NaN, and the largest one anywhere.
    let mut host: Vec<f32> = numbers.many_f32(n).iter().map(|x| x - 2.0).collect();
    let at = numbers.below(n);
    for _ in 0..n / 10 {
        host[numbers.below(n)] = f32::NAN;
    }
    host[at] = -0.25;
    // The result of a kernel that gives each thread one element.
    let first = host.iter().take(32 * warps as usize).copied().fold(f32::NEG_INFINITY, f32::max);
    for seed in SEEDS {
        let x = device.upload("x", &host).map_err(gpu::told)?;
        let y = device.unwritten::<f32>("y", 1).map_err(gpu::told)?;
        let launch = Launch::new(1, 32 * warps).seed(seed);
        let report = device.launch(KERNEL, &launch, args![&x, &y, n as i32]).map_err(|fault| {
            let fault_of = |why: &str| format!("{why}; the simulated GPU says: {fault}");
            match fault.kind {
                FaultKind::Race => fault_of(
                    "a warp reads shared memory before the others have written: a barrier is \
                                             missing",
                ),
                FaultKind::Unwritten => fault_of(
                    "shared memory is read where no warp has written: a barrier is missing, or the block \
                              has fewer warps",
                ),
                _ => gpu::told(fault),
            }
        })?;
        let largest = y.read().map_err(gpu::told)?[0];
        that(largest == -0.25, || {
            let why = match () {
                () if largest.is_nan() => "NaN is ignored",
                () if largest >= 0.0 => "all values are negative here: begin with minus infinity",
                () if largest == first => "there are more elements than threads: each thread takes several",
                () => "is each element read, and does a comparison with NaN keep the largest value so far?",
            };
            format!("warps = {warps}: the largest value is {largest} instead of -0.25: {why}")
        })?;
        that(report.barriers > 0 || warps == 1, || {
            format!(
                "{warps} warps pass no barrier, so one warp does all the work: each thread takes its own elements"
            )
        })?;
    }
    Ok(())
}

//! Three kernels with as few barriers as possible.

use crate::checks::{Checks, Finding, Numbers, close, that};
use crate::gpu;
use softcuda::{FaultKind, Launch, args};
use std::path::Path;

const THREADS: usize = 128;

/// The result of a kernel for the element t of x.
type Want = fn(&[f64], usize) -> f64;

/// Kernel, result, and the least number of barriers.
const KERNELS: [(&str, Want, u64); 3] = [
    ("reverse", |x, t| x[THREADS - 1 - t], 1),
    ("smooth", |x, t| (x[t] + 2.0 * x[(t + 1) % THREADS] + x[(t + 2) % THREADS]) / 4.0, 3),
    ("mixed", |x, t| x[t] + x[t / 32 * 32] + x[(t + 64) % THREADS], 1),
];

pub fn grade(checks: &mut Checks, answer: &Path) {
    checks.check("the kernels exist", || {
        gpu::has_kernels(&gpu::open(answer)?.0, &KERNELS.map(|(kernel, ..)| kernel))
    });
    for (kernel, want, least) in KERNELS {
        checks.check(kernel, || run(answer, kernel, want, least));
    }
}

fn run(answer: &Path, kernel: &str, want: Want, least: u64) -> Finding {
    let (_, device) = gpu::open(answer)?;
    for seed in 1..=8 {
        let host = Numbers::new(seed).many_f32(THREADS);
        let x = device.upload("x", &host).map_err(gpu::told)?;
        let y = device.unwritten::<f32>("y", THREADS).map_err(gpu::told)?;
        let launch = Launch::new(1, THREADS as u32).seed(seed);
        let report = device.launch(kernel, &launch, args![&x, &y]).map_err(|fault| match fault.kind {
            FaultKind::Race | FaultKind::Unwritten => {
                format!("{kernel}: a barrier that is needed is gone; the simulated GPU says: {fault}")
            }
            FaultKind::Barrier => format!("{kernel}: a barrier in a branch; the simulated GPU says: {fault}"),
            _ => gpu::told(fault),
        })?;
        let values: Vec<f64> = host.iter().map(|x| f64::from(*x)).collect();
        let all: Vec<f64> = (0..THREADS).map(|t| want(&values, t)).collect();
        close("y", &y.read().map_err(gpu::told)?, &all, 1e-6)?;
        that(report.barriers <= least, || {
            format!(
                "{kernel} passes {} barriers, {least} {} enough: one between a write and a read of another thread, or \
                 between a read and the next write",
                report.barriers,
                if least == 1 { "is" } else { "are" }
            )
        })?;
    }
    Ok(())
}

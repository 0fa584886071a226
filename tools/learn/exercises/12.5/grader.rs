//! Two sums of a block: results, bytes read and barriers.

use crate::checks::{Checks, Finding, Numbers, close, that};
use crate::gpu::{self, SEEDS};
use softcuda::{Device, Launch, args};
use std::path::Path;

const KERNEL: &str = "moments";

pub fn grade(checks: &mut Checks, answer: &Path) {
    checks.check("the kernel exists", || gpu::has_kernels(&gpu::open(answer)?.0, &[KERNEL]));
    for n in [1, 33, 1000, 4099] {
        checks.check(&format!("n = {n}"), || {
            let (_, device) = gpu::open(answer)?;
            [1, 3, 32].into_iter().try_for_each(|warps| run(&device, n, warps))
        });
    }
}

fn run(device: &Device, n: usize, warps: u32) -> Finding {
    let host = Numbers::new(n as u64).many_f32(n);
    let sum: f64 = host.iter().map(|x| f64::from(*x)).sum();
    let squares: f64 = host.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    let mut bits = Vec::new();
    for seed in SEEDS {
        let x = device.upload("x", &host).map_err(gpu::told)?;
        let sums = device.unwritten::<f32>("sums", 2).map_err(gpu::told)?;
        let launch = Launch::new(1, 32 * warps).seed(seed);
        let report = device.launch(KERNEL, &launch, args![&x, &sums, n as i32]).map_err(gpu::told)?;
        let got = sums.read().map_err(gpu::told)?;
        close("sums", &got, &[sum, squares], 1e-4).map_err(|found| {
            match close("sums", &got[..1], &[squares], 1e-4) {
                Ok(()) => format!("{found}: that is the sum of squares; do both sums share one array?"),
                Err(_) => found,
            }
        })?;
        bits.push([got[0].to_bits(), got[1].to_bits()]);
        that(report.global_bytes_read <= 4 * n as u64, || {
            format!(
                "{} bytes are read for {n} elements, {} are enough: read an element once, and use it for both sums",
                report.global_bytes_read,
                4 * n
            )
        })?;
        that(report.barriers <= 1, || {
            format!(
                "{} barriers are passed, 1 is enough: write both sums of the warps before it, to two places",
                report.barriers
            )
        })?;
    }
    that(bits.iter().all(|other| *other == bits[0]), || {
        format!("the bits of the sums of {n} elements depend on the order of the threads")
    })
}

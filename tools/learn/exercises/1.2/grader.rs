//! A leaky ReLU in CUDA: several sizes and orders of threads, with more threads than elements.

use crate::checks::{Checks, Finding, Numbers, close};
use crate::gpu::{self, SEEDS};
use softcuda::{Device, FaultKind, Launch, args};
use std::path::Path;

const KERNEL: &str = "leaky_relu_forward_f32";
const BLOCK: u32 = 32;

pub fn grade(checks: &mut Checks, answer: &Path) {
    checks.check("the kernel exists", || gpu::has_kernels(&gpu::open(answer)?.0, &[KERNEL]));
    for n in [1, 31, 32, 33, 1000] {
        checks.check(&format!("n = {n}"), || {
            let (_, device) = gpu::open(answer)?;
            SEEDS.into_iter().try_for_each(|seed| run(&device, n, seed))
        });
    }
}

fn run(device: &Device, n: usize, seed: u64) -> Finding {
    let mut host = Numbers::new(n as u64 + seed).many_f32(n);
    host[0] = -0.5;
    let x = device.upload("x", &host).map_err(gpu::told)?;
    let y = device.unwritten::<f32>("y", n).map_err(gpu::told)?;
    let launch = Launch::new(n as u32 / BLOCK + 2, BLOCK).seed(seed);
    device.launch(KERNEL, &launch, args![&x, &y, n as u64]).map_err(|fault| match fault.kind {
        FaultKind::OutOfBounds => format!(
            "there are more threads than elements: compare the number of the element with n; the simulated GPU says: \
             {fault}"
        ),
        FaultKind::Race => format!(
            "two threads of different blocks take the same element: the number needs blockIdx.x and blockDim.x; the \
             simulated \
             GPU says: {fault}"
        ),
        _ => gpu::told(fault),
    })?;
    let y = y.read().map_err(gpu::told)?;
    let want: Vec<f64> = host.iter().map(|x| f64::from(if *x >= 0.0 { *x } else { 0.1 * x })).collect();
    close("y", &y, &want, 1e-6)
}

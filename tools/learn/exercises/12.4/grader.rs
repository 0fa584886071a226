//! A histogram without a race.

use crate::checks::{Checks, Finding, Numbers, that};
use crate::gpu::{self, SEEDS};
use softcuda::{FaultKind, Launch, args};
use std::path::Path;

const KERNEL: &str = "histogram";

pub fn grade(checks: &mut Checks, answer: &Path) {
    checks.check("the kernel exists", || gpu::has_kernels(&gpu::open(answer)?.0, &[KERNEL]));
    for n in [1, 100, 10_000] {
        checks.check(&format!("n = {n}"), || SEEDS.into_iter().try_for_each(|seed| run(answer, n, seed)));
    }
}

fn run(answer: &Path, n: usize, seed: u64) -> Finding {
    let (_, device) = gpu::open(answer)?;
    let mut numbers = Numbers::new(seed);
    // Uneven counts.
    let host: Vec<i32> = (0..n).map(|_| (numbers.below(10) * (1 + numbers.below(10)) / 10) as i32).collect();
    let mut want = [0; 10];
    host.iter().for_each(|value| want[*value as usize] += 1);
    let values = device.upload("values", &host).map_err(gpu::told)?;
    let counts = device.upload("counts", &[0i32; 10]).map_err(gpu::told)?;
    let launch = Launch::new(n as u32 / 128 + 2, 128).seed(seed);
    device.launch(KERNEL, &launch, args![&values, &counts, n as i32]).map_err(|fault| {
        let message = fault.to_string();
        match fault.kind {
            FaultKind::Race if message.contains("two blocks") => format!(
                "Race: a barrier orders the threads of one block, and here all blocks write to `counts`; the \
                 simulated GPU says: {message}"
            ),
            FaultKind::Race => format!(
                "Race: two threads read the same count, and both write it plus 1; the simulated GPU says: {message}"
            ),
            _ => gpu::told(fault),
        }
    })?;
    let got = counts.read().map_err(gpu::told)?;
    that(got == want, || {
        format!(
            "the counts of {n} values are {got:?} instead of {want:?}: are all elements of all blocks counted, each \
             once?"
        )
    })
}

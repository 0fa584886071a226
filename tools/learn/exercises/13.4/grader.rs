//! L2 normalisation that reads a row once: results, bytes and faults.

use crate::checks::{Checks, Finding, Numbers, close, that};
use crate::gpu::{self, SEEDS};
use softcuda::{Device, Fault, FaultKind, Launch, args};
use std::path::Path;

const KERNEL: &str = "l2_normalize_once";
const BLOCK: u32 = 256;
const EPSILON: f64 = 1e-12;

pub fn grade(checks: &mut Checks, answer: &Path) {
    checks.check("the kernel exists", || gpu::has_kernels(&gpu::open(answer)?.0, &[KERNEL]));
    for (m, n) in [(1, 1), (4, 33), (3, 257), (2, 1000), (2, 2047), (2, 2048)] {
        checks.check(&format!("{m} rows of {n} features"), || {
            let (_, device) = gpu::open(answer)?;
            SEEDS.into_iter().try_for_each(|seed| run(&device, m, n, seed))
        });
    }
    checks.check("a row of zeros", || {
        let (_, device) = gpu::open(answer)?;
        one(&device, &[vec![0.0; 40], vec![2.0; 40]].concat(), 40, 1)
    });
}

fn run(device: &Device, m: usize, n: usize, seed: u64) -> Finding {
    one(device, &Numbers::new((m * 10_000 + n) as u64).many_f32(m * n), n, seed)
}

fn one(device: &Device, host: &[f32], n: usize, seed: u64) -> Finding {
    let m = host.len() / n;
    let x = device.upload("x", host).map_err(gpu::told)?;
    let y = device.unwritten::<f32>("y", m * n).map_err(gpu::told)?;
    let norms = device.unwritten::<f32>("norms", m).map_err(gpu::told)?;
    let launch = Launch::new(m as u32, BLOCK).seed(seed);
    let report = device.launch(KERNEL, &launch, args![&x, &y, &norms, n as i32]).map_err(told)?;

    let rows: Vec<Vec<f64>> = host.chunks(n).map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect();
    let lengths: Vec<f64> = rows.iter().map(|row| row.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
    let divided = rows.iter().zip(&lengths);
    let want: Vec<f64> = divided
        .flat_map(|(row, norm)| row.iter().map(|x| x / norm.max(EPSILON)).collect::<Vec<_>>())
        .collect();
    let (y, norms) = (y.read().map_err(told)?, norms.read().map_err(told)?);
    close("norms", &norms, &lengths, 1e-5)?;
    close("y", &y, &want, 1e-5)?;

    let once = 4 * (m * n) as u64;
    that(report.global_bytes_read <= once, || {
        format!(
            "{} bytes are read, the {m} rows of {n} features have {once}: keep what the first loop reads",
            report.global_bytes_read
        )
    })?;
    let written = once + 4 * m as u64;
    that(report.global_bytes_written <= written, || {
        format!("{} bytes are written, y and norms have {written}", report.global_bytes_written)
    })
}

fn told(fault: Fault) -> String {
    match fault.kind {
        FaultKind::Race => format!(
            "a thread reads what another one has written, or writes what another one has to read, and no barrier lies \
             between; the simulated GPU says: {fault}"
        ),
        FaultKind::Unwritten => format!(
            "an element is left out: 256 threads share up to 2,048 features, eight each; the simulated GPU says: \
             {fault}"
        ),
        _ => gpu::told(fault),
    }
}

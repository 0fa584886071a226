//! Version 2 of the softmax cross entropy: results, faults, and the counts of the lab's version 2.

use crate::checks::{Checks, Finding, Numbers, close, that};
use crate::gpu::{self, SEEDS};
use softcuda::{Device, Fault, FaultKind, Launch, Report, args};
use std::path::Path;

const KERNEL: &str = "softmax_tree";
const LAB: &str = "cuda/lab/softmax_cross_entropy.cu";

/// Rows, columns and threads of a block.
const SIZES: [(usize, usize, u32); 5] = [(1, 1, 32), (3, 5, 64), (2, 751, 256), (6, 33, 32), (2, 1025, 1024)];

/// The logits lie between -MOST and MOST: expf of a large one is infinite.
const MOST: f32 = 120.0;

struct Problem {
    m: usize,
    n: usize,
    logits: Vec<f32>,
    labels: Vec<i32>,
}

impl Problem {
    fn new(m: usize, n: usize) -> Self {
        let mut numbers = Numbers::new((1000 * m + n) as u64);
        let logits = numbers.many_f32(m * n).iter().map(|z| MOST * z).collect();
        Problem { m, n, logits, labels: (0..m).map(|_| numbers.below(n) as i32).collect() }
    }

    /// Losses and partition in f64.
    fn results(&self) -> [Vec<f64>; 2] {
        let mut results = [Vec::new(), Vec::new()];
        for (row, label) in self.logits.chunks(self.n).zip(&self.labels) {
            let row: Vec<f64> = row.iter().map(|z| f64::from(*z)).collect();
            let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_sum = row.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
            results[0].push(log_sum - (row[*label as usize] - max));
            results[1].extend([max, log_sum]);
        }
        results
    }

    /// Runs a kernel; `takes_m` says whether m is one of its arguments.
    fn run(
        &self,
        device: &Device,
        kernel: &str,
        launch: &Launch,
        takes_m: bool,
    ) -> Result<(Report, [Vec<f32>; 2]), Fault> {
        let logits = device.upload("logits", &self.logits)?;
        let labels = device.upload("labels", &self.labels)?;
        let losses = device.unwritten::<f32>("losses", self.m)?;
        let partition = device.unwritten::<f32>("partition", 2 * self.m)?;
        let mut arguments = args![&logits, &labels, &losses, &partition].to_vec();
        if takes_m {
            arguments.push((self.m as i32).into());
        }
        arguments.push((self.n as i32).into());
        let report = device.launch(kernel, launch, &arguments)?;
        Ok((report, [losses.read()?, partition.read()?]))
    }
}

pub fn grade(checks: &mut Checks, answer: &Path) {
    checks.check("the kernel exists", || gpu::has_kernels(&gpu::open(answer)?.0, &[KERNEL]));
    for (m, n, threads) in SIZES {
        checks.check(&format!("{m} rows of {n} logits, blocks of {threads} threads"), || {
            let (_, device) = gpu::open(answer)?;
            let (problem, launch) = (Problem::new(m, n), Launch::new(m as u32, threads));
            let lab = gpu::of_repository(LAB)?;
            let (want, _) = problem.run(&lab, "softmax_v2_tree", &launch, false).map_err(gpu::told)?;
            let want_results = problem.results();
            let mut bits = Vec::new();
            for seed in SEEDS {
                let (report, results) =
                    problem.run(&device, KERNEL, &launch.seed(seed), true).map_err(told)?;
                for ((name, got), want) in
                    ["losses", "partition"].into_iter().zip(&results).zip(&want_results)
                {
                    close(name, got, want, 2e-5).map_err(|found| {
                        let is_finite = got.iter().all(|value| value.is_finite());
                        let why = "; expf overflows at 89: subtract the largest logit of the row first";
                        if is_finite { found } else { found + why }
                    })?;
                }
                counts(&report, &want, m as u64, threads)?;
                bits.push(results.map(|values| values.into_iter().map(f32::to_bits).collect::<Vec<_>>()));
            }
            that(bits.iter().all(|other| *other == bits[0]), || {
                "the bits of the results depend on the order of the threads".into()
            })
        });
    }
}

/// Compares with the counts of the lab's version.
fn counts(report: &Report, lab: &Report, m: u64, threads: u32) -> Finding {
    let (read, written) = (report.global_bytes_read, report.global_bytes_written);
    that(read <= lab.global_bytes_read, || {
        format!(
            "{read} bytes are read, version 2 reads {}: thread t takes the elements t, t + b, t + 2 b, ..., and one \
             thread finishes a row",
            lab.global_bytes_read
        )
    })?;
    that(written == lab.global_bytes_written, || {
        format!(
            "{written} bytes are written, version 2 writes {}: one thread finishes a row",
            lab.global_bytes_written
        )
    })?;
    that(report.warp_operations == 0, || {
        format!(
            "{} shuffles are counted, version 2 has none: they are the step to version 3",
            report.warp_operations
        )
    })?;
    // Each step of the two trees needs its barrier; three more are those of the lab.
    let (passed, steps) = (report.barriers, u64::from(threads.ilog2()));
    that(passed >= 2 * m * steps, || {
        format!(
            "{passed} barriers are passed, and in each block two trees over {threads} values have 2 x {steps} steps \
             with a barrier each: do all threads of a block share a row?"
        )
    })?;
    that(passed <= lab.barriers, || {
        format!(
            "{passed} barriers are passed, version 2 passes {}: one in each step, one behind each tree, and one \
             between the trees",
            lab.barriers
        )
    })
}

fn told(fault: Fault) -> String {
    match fault.kind {
        FaultKind::Race if fault.message.contains("of buffer") => {
            format!("one thread alone writes the results of a row; the simulated GPU says: {fault}")
        }
        FaultKind::Race => format!(
            "a thread reads what another one has written, or writes what another one has to read, and no barrier lies \
             between; the simulated GPU says: {fault}"
        ),
        FaultKind::Barrier => {
            format!("all threads of a block must come to each barrier; the simulated GPU says: {fault}")
        }
        _ => gpu::told(fault),
    }
}

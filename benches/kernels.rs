//! Times of the CUDA kernels: the versions of `cuda/lab` beside their predictions, and every memory-bound kernel
//! beside a plain copy.
//!
//! `cargo bench --bench kernels [-- lab | table]`. Without a GPU the benchmark says so, and prints the host build's
//! counts for the versions of the lab.

#[path = "kernels/clock.rs"]
mod clock;
// The tests' launches, which are timed here; the tests use more of this module.
#[allow(dead_code, unused_imports)]
#[path = "../tests/ops"]
mod ops {
    pub mod gpu;
    pub mod gradient_check;
    pub mod lab;
}

use clock::Clock;
use ops::gpu::cuda::driver::driver;
use ops::gpu::{Gpu, Outcome};
use ops::lab::claims::{Prediction, Size, Version};
use ops::lab::lessons::LESSONS;
use ops::lab::measure::Device;
use ops::lab::slots::{Slot, Staged};
use ops::lab::table;
use ops::lab::times;
use softcuda::{Arg, Launch};
use std::process::ExitCode;

/// Bytes of each side of the copy, far more than a cache holds.
const COPIED: usize = 1 << 29;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|word| word == part);
    if let Some(unknown) = wanted.iter().find(|word| !["lab", "table"].contains(&word.as_str())) {
        eprintln!("there is no part {unknown:?}; give lab, table, or nothing for both");
        return ExitCode::FAILURE;
    }
    let done = match Gpu::device("lab/empty") {
        Ok(gpu) => measure(&gpu, wants("lab"), wants("table")),
        Err(why) => {
            println!("Nothing to measure: {why}.");
            println!("With a GPU this times the versions of cuda/lab and every kernel that memory limits.");
            println!("Counts of the host build, summed over all threads, blocks or warps:");
            counts()
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Times the requested parts. `gpu` has the empty kernel, and keeps the context alive.
fn measure(gpu: &Gpu, wants_lab: bool, wants_table: bool) -> Outcome {
    let clock = Clock::new()?;
    let device =
        Device { copy: copy(gpu, &clock)?, empty: time(gpu, &clock, "empty", Launch::new(1, 32), &[])? };
    let name = gpu.cuda().ok_or("not a CUDA device")?.name()?;
    println!("{}", times::head(&name, device.copy, device.empty));
    if wants_lab {
        lab(&clock, device)?;
    }
    if wants_table {
        print_table(&clock, device)?;
    }
    Ok(())
}

/// Seconds of one launch.
fn time(gpu: &Gpu, clock: &Clock, kernel: &str, launch: Launch, args: &[Arg]) -> Outcome<f64> {
    let device = gpu.cuda().ok_or("not a CUDA device")?;
    clock.time(&|stream| device.enqueue(kernel, &launch, args, stream))
}

/// Bandwidth of a copy within device memory, in bytes a second.
fn copy(gpu: &Gpu, clock: &Clock) -> Outcome<f64> {
    let staged = Staged::new(gpu, &[Slot::Output(COPIED / 4), Slot::Output(COPIED / 4)])?;
    let [Arg::Pointer(from), Arg::Pointer(to)] = staged.args[..] else { unreachable!("both are buffers") };
    let driver = driver()?;
    let seconds = clock.time(&|stream| {
        // SAFETY: both buffers hold so many bytes and live until the copy was waited for.
        let status = unsafe { (driver.cuMemcpyDtoDAsync_v2)(to, from, COPIED, stream) };
        Ok(driver.check(status)?)
    })?;
    Ok(2.0 * COPIED as f64 / seconds)
}

fn lab(clock: &Clock, device: Device) -> Outcome {
    for lesson in &LESSONS {
        let gpu = Gpu::device(lesson.stem)?;
        let versions = lesson.versions()?;
        for Prediction { m, n, .. } in sizes(&versions) {
            println!("\n{}", times::title(lesson.stem, m, n));
            println!(
                "{:44} {:>10} {:>8} {:>8} {:>10} {:>10}",
                "", "us", "GB/s", "of copy", "predicted", "measured /"
            );
            for version in &versions {
                let size = Size { m, n, block: version.block };
                let staged = Staged::new(&gpu, &lesson.slots(version, &size)?)?;
                let seconds = time(&gpu, clock, &version.kernel, version.launch(size)?, &staged.args)?;
                let bytes = version.memory(size)?;
                let predicted = version.time(size, Some(device.copy))? + device.empty;
                println!(
                    "{} {:8.0} {:7.0}% {:10.2} {:10.2}",
                    times::row(&version.kernel, seconds),
                    bytes / seconds * 1e-9,
                    100.0 * device.share(bytes, seconds),
                    predicted * 1e6,
                    seconds / predicted
                );
            }
        }
    }
    println!(
        "\nPredictions: with this copy's bandwidth, else the chip of cuda/lab/README.md, plus an empty kernel."
    );
    Ok(())
}

/// Sizes for which the text predicts times.
fn sizes(versions: &[Version]) -> Vec<Prediction> {
    versions.last().map_or(Vec::new(), |version| version.predicted.clone())
}

fn print_table(clock: &Clock, device: Device) -> Outcome {
    println!("\n{:44} {:>16} {:>10} {:>8} {:>8}", "", "m x n", "us", "GB/s", "of copy");
    for entry in table::entries() {
        let gpu = Gpu::device(entry.stem)?;
        for (m, n) in [entry.large, entry.batch] {
            let staged = Staged::new(&gpu, &(entry.arguments)(m, n))?;
            let seconds = time(&gpu, clock, &entry.kernel, (entry.launch)(m, n), &staged.args)?;
            let bytes = (entry.bytes)(m, n) as f64;
            println!(
                "{:44} {:>16} {:10.2} {:8.0} {:7.0}%  {}",
                entry.kernel,
                format!("{m} x {n}"),
                seconds * 1e6,
                bytes / seconds * 1e-9,
                100.0 * device.share(bytes, seconds),
                device.verdict(bytes, seconds)
            );
        }
    }
    Ok(())
}

/// Prints the host build's counts for each version, at the smallest size of its text.
fn counts() -> Outcome {
    for lesson in &LESSONS {
        let gpu = Gpu::host(lesson.stem)?;
        let versions = lesson.versions()?;
        let Some(Prediction { m, n, .. }) = sizes(&versions).pop() else { continue };
        println!("\n{} at {m} x {n}", lesson.stem);
        println!(
            "{:44} {:>12} {:>12} {:>9} {:>9} {:>14}",
            "", "bytes read", "written", "barriers", "warp ops", "predicted, us"
        );
        for version in &versions {
            let size = Size { m, n, block: version.block };
            let staged = Staged::new(&gpu, &lesson.slots(version, &size)?)?;
            let report =
                gpu.launch(&version.kernel, version.launch(size)?, &staged.args)?.ok_or("no report")?;
            println!(
                "{:44} {:12} {:12} {:9} {:9} {:14.2}",
                version.kernel,
                report.global_bytes_read,
                report.global_bytes_written,
                report.barriers,
                report.warp_operations,
                version.time(size, None)? * 1e6
            );
        }
    }
    Ok(())
}

//! Checks of each version against its reference, and of the comments' claims against the counts of the host build.

use super::super::gpu::{self, Gpu, Outcome, close};
use super::claims::{Prediction, Size, Version};
use super::lessons::{LESSONS, Lesson};
use super::slots::Staged;
use super::table::{ELSEWHERE, entries};

/// Runs a version at a size; on the host build its counts must be those that it claims.
fn check(gpu: &Gpu, lesson: &Lesson, version: &Version, size: Size) -> Outcome {
    let Size { m, n, block } = size;
    let here = |error| format!("{} at {m} x {n}, blocks of {block:?}: {error}", version.kernel);
    let staged = Staged::new(gpu, &lesson.slots(version, &size)?)?;
    let report = gpu.launch(&version.kernel, version.launch(size)?, &staged.args)?;
    if let Some(report) = report {
        let counted = softcuda::Report { blocks: 0, threads: 0, shared_bytes: 0, ..report };
        let claimed = version.report(size)?;
        if counted != claimed {
            return Err(here(format!("counted {counted:?}, claimed {claimed:?}")).into());
        }
    }
    for (i, (output, want)) in staged.outputs.iter().zip((lesson.reference)(&size)).enumerate() {
        let values = gpu.read(output)?;
        let mut sum = vec![0.0; want.len()];
        for part in values.chunks(want.len()) {
            sum.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
        // A thread adds up to a thousand numbers of one sign in f32, at worst 1,000 roundings of 6e-8, in practice far
        // fewer; what nearly cancels is measured by the size of the others.
        let size = (want.iter().map(|value| value * value).sum::<f64>() / want.len() as f64).sqrt();
        close(&format!("output {i}"), &sum, &want, 1e-5, size).map_err(|error| here(error.to_string()))?;
    }
    Ok(())
}

/// Every version at odd sizes.
fn every_version(lesson: &Lesson, sizes: &[(usize, usize, u32)]) -> impl Fn(&Gpu) -> Outcome {
    move |gpu| {
        for version in lesson.versions()? {
            for &(m, n, threads) in sizes {
                let block = if version.insists { version.block } else { [threads, 1, 1] };
                check(gpu, lesson, &version, Size { m, n, block })?;
            }
        }
        Ok(())
    }
}

/// Ones, primes, a multiple of four, more rows than a block has threads, and every width of block.
const ROWS: [(usize, usize, u32); 7] =
    [(1, 1, 32), (3, 5, 64), (5, 751, 256), (2, 1023, 128), (3, 1024, 512), (67, 33, 32), (1, 7, 1024)];

#[test]
fn softmax_cross_entropy() {
    let lesson = &LESSONS[0];
    gpu::run(lesson.stem, every_version(lesson, &ROWS));
}

#[test]
fn l2_normalize() {
    let lesson = &LESSONS[1];
    gpu::run(lesson.stem, every_version(lesson, &ROWS));
}

/// One image, an edge of a tile, several tiles of an odd and an even number, several parts of unequal length.
const PAIRS: [(usize, usize, u32); 6] =
    [(1, 1, 32), (3, 5, 64), (16, 64, 256), (17, 65, 128), (33, 200, 32), (50, 751, 96)];

#[test]
fn batch_contrastive() {
    let lesson = &LESSONS[2];
    gpu::run(lesson.stem, every_version(lesson, &PAIRS));
}

#[test]
fn the_predicted_times_are_what_their_formulas_give() {
    for version in LESSONS.iter().flat_map(|lesson| lesson.versions().unwrap()) {
        for &Prediction { seconds, m, n } in &version.predicted {
            let time = version.time(Size { m, n, block: version.block }, None).unwrap();
            // The text gives two or three digits.
            let near = (time - seconds).abs() <= 0.005 * seconds;
            assert!(near, "{} at {m} x {n}: the formula gives {:.4} us", version.kernel, time * 1e6);
        }
    }
}

/// The kernels that the last line of a `.cu` file names.
fn named(text: &str) -> Vec<&str> {
    let list = text.split("\nSOFTCUDA_KERNELS(").nth(1).and_then(|rest| rest.split(')').next());
    list.map_or(Vec::new(), |list| list.split(',').map(str::trim).collect())
}

#[test]
fn every_kernel_of_the_lab_is_described_once_and_the_one_in_use_last() {
    for lesson in &LESSONS {
        let text = std::fs::read_to_string(gpu::source(lesson.stem)).unwrap();
        let versions = lesson.versions().unwrap();
        let described: Vec<&str> = versions.iter().map(|version| version.kernel.as_str()).collect();
        let (in_use, lessons) = described.split_last().unwrap();
        assert_eq!(lessons, named(&text), "{}", lesson.stem);
        let stem = lesson.stem.trim_start_matches("lab/");
        assert!(in_use.starts_with(stem) && text.contains(&format!("#include \"../{stem}.cu\"")), "{in_use}");
    }
}

#[test]
fn the_table_has_every_kernel_in_use() {
    let described: Vec<String> = entries()
        .iter()
        .map(|entry| entry.kernel.clone())
        .chain(ELSEWHERE.map(|(kernel, _)| kernel.into()))
        .collect();
    let mut found = Vec::new();
    for file in std::fs::read_dir(gpu::folder()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "cu") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.extend(named(&text).into_iter().map(String::from));
        }
    }
    for kernel in &found {
        let times = described.iter().filter(|other| *other == kernel).count();
        assert_eq!(times, 1, "{kernel} belongs into tests/ops/lab/table.rs once");
    }
    for kernel in &described {
        assert!(found.iter().any(|other| other == kernel), "no file of cuda/ has {kernel}");
    }
}

/// Also at sizes where no row begins at a multiple of 16 bytes.
#[test]
fn the_bytes_of_the_table_are_those_that_the_host_build_counts() {
    for entry in entries() {
        for (m, n) in [(2, 40), (3, 21)] {
            let count = || -> Outcome {
                let gpu = Gpu::host(entry.stem)?;
                let staged = Staged::new(&gpu, &(entry.arguments)(m, n))?;
                let report =
                    gpu.launch(&entry.kernel, (entry.launch)(m, n), &staged.args)?.expect("the host counts");
                let counted = report.global_bytes_read + report.global_bytes_written;
                let (bytes, cached) = ((entry.bytes)(m, n) as u64, (entry.cached)(m, n) as u64);
                if counted != bytes + cached {
                    return Err(format!("counted {counted}, the table has {bytes} and {cached}").into());
                }
                Ok(())
            };
            count().unwrap_or_else(|error| panic!("{} at {m} x {n}: {error}", entry.kernel));
        }
    }
}

#[test]
fn the_large_sizes_of_the_table_exceed_every_cache_and_those_of_a_step_do_not() {
    for entry in entries() {
        let bytes = |(m, n)| (entry.bytes)(m, n) as f64;
        let (large, batch) =
            (bytes(entry.large) / f64::from(1 << 30), bytes(entry.batch) / f64::from(1 << 20));
        assert!((0.9..1.1).contains(&large), "{}: {large} GiB", entry.kernel);
        assert!(batch < 50.0, "{}: {batch} MiB", entry.kernel);
    }
}

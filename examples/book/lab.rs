//! Chapter 13: what the versions of `cuda/lab` read, write and wait for, counted by the simulated GPU, beside the times
//! that their comments predict and those that a GPU measured. `book lab DIR` takes the latter from the evidence files of
//! another folder than docs/evidence.

use crate::ops::gpu::Gpu;
use crate::ops::lab::claims::{Prediction, Size, Version};
use crate::ops::lab::lessons::{LESSONS, Lesson};
use crate::ops::lab::slots::Staged;
use crate::ops::lab::times;
use softcuda::{Build, Report};
use std::error::Error;
use std::path::{Path, PathBuf};

fn repository(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(part)
}

pub fn run() -> Result<(), Box<dyn Error>> {
    let given = std::env::args_os().nth(2).map(PathBuf::from);
    if let Some(folder) = given.as_ref().filter(|folder| !folder.is_dir()) {
        return Err(format!("{}: no such folder of evidence files", folder.display()).into());
    }
    let measured = Measured::newest(&given.unwrap_or_else(|| repository("docs/evidence")))?;
    println!("times in us; measured on: {}", measured.device());
    for lesson in &LESSONS {
        let source = repository("cuda").join(lesson.stem).with_extension("cu");
        let library = Build::new("kernels").file(&source).include(repository("cuda")).library()?;
        let gpu = Gpu::new(&library)?;
        let versions = lesson.versions()?;
        let last = versions.last().ok_or("a lesson has no versions")?;
        let [large, small] = last.predicted[..] else {
            return Err(format!("{}: a large and a small size are predicted", last.kernel).into());
        };
        let size = |of: Prediction| format!("{} x {}", of.m, of.n);
        println!("\n{}: counts at {1}, times at {1} and at {2}", lesson.stem, size(small), size(large));
        println!(
            "{:33}{:>9}{:>8}{:>9}{:>6}{:>11}{:>10}{:>11}{:>10}",
            "", "read", "written", "barriers", "warp", "predicted", "measured", "predicted", "measured"
        );
        for version in &versions {
            let count = counted(&gpu, lesson, version, small)?;
            let times = [small, large].map(|Prediction { m, n, .. }| {
                let time = version.time(Size { m, n, block: version.block }, None);
                time.map(|seconds| (seconds * 1e6, measured.micros(lesson.stem, &version.kernel, m, n)))
            });
            let [(small, on_gpu), (large, large_on_gpu)] = [times[0].clone()?, times[1].clone()?];
            println!(
                "{:33}{:>9}{:>8}{:>9}{:>6}{small:>11.2}{on_gpu:>10}{large:>11.2}{large_on_gpu:>10}",
                version.kernel,
                count.global_bytes_read,
                count.global_bytes_written,
                count.barriers,
                count.warp_operations
            );
        }
    }
    Ok(())
}

// ANCHOR: counted
/// Runs a version and returns the counts, which must be those that its comment claims.
fn counted(
    gpu: &Gpu,
    lesson: &Lesson,
    version: &Version,
    Prediction { m, n, .. }: Prediction,
) -> Result<Report, Box<dyn Error>> {
    let size = Size { m, n, block: version.block };
    let staged = Staged::new(gpu, &lesson.slots(version, &size)?)?;
    let report = gpu.launch(&version.kernel, &version.launch(size)?, &staged.args)?;
    let counted = Report { blocks: 0, threads: 0, shared_bytes: 0, ..report };
    let claimed = version.report(size)?;
    if counted != claimed {
        return Err(format!("{}: counted {counted:?}, claimed {claimed:?}", version.kernel).into());
    }
    Ok(counted)
}
// ANCHOR_END: counted

/// The output of `cargo bench --bench kernels` in an evidence file of the GPU gate (docs/gpu.md); no lines if there is
/// no such file yet.
struct Measured(Vec<String>);

impl Measured {
    /// Of the files of a folder that have the figures of the kernels, the one with the latest date.
    fn newest(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let mut found: Option<(String, Vec<String>)> = None;
        let files = folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
        for path in files.filter(|path| path.extension().is_some_and(|end| end == "json")) {
            let here = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            let text = std::fs::read_to_string(&path).map_err(|error| here(&error))?;
            let evidence: serde_json::Value = serde_json::from_str(&text).map_err(|error| here(&error))?;
            let checks = evidence["checks"].as_array().ok_or_else(|| here(&"no list of checks"))?;
            let table = checks.iter().find(|check| check["name"] == "kernels");
            let table = table.and_then(|check| check["figures"]["table"].as_array());
            let Some(table) = table else { continue };
            let lines = table.iter().filter_map(|line| line.as_str().map(String::from)).collect();
            let date = evidence["date"].as_str().unwrap_or_default().to_string();
            if found.as_ref().is_none_or(|(newest, _)| *newest < date) {
                found = Some((date, lines));
            }
        }
        Ok(Measured(found.map(|(_, lines)| lines).unwrap_or_default()))
    }

    fn device(&self) -> &str {
        times::device(&self.0).unwrap_or("no GPU yet")
    }

    /// The microseconds of a version at a size; a dash if there are none.
    fn micros(&self, stem: &str, kernel: &str, m: usize, n: usize) -> String {
        times::micros(&self.0, stem, kernel, m, n).unwrap_or("-").into()
    }
}

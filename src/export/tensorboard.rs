//! Runs for TensorBoard: event files with the curves of `metrics.jsonl`, and what evaluations found.
//!
//! | tag | |
//! |---|---|
//! | `loss/total`, `loss/softmax`, `loss/positive`, `loss/hinge`, `loss/center` | equations (9), (2), (3), (3), (4) |
//! | `schedule/rate`, `schedule/lambda` | learning rate, weight of the batch-contrastive loss |
//! | `distance/intra`, `distance/inter`, `distance/inter_min` | within a batch, the paper's figure 1 |
//! | `pairs/NAME/same`, `pairs/NAME/different` | distances of pairs in the evaluation NAME ([`evaluation`]) |
//! | `lists/NAME/...` | its ranked lists |
//! | `evaluation/NAME/...` | its rank-1, both mAPs and mINP |
//!
//! `metrics.jsonl` knows steps, not times. An event made of it bears the time at which that file was last written; one
//! written while training bears its own. In a folder of events one file of ours holds all there is: writing again takes
//! its place, and what others put beside it stays.

pub mod evaluation;
mod histogram;
mod live;
pub mod proto;
mod strip;
mod writer;

pub use histogram::Histogram;
pub use live::Live;
pub use writer::EventWriter;

use crate::files::write_atomically;
use crate::ops::batch_contrastive::Reduction;
use crate::run::metrics::StepMetrics;
use crate::{Error, Result};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What TensorBoard knows an event file by; seconds since 1970 follow.
const PREFIX: &str = "events.out.tfevents.";
/// Whose it is, where others put the name of the machine.
const SUFFIX: &str = ".bcreid";

type Value = fn(&StepMetrics) -> Option<f32>;

/// Each number of a step under its tag.
const SCALARS: [(&str, Value); 10] = [
    ("loss/total", |step| step.loss),
    ("loss/softmax", |step| step.softmax),
    ("loss/positive", |step| step.positive),
    ("loss/hinge", |step| step.hinge),
    ("loss/center", |step| step.center),
    ("schedule/rate", |step| step.rate),
    ("schedule/lambda", |step| step.lambda),
    ("distance/intra", |step| step.intra),
    ("distance/inter", |step| step.inter),
    ("distance/inter_min", |step| step.inter_min),
];

/// The curves with a description in TensorBoard: losses that are sums or means over the batch.
const REDUCED: [&str; 3] = ["loss/positive", "loss/hinge", "loss/center"];

/// Writes the numbers of steps; those that are absent, NaN or infinite are left out. The first step of a file describes the curves.
#[derive(Debug)]
pub struct StepEvents {
    reduction: Reduction,
    described: bool,
}

impl StepEvents {
    /// For a run whose batch-contrastive loss is reduced so.
    pub fn new(reduction: Reduction) -> Self {
        StepEvents { reduction, described: false }
    }

    /// Writes one step.
    ///
    /// # Errors
    /// What writing reports.
    pub fn write<W: Write>(
        &mut self,
        writer: &mut EventWriter<W>,
        wall_time: f64,
        step: &StepMetrics,
    ) -> io::Result<()> {
        let text = (!self.described)
            .then(|| format!("The {} over the batch (loss.reduction).", self.reduction.name()));
        let description = |tag: &str| text.as_deref().filter(|_| REDUCED.contains(&tag));
        let finite = |value: Value| value(step).filter(|v| v.is_finite());
        let values =
            SCALARS.iter().filter_map(|(tag, value)| Some((*tag, finite(*value)?, description(tag))));
        writer.described_scalars(wall_time, step.step, values)?;
        self.described = true;
        Ok(())
    }
}

/// Writes an event file into `folder`, which is made if need be, whole or not at all; its name says `time`. What an
/// earlier call left there is emptied, and what was empty already is removed: a TensorBoard that has a file open goes on
/// to the next one when it finds no more in it, but not when the file is gone.
///
/// # Errors
/// What the file system says.
pub fn write_events(
    folder: &Path,
    time: SystemTime,
    fill: impl FnOnce(&mut EventWriter<&mut dyn Write>) -> io::Result<()>,
) -> Result<PathBuf> {
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let seconds = seconds(time);
    let file = folder.join(format!("{PREFIX}{:010}{SUFFIX}", seconds as u64));
    write_atomically(&file, |out| fill(&mut EventWriter::new(out, seconds)?))?;
    for (_, path) in ours(folder)?.into_iter().filter(|(_, path)| *path != file) {
        let empty = fs::metadata(&path).map_err(Error::io(&path))?.len() == 0;
        let done = if empty { fs::remove_file(&path) } else { fs::File::create(&path).map(drop) };
        done.map_err(Error::io(&path))?;
    }
    Ok(file)
}

/// The files that [`write_events`] left in a folder, by the seconds in their names.
fn ours(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let path = entry.path();
        // A link would be followed to a file that is not ours.
        if !entry.file_type().map_err(Error::io(&path))?.is_file() {
            continue;
        }
        found.extend(seconds_of(&path).map(|seconds| (seconds, path)));
    }
    Ok(found)
}

/// When a file was last written.
///
/// # Errors
/// What the file system says.
pub fn modified(file: &Path) -> Result<SystemTime> {
    fs::metadata(file).and_then(|meta| meta.modified()).map_err(Error::io(file))
}

/// Seconds since 1970, as events count time.
pub fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// The seconds in a name that [`write_events`] gives.
fn seconds_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let seconds = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let plain = seconds.len() >= 10 && seconds.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| seconds.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_files_are_replaced() {
        let ours = |name: &str| seconds_of(Path::new(name));
        assert_eq!(ours("run/events.out.tfevents.1700000000.bcreid"), Some(1_700_000_000));
        for name in [
            "events.out.tfevents.1700000000.host.123.0",
            "events.out.tfevents.1700000000.bcreid.v2",
            "events.out.tfevents..bcreid",
            "events.out.tfevents.17000x0000.bcreid",
            "1700000000.bcreid",
        ] {
            assert_eq!(ours(name), None, "{name}");
        }
    }
}

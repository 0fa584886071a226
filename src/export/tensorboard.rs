//! Export to TensorBoard: event files with the curves of `metrics.jsonl` and the results of evaluations.
//!
//! | tag | |
//! |---|---|
//! | `loss/total`, `loss/softmax`, `loss/positive`, `loss/hinge`, `loss/center` | equations (9), (2), (3), (3), (4) |
//! | `loss/triplet`, `loss/circle`, `loss/contrastive` | losses of other methods, if the run has them |
//! | `loss/center_loss`, `loss/verification`, `loss/attributes` | likewise, with centers or a head of their own |
//! | `schedule/rate`, `schedule/lambda` | learning rate, weight of the batch-contrastive loss |
//! | `distance/intra`, `distance/inter`, `distance/inter_min` | within a batch, the paper's figure 1 |
//! | `pairs/NAME/same`, `pairs/NAME/different` | distances of pairs in the evaluation NAME ([`evaluation`]) |
//! | `lists/NAME/...` | its ranked lists |
//! | `evaluation/NAME/...` | its rank-1, both mAPs and mINP |
//! | `validation/rank1`, `validation/map_market`, `validation/map_sum`, `validation/minp` | evaluations during training, if the run has them |
//! | `run/provenance` | text: start, data set, version, device |
//!
//! `metrics.jsonl` has steps, but no times. An event made from it has the time at which that file was last written; an
//! event written while training has its own time. A folder of events has one event file of this program, which a later
//! export replaces; files of other programs stay.

pub mod evaluation;
mod histogram;
mod live;
pub mod projector;
pub mod proto;
mod strip;
mod writer;

pub use histogram::Histogram;
pub use live::Live;
pub use writer::EventWriter;

use crate::files::{has_second_name, write_atomically};
use crate::ops::batch_contrastive::Reduction;
use crate::run::metrics::StepMetrics;
use crate::run::validation::Validation;
use crate::weights::provenance::Training;
use crate::{Error, Result};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Start of an event file's name, by which TensorBoard finds it; seconds since 1970 follow.
const PREFIX: &str = "events.out.tfevents.";
/// End of the name of this program's event files, where other programs put the name of the machine.
const SUFFIX: &str = ".bcreid";

/// A function that takes a value from a step.
type Value = fn(&StepMetrics) -> Option<f32>;

/// Tags of the values of a step.
const SCALARS: [(&str, Value); 16] = [
    ("loss/total", |step| step.loss),
    ("loss/softmax", |step| step.softmax),
    ("loss/positive", |step| step.positive),
    ("loss/hinge", |step| step.hinge),
    ("loss/center", |step| step.center),
    ("loss/triplet", |step| step.triplet),
    ("loss/circle", |step| step.circle),
    ("loss/contrastive", |step| step.contrastive),
    ("loss/center_loss", |step| step.center_loss),
    ("loss/verification", |step| step.verification),
    ("loss/attributes", |step| step.attributes),
    ("schedule/rate", |step| step.rate),
    ("schedule/lambda", |step| step.lambda),
    ("distance/intra", |step| step.intra),
    ("distance/inter", |step| step.inter),
    ("distance/inter_min", |step| step.inter_min),
];

/// Tags of the losses that are sums or means over the batch; TensorBoard shows a description beside them.
const REDUCED: [&str; 3] = ["loss/positive", "loss/hinge", "loss/center"];

/// Writer of the values of steps; absent values, NaN and infinities are left out. The first step of a file describes
/// the curves.
#[derive(Debug)]
pub struct StepEvents {
    reduction: Reduction,
    described: bool,
}

impl StepEvents {
    /// Creates a writer for a run whose batch-contrastive loss has this reduction.
    pub fn new(reduction: Reduction) -> Self {
        StepEvents { reduction, described: false }
    }

    /// Writes one step.
    ///
    /// # Errors
    /// An error of writing.
    pub fn write<W: Write>(
        &mut self,
        writer: &mut EventWriter<W>,
        wall_time: f64,
        step: &StepMetrics,
    ) -> io::Result<()> {
        let text = (!self.described).then(|| {
            format!("The {} over the batch (loss.batch_contrastive.reduction).", self.reduction.name())
        });
        let description = |tag: &str| text.as_deref().filter(|_| REDUCED.contains(&tag));
        let finite = |value: Value| value(step).filter(|v| v.is_finite());
        let values =
            SCALARS.iter().filter_map(|(tag, value)| Some((*tag, finite(*value)?, description(tag))));
        writer.described_scalars(wall_time, step.step, values)?;
        self.described = true;
        Ok(())
    }
}

/// Writes the figures of an evaluation during training; its step is the number of iterations done.
///
/// # Errors
/// An error of writing.
pub fn write_validation<W: Write>(
    writer: &mut EventWriter<W>,
    wall_time: f64,
    of: &Validation,
) -> io::Result<()> {
    let figures = [
        ("validation/rank1", of.rank1),
        ("validation/map_market", of.map_market),
        ("validation/map_sum", of.map_sum),
        ("validation/minp", of.minp),
    ];
    let found = figures.into_iter().filter_map(|(tag, value)| Some((tag, value? as f32)));
    writer.scalars(wall_time, of.iterations, found)
}

/// Writes what a run started from and was trained on, as a text of step 0.
///
/// # Errors
/// An error of writing.
pub fn write_provenance<W: Write>(
    writer: &mut EventWriter<W>,
    wall_time: f64,
    training: &Training,
) -> io::Result<()> {
    writer.lines(wall_time, 0, "run/provenance", &training.lines())
}

/// Writes an event file with `time` in its name into `folder`, whole or not at all. The file of an earlier call is
/// emptied, and an empty one is removed: a TensorBoard that has a file open goes on to the next file when the open one
/// has no more events, but not when it is gone.
///
/// # Errors
/// An error of the file system.
pub fn write_events(
    folder: &Path,
    time: SystemTime,
    fill: impl FnOnce(&mut EventWriter<&mut dyn Write>) -> io::Result<()>,
) -> Result<PathBuf> {
    let seconds = seconds(time);
    let file = folder.join(format!("{PREFIX}{:010}{SUFFIX}", seconds as u64));
    write_atomically(&file, |out| fill(&mut EventWriter::new(out, seconds)?))?;
    for (_, path) in event_files(folder)?.into_iter().filter(|(_, path)| *path != file) {
        let meta = fs::metadata(&path).map_err(Error::io(&path))?;
        // A file with a second name is not emptied: the other name would lose its content.
        let done = if meta.len() == 0 || has_second_name(&meta) {
            fs::remove_file(&path)
        } else {
            fs::File::create(&path).map(drop)
        };
        done.map_err(Error::io(&path))?;
    }
    Ok(file)
}

/// The event files of [`write_events`] in a folder, with the seconds in their names.
fn event_files(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let path = entry.path();
        // A link may point to a file of another program.
        if !entry.file_type().map_err(Error::io(&path))?.is_file() {
            continue;
        }
        found.extend(seconds_of(&path).map(|seconds| (seconds, path)));
    }
    Ok(found)
}

/// Time at which a file was last written.
///
/// # Errors
/// An error of the file system.
pub fn modified(file: &Path) -> Result<SystemTime> {
    fs::metadata(file).and_then(|meta| meta.modified()).map_err(Error::io(file))
}

/// Seconds since 1970, the time unit of events.
pub fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Seconds in the name of an event file of [`write_events`]; `None` for other files.
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

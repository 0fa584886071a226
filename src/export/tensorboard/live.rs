//! A run's curves for TensorBoard while it trains.

use super::{EventWriter, StepEvents, modified, ours, seconds, write_events};
use crate::ops::batch_contrastive::Reduction;
use crate::run::metrics::{self, StepMetrics};
use crate::train::Observer;
use crate::{Error, Result};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Appends the steps of a run to an event file.
#[derive(Debug)]
pub struct Live {
    path: PathBuf,
    writer: EventWriter<BufWriter<File>>,
    steps: StepEvents,
}

impl Live {
    /// Begins a new file in `folder` in the place of an earlier one, to go on at `step`: the steps before are taken from
    /// the run's metrics in `file`, whether TensorBoard was asked for then or not. A resumed run thus leaves the same curves
    /// as an undisturbed one. To be called before anything is written to it: its age is the time of those steps.
    ///
    /// # Errors
    /// What the file system says; metrics that are not a run's.
    pub fn continue_at(folder: &Path, file: &Path, step: u64, reduction: Reduction) -> Result<Self> {
        // Whoever has moved the metrics away goes on without them.
        let is_there = std::fs::metadata(file).is_ok_and(|meta| meta.len() > 0);
        let (earlier, time) = match step > 0 && is_there {
            true => (metrics::read(file)?, seconds(modified(file)?)),
            false => (Vec::new(), 0.0),
        };
        // A later name than any there is: readers go on to the next name.
        let others = if folder.is_dir() { ours(folder)? } else { Vec::new() };
        let next = others.iter().map(|(seconds, _)| seconds.saturating_add(1)).max().unwrap_or(0);
        let next = UNIX_EPOCH.checked_add(Duration::from_secs(next)).unwrap_or(UNIX_EPOCH);
        let mut steps = StepEvents::new(reduction);
        let path = write_events(folder, SystemTime::now().max(next), |writer| {
            let mut earlier = earlier.iter().filter(|earlier| earlier.step < step);
            earlier.try_for_each(|step| steps.write(writer, time, step))
        })?;
        let events = File::options().append(true).open(&path).map_err(Error::io(&path))?;
        Ok(Live { path, writer: EventWriter::append(BufWriter::new(events)), steps })
    }
}

impl Observer for Live {
    fn measured(&mut self, step: &StepMetrics) -> Result<()> {
        let now = seconds(SystemTime::now());
        self.steps.write(&mut self.writer, now, step).map_err(Error::io(&self.path))
    }

    fn caught_up(&mut self, _: &StepMetrics) -> Result<()> {
        self.writer.flush().map_err(Error::io(&self.path))
    }
}

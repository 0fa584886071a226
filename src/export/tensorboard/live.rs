//! TensorBoard curves of a run, written while it trains.

use super::{
    EventWriter, StepEvents, event_files, modified, seconds, write_events, write_provenance, write_validation,
};
use crate::ops::batch_contrastive::Reduction;
use crate::run::Layout;
use crate::run::metrics::{self, StepMetrics};
use crate::run::validation::{self, Validation};
use crate::train::Observer;
use crate::weights::provenance::Training;
use crate::{Error, Result};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Observer that appends the steps of a run to an event file.
#[derive(Debug)]
pub struct Live {
    path: PathBuf,
    writer: EventWriter<BufWriter<File>>,
    steps: StepEvents,
}

impl Live {
    /// Creates a new event file in `folder`, replacing an earlier one, for a run of this provenance that starts or
    /// resumes at `step`. The steps and evaluations before `step` are read from the run's folder, so that a resumed run has
    /// the same curves as an uninterrupted one. Call this before the run is continued: the time of the earlier steps is
    /// the time at which the metrics were last written.
    ///
    /// # Errors
    /// An error of the file system; metrics that are not those of a run.
    pub fn continue_at(
        folder: &Path,
        run: &Layout,
        step: u64,
        reduction: Reduction,
        training: &Training,
    ) -> Result<Self> {
        // A run without metrics, because the file was moved away, continues without the earlier steps.
        let file = &run.metrics();
        let mut validations = validation::read(&run.validation())?;
        validations.retain(|one| one.iterations <= step);
        let has_metrics = std::fs::metadata(file).is_ok_and(|meta| meta.len() > 0);
        let (earlier, time) = match step > 0 && has_metrics {
            true => (metrics::read(file)?, seconds(modified(file)?)),
            false => (Vec::new(), 0.0),
        };
        // The new name must be later than all others, because readers go on to the next name.
        let others = if folder.is_dir() { event_files(folder)? } else { Vec::new() };
        let next = others.iter().map(|(seconds, _)| seconds.saturating_add(1)).max().unwrap_or(0);
        let next = UNIX_EPOCH.checked_add(Duration::from_secs(next)).unwrap_or(UNIX_EPOCH);
        let mut steps = StepEvents::new(reduction);
        let path = write_events(folder, SystemTime::now().max(next), |writer| {
            write_provenance(writer, seconds(SystemTime::now()), training)?;
            let mut earlier = earlier.iter().filter(|earlier| earlier.step < step);
            earlier.try_for_each(|step| steps.write(writer, time, step))?;
            validations.iter().try_for_each(|one| write_validation(writer, time, one))
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

    fn validated(&mut self, validation: &Validation, _: bool) -> Result<()> {
        let now = seconds(SystemTime::now());
        let written = write_validation(&mut self.writer, now, validation);
        written.and_then(|()| self.writer.flush()).map_err(Error::io(&self.path))
    }

    fn caught_up(&mut self, _: &StepMetrics) -> Result<()> {
        self.writer.flush().map_err(Error::io(&self.path))
    }
}

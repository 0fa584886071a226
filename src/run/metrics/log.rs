//! The writer of `metrics.jsonl`.

use super::StepMetrics;
use super::read::{Line, Lines};
use crate::{Error, Result, files, tell};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file of metrics to which lines are appended. [`Log::flush`] flushes them.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Log {
    /// Opens the file to continue at `step`. Lines of later steps, and a last line that a crash cut short, are removed,
    /// so that a resumed run leaves the same file as an uninterrupted run.
    ///
    /// # Errors
    /// Errors of the file system; a line before `step` that training did not write: the lines behind it would be lost.
    pub fn continue_at(path: &Path, step: u64) -> Result<Self> {
        let file = files::open_to_append(path)?;
        let (mut keep, mut reached) = (0, 0);
        let mut lines = Lines::new(BufReader::new(&file));
        // Everything behind is removed: a power cut may leave any bytes there.
        while reached < step {
            match lines.read_next().map_err(Error::io(path))? {
                Line::End => break,
                Line::Step(read) if (reached..step).contains(&read.step) => {
                    keep = lines.bytes();
                    reached = read.step + 1;
                }
                Line::Step(read) if read.step >= step => break,
                Line::Step(_) | Line::TooLong | Line::Foreign => {
                    return Err(Error::Run(format!(
                        "{}: line {} is not a step that training wrote, or goes back to an earlier step; restore the file, or \
                         move it away to continue with a new one",
                        path.display(),
                        lines.number()
                    )));
                }
            }
        }
        if reached < step {
            tell!(
                "{}: ends at step {reached}, and the run continues at step {step}: its curves will have a gap",
                path.display()
            );
        }
        file.set_len(keep).map_err(Error::io(path))?;
        Ok(Log { path: path.to_path_buf(), file: BufWriter::new(file) })
    }

    /// Adds the line of a step.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn write(&mut self, step: &StepMetrics) -> Result<()> {
        serde_json::to_writer(&mut self.file, step)
            .map_err(io::Error::from)
            .and_then(|()| self.file.write_all(b"\n"))
            .map_err(Error::io(&self.path))
    }

    /// Syncs all lines to the disk, so that no checkpoint is newer than its metrics.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn sync(&mut self) -> Result<()> {
        self.flush()?;
        self.file.get_ref().sync_data().map_err(Error::io(&self.path))
    }

    /// Hands all lines to the operating system.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    fn metrics(step: u64) -> StepMetrics {
        StepMetrics {
            step,
            loss: Some(1.5),
            softmax: Some(1.0),
            positive: Some(0.1),
            hinge: Some(0.3),
            center: Some(0.1),
            rate: Some(0.01),
            lambda: Some(1.0),
            intra: None,
            inter: Some(0.5),
            inter_min: Some(0.25),
            ..StepMetrics::default()
        }
    }

    #[test]
    fn a_resumed_log_is_the_undisturbed_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let write = |from: u64, to: u64| {
            let mut log = Log::continue_at(&path, from).unwrap();
            (from..to).for_each(|step| log.write(&metrics(step)).unwrap());
            log.flush().unwrap();
        };
        write(0, 10);
        let undisturbed = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &undisturbed[..undisturbed.len() - 7]).unwrap();
        write(6, 10);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), undisturbed);
        let damaged = undisturbed.replacen("\"step\":3", "\"stfp\":3", 1);
        std::fs::write(&path, &damaged).unwrap();
        let error = Log::continue_at(&path, 6).unwrap_err().to_string();
        assert!(error.contains("line 4 is not a step"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged, "nothing is lost");
        let back = undisturbed.replacen("\"step\":3", "\"step\":1", 1);
        std::fs::write(&path, &back).unwrap();
        let error = Log::continue_at(&path, 6).unwrap_err().to_string();
        assert!(error.contains("line 4") && error.contains("goes back"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), back, "nothing is lost");
        // Damage behind the step is dropped with all that is there.
        let behind = undisturbed.replacen("\"step\":7", "\"stfp\":7", 1) + &"\0".repeat(5000);
        std::fs::write(&path, behind).unwrap();
        write(6, 10);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), undisturbed);
        std::fs::write(&path, "\0".repeat(5000)).unwrap();
        write(0, 10);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), undisturbed);
        assert_eq!(read(&path).unwrap(), Vec::from_iter((0..10).map(metrics)));
    }
}

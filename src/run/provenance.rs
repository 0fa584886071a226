//! `provenance.json`: what a run started from and was trained on, when and how long.
//!
//! The weights and checkpoints of a run hold the same [`Training`] in their metadata, but no date and no duration, so
//! that equal runs write equal files.

use super::Layout;
use crate::error::excerpt;
use crate::files::{MIB, read_text, write_json};
use crate::weights::provenance::Training;
use crate::{Error, Result};
use jiff::{Timestamp, Unit};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Most characters of a parser's message that an error quotes, because the message may quote the file.
const QUOTED: usize = 200;

/// The provenance of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunProvenance {
    /// Start, data, version and devices.
    #[serde(flatten)]
    pub training: Training,
    /// The time at which the run began, to the second, in UTC; `None`: not recorded.
    pub began: Option<Timestamp>,
    /// Seconds of training up to the newest checkpoint, those before a resumption included, those between not; `None`: not
    /// recorded.
    pub seconds: Option<f64>,
}

impl RunProvenance {
    /// The provenance of a run that begins now.
    pub fn begin(training: Training) -> Self {
        // A rounding to seconds fails only at the end of time.
        let now = Timestamp::now();
        RunProvenance { training, began: Some(now.round(Unit::Second).unwrap_or(now)), seconds: Some(0.0) }
    }

    /// Reads the file of a run; `None` if it has none, as of earlier versions.
    ///
    /// # Errors
    /// A file that cannot be read or has another form.
    pub fn read(run: &Layout) -> Result<Option<Self>> {
        let path = run.provenance();
        let text = match read_text(&path, MIB) {
            Ok(text) => text,
            Err(error) if error.is_missing_file() => return Ok(None),
            Err(error) => return Err(error),
        };
        let fault = |why: String| {
            Error::Run(format!(
                "{}: damaged ({why}); delete it, and the run is of unrecorded provenance",
                path.display()
            ))
        };
        let run: RunProvenance =
            serde_json::from_str(&text).map_err(|error| fault(excerpt(&error.to_string(), QUOTED)))?;
        match run.seconds.is_some_and(|seconds| seconds < 0.0) {
            true => Err(fault("a duration below 0".into())),
            false => Ok(Some(RunProvenance { training: run.training.bounded(), ..run })),
        }
    }

    /// Writes the file of a run.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn write(&self, run: &Layout) -> Result<()> {
        write_json(&run.provenance(), self)
    }

    /// The beginning for a person: `2026-01-31 13:45:00 UTC`.
    pub fn began_in_words(&self) -> String {
        let began = self.began.map(|time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
        began.unwrap_or("not recorded".into())
    }

    /// The duration for a person, in units of its size.
    pub fn duration_in_words(&self) -> String {
        let Some(seconds) = self.seconds else { return "not recorded".into() };
        let whole = seconds.round() as u64;
        match whole {
            0..60 => format!("{seconds:.1} s"),
            60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
            _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
        }
    }
}

/// The provenance of a run that is training, with a clock.
#[derive(Debug)]
pub struct RunClock {
    before: RunProvenance,
    since: Instant,
}

impl RunClock {
    /// Starts the clock. `before` is the provenance when training begins or is resumed.
    pub fn start(before: RunProvenance) -> Self {
        RunClock { before, since: Instant::now() }
    }

    /// Writes the provenance, with the time until now, into the run's folder.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn write(&self, run: &Layout) -> Result<()> {
        let seconds = self.before.seconds.map(|before| {
            let seconds = before + self.since.elapsed().as_secs_f64();
            (seconds * 1000.0).round() / 1000.0
        });
        RunProvenance { seconds, ..self.before.clone() }.write(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::provenance::{DataSet, Start, Text};
    use std::time::Duration;

    #[test]
    fn a_run_s_provenance_is_read_as_it_was_written_and_the_clock_adds_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let run = Layout::of(folder.path());
        assert_eq!(RunProvenance::read(&run).unwrap(), None);
        let begun = RunProvenance::begin(Training::new(Start::Random, DataSet::default(), "cpu"));
        RunClock::start(begun.clone()).write(&run).unwrap();
        let text = std::fs::read_to_string(run.provenance()).unwrap();
        assert!(text.contains("\"start\": \"random\"") && text.contains("Z\",\n  \"seconds\": 0"), "{text}");
        let first = RunProvenance::read(&run).unwrap().unwrap();
        assert_eq!((&first.training, first.began), (&begun.training, begun.began));
        let clock = RunClock::start(RunProvenance { seconds: Some(100.0), ..first });
        std::thread::sleep(Duration::from_millis(20));
        clock.write(&run).unwrap();
        let seconds = RunProvenance::read(&run).unwrap().unwrap().seconds.unwrap();
        assert!((100.02..130.0).contains(&seconds), "{seconds}");
        // What an earlier version did not record stays unknown.
        RunClock::start(RunProvenance::default()).write(&run).unwrap();
        assert_eq!(RunProvenance::read(&run).unwrap(), Some(RunProvenance::default()));
    }

    #[test]
    fn a_damaged_file_is_named_with_the_fix() {
        let folder = tempfile::tempdir().unwrap();
        let run = Layout::of(folder.path());
        for text in [
            "",
            "[",
            r#"{"began":"yesterday"}"#,
            r#"{"seconds":-1}"#,
            r#"{"start":1}"#,
            r#"{"seconds":1e999}"#,
        ] {
            std::fs::write(run.provenance(), text).unwrap();
            let error = RunProvenance::read(&run).unwrap_err().line();
            assert!(
                error.contains("provenance.json: damaged") && error.contains("delete it"),
                "{text}: {error}"
            );
        }
        let long = format!(r#"{{"version":"{}"}}"#, "\\u001b".repeat(1000));
        std::fs::write(run.provenance(), long).unwrap();
        let version = RunProvenance::read(&run).unwrap().unwrap().training.version.unwrap();
        assert_eq!(version, Text::new(&"\u{1b}".repeat(1000)));
        std::fs::write(run.provenance(), vec![b' '; 2 << 20]).unwrap();
        assert!(RunProvenance::read(&run).unwrap_err().line().contains("larger than 1 MiB"));
    }

    #[test]
    fn times_in_words() {
        let at = |seconds| {
            RunProvenance { seconds: Some(seconds), ..RunProvenance::default() }.duration_in_words()
        };
        assert_eq!(at(0.04), "0.0 s");
        assert_eq!(at(59.6), "1 min 00 s");
        assert_eq!(at(3599.4), "59 min 59 s");
        assert_eq!(at(90_061.0), "25 h 01 min");
        let began = Some(Timestamp::from_second(951_782_399).unwrap());
        let run = RunProvenance { began, ..RunProvenance::default() };
        assert_eq!(run.began_in_words(), "2000-02-28 23:59:59 UTC");
        assert_eq!(run.duration_in_words(), "not recorded");
    }
}

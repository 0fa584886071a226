//! The reader of `metrics.jsonl`.

use super::StepMetrics;
use crate::{Error, Result, files};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes of the longest line that is read. The longest line that is written has about 300 bytes.
const LONGEST_LINE: u64 = 4096;
/// The largest number of steps that are read: each takes 136 bytes of memory.
const MAX_STEPS: usize = 2_000_000;

/// Number of steps by which the memory grows.
const PORTION: usize = 1 << 16;

/// The next part of the file.
pub(super) enum Line {
    /// A line that training wrote.
    Step(StepMetrics),
    /// Another line.
    Foreign,
    /// A line that is longer than any line that is written.
    TooLong,
    /// The end of the file, or an unfinished last line: the run continues, or was killed.
    End,
}

/// The lines of the file, one after the other.
pub(super) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    number: usize,
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    pub fn new(reader: R) -> Self {
        Lines { reader, line: Vec::new(), number: 0, bytes: 0 }
    }

    /// Reads a line.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn read_next(&mut self) -> io::Result<Line> {
        self.line.clear();
        self.reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut self.line)?;
        self.number += 1;
        self.bytes += self.line.len() as u64;
        Ok(match serde_json::from_slice(&self.line) {
            _ if !self.line.ends_with(b"\n") => match self.line.len() as u64 {
                LONGEST_LINE => Line::TooLong,
                _ => Line::End,
            },
            Ok(step) => Line::Step(step),
            Err(_) => Line::Foreign,
        })
    }

    /// The number of the last line that was read, from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The number of bytes of all lines that were read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Reads the steps of a run, in ascending order and at least one. An unfinished last line (the run continues, or was
/// killed) is left out.
///
/// # Errors
/// A missing or empty file; the first line that training did not write.
pub fn read(path: &Path) -> Result<Vec<StepMetrics>> {
    let file = files::open(path).map_err(|e| match e.is_missing_file() {
        true => Error::Run(format!(
            "{}: missing; a run writes it from its first step on (bcreid train)",
            path.display()
        )),
        false => e,
    })?;
    let mut lines = Lines::new(BufReader::with_capacity(1 << 16, file));
    let mut steps: Vec<StepMetrics> = Vec::new();
    let fault = loop {
        match lines.read_next().map_err(Error::io(path))? {
            Line::End => break None,
            Line::TooLong => break Some("is longer than any that training writes; is this a run's folder?"),
            Line::Foreign => {
                break Some("is not a step that training wrote; a run's metrics are never edited");
            }
            Line::Step(step) if steps.last().is_some_and(|last| last.step >= step.step) => {
                break Some("goes back to an earlier step; a run's metrics are never edited");
            }
            Line::Step(_) if steps.len() == MAX_STEPS => {
                break Some("is the 2,000,001st step; so many are not read");
            }
            Line::Step(step) => {
                if steps.len() == steps.capacity() {
                    // In small portions, because doubling would take twice the memory.
                    steps.try_reserve_exact(PORTION).map_err(|e| Error::io(path)(e.into()))?;
                }
                steps.push(step);
            }
        }
    };
    if let Some(fault) = fault {
        return Err(Error::Run(format!("{}: line {} {fault}", path.display(), lines.number())));
    }
    if steps.is_empty() {
        return Err(Error::Run(format!(
            "{}: no step in it yet; train first, or give the run time for its first line",
            path.display()
        )));
    }
    Ok(steps)
}

/// The last step of a run, without reading those before; `None` if its last complete line is no step.
///
/// # Errors
/// A missing file; errors of the file system.
pub fn read_last(path: &Path) -> Result<Option<StepMetrics>> {
    let mut file = files::open(path)?;
    let read = |file: &mut std::fs::File| -> io::Result<Vec<u8>> {
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(end.saturating_sub(2 * LONGEST_LINE)))?;
        let mut tail = Vec::new();
        file.take(2 * LONGEST_LINE).read_to_end(&mut tail)?;
        Ok(tail)
    };
    let tail = read(&mut file).map_err(Error::io(path))?;
    let complete = tail.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |end| &tail[..end]);
    let begin = complete.iter().rposition(|byte| *byte == b'\n').map_or(0, |before| before + 1);
    Ok(serde_json::from_slice(&complete[begin..]).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<StepMetrics>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn the_last_step_is_that_of_the_last_complete_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let many: String = (0..2000).map(|step| format!("{{\"step\":{step},\"loss\":1.5}}\n")).collect();
        for (text, last) in [
            (many.clone(), Some(1999)),
            (many + "{\"step\":2000,\"lo", Some(1999)),
            ("{\"step\":0}\n".into(), Some(0)),
            ("{\"step\":0}".into(), None),
            ("foreign\n".into(), None),
            (String::new(), None),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_last(&path).unwrap().map(|step| step.step), last);
        }
    }

    #[test]
    fn what_training_writes() {
        let steps = read_text(concat!(
            "{\"step\":0,\"loss\":1.5,\"intra\":null,\"inter\":0.5}\n",
            "{\"step\":1,\"loss\":null,\"of_tomorrow\":[1]}\n",
            "{\"step\":2,\"lo"
        ))
        .unwrap();
        assert_eq!(steps.len(), 2);
        assert_eq!((steps[0].loss, steps[0].intra, steps[0].inter), (Some(1.5), None, Some(0.5)));
        assert_eq!(steps[1], StepMetrics { step: 1, ..StepMetrics::default() });
    }

    #[test]
    fn what_it_does_not_write_is_named_with_its_line() {
        for (text, words) in [
            ("", "no step in it yet"),
            ("{\"step\":0", "no step in it yet"),
            ("{\"step\":0}\n{\"loss\":1}\n", "line 2 is not a step"),
            ("{\"step\":0}\n\n", "line 2 is not a step"),
            ("{\"step\":0}\n\u{0}\u{1}\n", "line 2 is not a step"),
            ("{\"step\":3}\n{\"step\":3}\n", "line 2 goes back"),
            ("{\"step\":-1}\n", "line 1 is not a step"),
            ("{\"step\":0,\"loss\":1e300}\n", "line 1 is not a step"),
        ] {
            let error = read_text(text).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains('\n'), "{text:?}: {error}");
        }
        let long = format!("{{\"step\":0}}\n{}", "x".repeat(9000));
        assert!(read_text(&long).unwrap_err().to_string().contains("line 2 is longer"));
        assert!(read(Path::new("nowhere/metrics.jsonl")).unwrap_err().to_string().contains("bcreid train"));
    }
}

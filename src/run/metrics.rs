//! `metrics.jsonl`: one line of JSON a step, the source of every curve.

use crate::files;
use crate::ops::batch_contrastive::Term;
use crate::{Error, Result, tell};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes of the longest line that is read; the longest that is written has about 300.
pub const LONGEST_LINE: u64 = 4096;

/// What is written down of one step. Distances are of the paper's figure 1: un-squared, between normalised
/// features of the batch; `null` where the batch has no such pair.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The step, from 0.
    pub step: u64,
    /// L = L_s + lambda (L_b + L_c), equation (9).
    pub loss: f32,
    /// L_s, equation (2).
    pub softmax: f32,
    /// The first sum of L_b, equation (3): pairs of one identity.
    pub positive: f32,
    /// The hinge of L_b, equation (3).
    pub hinge: f32,
    /// L_c, equation (4).
    pub center: f32,
    /// Learning rate of the weights.
    pub rate: f32,
    /// Weight of the batch-contrastive loss.
    pub lambda: f32,
    /// Mean distance between images of one identity.
    pub intra: Option<f32>,
    /// Mean distance between images of different identities.
    pub inter: Option<f32>,
    /// Smallest distance between images of different identities.
    pub inter_min: Option<f32>,
}

impl Line {
    /// From the values read back from the device; `terms` is indexed by [`Term`].
    pub fn new(step: u64, rate: f32, lambda: f32, softmax: f32, terms: &[f32]) -> Self {
        let term = |term: Term| terms[term as usize];
        let present = |which: Term| Some(term(which)).filter(|v| v.is_finite());
        let (positive, hinge, center) = (term(Term::Positive), term(Term::Hinge), term(Term::Center));
        Line {
            step,
            loss: softmax + lambda * (positive + hinge + center),
            softmax,
            positive,
            hinge,
            center,
            rate,
            lambda,
            intra: present(Term::IntraMean),
            inter: present(Term::InterMean),
            inter_min: present(Term::InterMin),
        }
    }

    /// The first loss that is NaN or infinite, by name.
    pub fn not_finite(&self) -> Option<(&'static str, f32)> {
        [
            ("softmax loss", self.softmax),
            ("batch loss", self.positive + self.hinge),
            ("center loss", self.center),
            ("total loss", self.loss),
        ]
        .into_iter()
        .find(|(_, value)| !value.is_finite())
    }
}

/// Reads a line with its end, up to [`LONGEST_LINE`]. How many bytes it has; none at the end of the file.
///
/// # Errors
/// What the file system says.
pub fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    line.clear();
    reader.take(LONGEST_LINE).read_until(b'\n', line)
}

/// The step of a line. Its other values may be absent or null.
#[derive(Deserialize)]
pub(super) struct Numbered {
    pub step: u64,
}

/// Appends lines; flushed by [`Log::flush`].
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Log {
    /// Opens the file to go on at `step`: lines of later steps, and a last line cut short by a crash, are
    /// dropped, so that a resumed run leaves the same file as an undisturbed one.
    ///
    /// # Errors
    /// What the file system says; a line before `step` that training did not write, because what follows it would be
    /// dropped too.
    pub fn continue_at(path: &Path, step: u64) -> Result<Self> {
        if path.exists() {
            files::open(path)?;
        }
        let file = files::open_or_make(path)?;
        let (mut keep, mut number, mut reached) = (0, 0, 0);
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        // What comes behind is dropped, whatever it is: a power cut may leave anything there.
        while reached < step && read_line(&mut reader, &mut line).map_err(Error::io(path))? > 0 {
            number += 1;
            let cut_short = !line.ends_with(b"\n") && (line.len() as u64) < LONGEST_LINE;
            match serde_json::from_slice::<Numbered>(&line) {
                _ if cut_short => break,
                Ok(parsed) if parsed.step < step => {
                    keep += line.len() as u64;
                    reached = parsed.step + 1;
                }
                Ok(_) => break,
                Err(_) => {
                    return Err(Error::Run(format!(
                        "{}: line {number} is not a step that training wrote; put the file back as it was, or move it \
                         away to go on with a new one",
                        path.display()
                    )));
                }
            }
        }
        if reached < step {
            tell!(
                "{}: ends at step {reached}, and the run goes on at {step}: its curves will have a gap",
                path.display()
            );
        }
        file.set_len(keep).map_err(Error::io(path))?;
        let file = OpenOptions::new().append(true).open(path).map_err(Error::io(path))?;
        Ok(Log { path: path.to_path_buf(), file: BufWriter::new(file) })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&mut self, line: &Line) -> Result<()> {
        serde_json::to_writer(&mut self.file, line)
            .map_err(io::Error::from)
            .and_then(|()| self.file.write_all(b"\n"))
            .map_err(Error::io(&self.path))
    }

    /// Brings all lines to the disk, so that no checkpoint is newer than its metrics.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sync(&mut self) -> Result<()> {
        self.flush()?;
        self.file.get_ref().sync_data().map_err(Error::io(&self.path))
    }

    /// Hands all lines to the operating system.
    ///
    /// # Errors
    /// What the file system says.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64) -> Line {
        Line {
            step,
            loss: 1.5,
            softmax: 1.0,
            positive: 0.1,
            hinge: 0.3,
            center: 0.1,
            rate: 0.01,
            lambda: 1.0,
            intra: None,
            inter: Some(0.5),
            inter_min: Some(0.25),
        }
    }

    #[test]
    fn a_resumed_log_is_the_undisturbed_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let write = |from: u64, to: u64| {
            let mut log = Log::continue_at(&path, from).unwrap();
            (from..to).for_each(|step| log.write(&line(step)).unwrap());
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
        // Damage behind the step is dropped with all that is there.
        let behind = undisturbed.replacen("\"step\":7", "\"stfp\":7", 1) + &"\0".repeat(5000);
        std::fs::write(&path, behind).unwrap();
        write(6, 10);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), undisturbed);
        std::fs::write(&path, "\0".repeat(5000)).unwrap();
        write(0, 10);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), undisturbed);
        assert_eq!(serde_json::from_str::<Line>(undisturbed.lines().nth(3).unwrap()).unwrap(), line(3));
    }
}

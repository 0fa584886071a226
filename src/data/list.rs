//! Image lists in CSV, for data sets in other layouts.
//!
//! The first line is the header `path,pid,camid`, in any order; `camid` may be absent, or empty on all lines;
//! other columns are ignored. Paths are relative to the list's folder. A pid is a whole number from 0, or -1 for junk.
//! The list's order is kept.

use super::Sample;
use crate::console::counted;
use crate::files::{self, MIB};
use crate::{Error, Result};
use std::path::Path;

/// Largest list that is read, in bytes: room for a million images. Reading one takes up to three times its length.
pub(crate) const LARGEST: u64 = 96 * MIB;

/// Longest line and longest record, in bytes: a path has at most 4,096.
const LONGEST: usize = 16 << 10;

/// Reads one list.
///
/// # Errors
/// An error that names the file and the line: a header without `path` or `pid`, an invalid number, a missing image, a
/// line with another number of fields, a line without a camid where others have one; a list without images.
pub fn read(file: &Path) -> Result<Vec<Sample>> {
    let text = files::read(file, LARGEST)?;
    // Spreadsheet programs begin a file with a byte order mark.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    require_lines(file, text)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
    let header = reader.headers().map_err(|e| fault(file, text, &e))?.clone();
    let column = |name: &str| header.iter().position(|field| field == name);
    let (Some(path), Some(pid)) = (column("path"), column("pid")) else {
        return Err(Error::Data(format!(
            "{} line 1: found {:?}; write the header path,pid,camid (camid may be left out)",
            file.display(),
            header.iter().collect::<Vec<_>>().join(","),
        )));
    };
    let camid = column("camid");
    let mut samples = Vec::new();
    let mut without_camid = None;
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| fault(file, text, &e))? {
        require_short(file, text, &record)?;
        let error = |what: String| {
            let line = line(text, record.position());
            Error::Data(format!("{} line {line}: {what}", file.display()))
        };
        let number = |column: usize, name: &str, least: i64| match record[column].parse::<i64>() {
            Ok(n) if n >= least => Ok(n),
            _ => Err(error(format!("{name} {:?}; give a whole number, {least} or larger", &record[column]))),
        };
        let image = folder.join(&record[path]);
        if !image.is_file() {
            return Err(error(format!(
                "{}: no such image; give its path relative to the list's folder",
                image.display()
            )));
        }
        let camid = camid.filter(|&c| !record[c].is_empty()).map(|c| number(c, "camid", 0)).transpose()?;
        if camid.is_none() {
            without_camid
                .get_or_insert_with(|| error("no camid, but other lines have one; give all or none".into()));
        }
        samples.push(Sample { path: image, pid: number(pid, "pid", -1)?, camid });
    }
    // A feature file holds the cameras of all its images or of none: checked here, before the extraction.
    if let Some(error) = without_camid
        && samples.iter().any(|s: &Sample| s.camid.is_some())
    {
        return Err(error);
    }
    if samples.is_empty() {
        return Err(Error::Data(format!(
            "{}: the list names no image; add a line for each image",
            file.display()
        )));
    }
    Ok(samples)
}

/// Checks that a text consists of lines: a file of zeros would be one field of its whole length.
pub(crate) fn require_lines(file: &Path, text: &[u8]) -> Result<()> {
    match text.split(|&byte| byte == b'\n').position(|line| line.len() > LONGEST) {
        None => Ok(()),
        Some(line) => Err(long(file, line + 1)),
    }
}

/// Checks that a record is not long: a quotation mark without a partner joins all lines behind it.
pub(crate) fn require_short(file: &Path, text: &[u8], record: &csv::StringRecord) -> Result<()> {
    match record.as_byte_record().as_slice().len() > LONGEST {
        true => Err(long(file, line(text, record.position()))),
        false => Ok(()),
    }
}

fn long(file: &Path, line: usize) -> Error {
    Error::Data(format!(
        "{} line {line}: longer than {LONGEST} bytes; is this a list, and does each quotation mark have its partner?",
        file.display()
    ))
}

/// The error of the CSV reader on one line, with the file and the line number.
pub(crate) fn fault(file: &Path, text: &[u8], error: &csv::Error) -> Error {
    let line = line(text, error.position());
    let what = match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "not valid UTF-8; save the list as UTF-8".to_string(),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            let fields = counted(*len, "field");
            format!("{fields}, but the header has {expected_len}; quote fields that hold a comma")
        }
        _ => error.to_string(),
    };
    Error::Data(format!("{} line {line}: {what}", file.display()))
}

/// The line number of a record, computed from its byte position: the reader's own count points to the end of the
/// previous record and so misses blank lines.
pub(crate) fn line(text: &[u8], position: Option<&csv::Position>) -> usize {
    let start = position.map_or(0, |p| p.byte() as usize).min(text.len());
    let blank = text[start..].iter().take_while(|b| b"\r\n".contains(b)).count();
    1 + text[..start + blank].iter().filter(|&&b| b == b'\n').count()
}

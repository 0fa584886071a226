//! Image lists in CSV, for data sets in other layouts.
//!
//! The first line is the header `path,pid,camid`, in any order and in any case; `camid` may be absent, or empty on all
//! lines; other columns are ignored. Fields are separated by commas, semicolons or tabs. Paths are relative to the list's
//! folder. A pid is a whole number from 0, -1 for junk, or a name; a camid is a whole number from 0 or a name
//! ([`super::Labels`]). The list's order is kept.

use super::labelled::{self, Labelled};
use crate::console::counted;
use crate::error::excerpt;
use crate::files::{self, MIB};
use crate::{Error, Result};
use std::path::Path;

/// The lists of the training, query and gallery images.
pub const LISTS: [&str; 3] = ["train.csv", "query.csv", "gallery.csv"];

/// Largest list that is read, in bytes: room for a million images.
pub(crate) const LARGEST: u64 = 96 * MIB;

/// Most images of a list: beside its text, an image takes some 200 bytes.
const MAX_IMAGES: usize = 1_000_000;

/// Longest line and longest record, in bytes: a path has at most 4,096.
const LONGEST: usize = 16 << 10;

/// Separators of fields, the first that gives the needed columns.
const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];

/// Reads one list.
///
/// # Errors
/// An error that names the file and the line: a header without `path` or `pid`, a number out of range, a long name, a
/// missing image, a line with another number of fields or another separator, a line without a camid where others have
/// one; a list without images.
pub(super) fn read(file: &Path) -> Result<Vec<Labelled>> {
    let text = files::read(file, LARGEST)?;
    // Spreadsheet programs begin a file with a byte order mark.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    require_records(file, text)?;
    require_few(file, text)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut reader = reader(text, csv::Trim::All, &["path", "pid"]);
    let header = Header::of(&mut reader, file, text)?;
    let (Some(path), Some(pid)) = (header.column("path")?, header.column("pid")?) else {
        return Err(header.error("write the header path,pid,camid (camid may be left out)"));
    };
    let camid = header.column("camid")?;
    let mut images = Vec::new();
    let mut without_camid = None;
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| fault(file, text, &e))? {
        let error = |what: String| {
            let line = line(text, record.position());
            Error::Data(format!("{} line {line}: {what}", file.display()))
        };
        let label = |column: usize, name: &str, least: i64| {
            let value = &record[column];
            match value.parse::<i64>() {
                Ok(number) if number < least => {
                    Err(error(format!("{name} {value:?}; give a whole number, {least} or larger, or a name")))
                }
                Err(_) if value.is_empty() => Err(error(format!("no {name}; give a whole number or a name"))),
                Err(_) if value.len() > labelled::LONGEST => Err(error(format!(
                    "{name} \"{}\" has {}, and a name has at most {}",
                    excerpt(value, 20),
                    counted(value.len(), "byte"),
                    labelled::LONGEST
                ))),
                _ => Ok(labelled::composed(value)),
            }
        };
        if record[path].is_empty() {
            return Err(error("no path; give that of the image, relative to the list's folder".into()));
        }
        let image = folder.join(&record[path]);
        if !image.is_file() {
            return Err(error(no_image(
                folder,
                &record[path],
                "give its path relative to the list's folder",
            )));
        }
        let camid = camid.filter(|&c| !record[c].is_empty()).map(|c| label(c, "camid", 0)).transpose()?;
        if camid.is_none() {
            without_camid
                .get_or_insert_with(|| error("no camid, but other lines have one; give all or none".into()));
        }
        let line = Some(line(text, record.position()));
        images.push(Labelled { path: image, pid: label(pid, "pid", -1)?, camid, line });
    }
    // A feature file holds the cameras of all its images or of none: checked here, before the extraction.
    if let Some(error) = without_camid
        && images.iter().any(|image: &Labelled| image.camid.is_some())
    {
        return Err(error);
    }
    if images.is_empty() {
        return Err(Error::Data(format!(
            "{}: the list names no image; add a line for each image",
            file.display()
        )));
    }
    Ok(images)
}

/// An error about a path of a list that leads to no image; `fix` is the advice for a path without a known fault.
pub(super) fn no_image(folder: &Path, name: &str, fix: &str) -> String {
    let path = folder.join(name);
    let what = match path.is_dir() {
        true => "a folder, and a list names images",
        false => "no such image",
    };
    let fix = match name.contains('\\') && !cfg!(windows) {
        true => format!(
            "the path is written with backslashes, as on Windows; write {}",
            excerpt(&name.replace('\\', "/"), 200)
        ),
        false => fix.into(),
    };
    format!("{}: {what}; {fix}", path.display())
}

/// A reader of the text whose separator is the first that gives all `needed` columns; a comma if none does.
pub(crate) fn reader<'a>(text: &'a [u8], trim: csv::Trim, needed: &[&str]) -> csv::Reader<&'a [u8]> {
    let with = |separator: u8| csv::ReaderBuilder::new().trim(trim).delimiter(separator).from_reader(text);
    let gives_all = |separator: &u8| {
        let mut reader = with(*separator);
        let header = reader.headers();
        header.is_ok_and(|header| needed.iter().all(|name| header.iter().any(|field| is_called(field, name))))
    };
    with(SEPARATORS.into_iter().find(gives_all).unwrap_or(SEPARATORS[0]))
}

fn is_called(field: &str, name: &str) -> bool {
    field.trim().eq_ignore_ascii_case(name)
}

/// The header of a list.
pub(crate) struct Header<'a> {
    file: &'a Path,
    fields: csv::StringRecord,
}

impl<'a> Header<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// A header that is not UTF-8.
    pub fn of(reader: &mut csv::Reader<&[u8]>, file: &'a Path, text: &[u8]) -> Result<Self> {
        let fields = reader.headers().map_err(|e| fault(file, text, &e))?.clone();
        Ok(Header { file, fields })
    }

    /// The index of a column, whatever the case of its name; `None` without it.
    ///
    /// # Errors
    /// Two columns of this name.
    pub fn column(&self, name: &str) -> Result<Option<usize>> {
        let mut columns = self.fields.iter().enumerate().filter(|(_, field)| is_called(field, name));
        let first = columns.next().map(|(column, _)| column);
        match columns.next() {
            None => Ok(first),
            Some(_) => Err(self.error(&format!("two columns are called {name}; leave one"))),
        }
    }

    /// The names of all columns.
    pub fn fields(&self) -> impl Iterator<Item = String> {
        self.fields.iter().map(|field| field.trim().to_string())
    }

    /// An error about the header.
    pub fn error(&self, fix: &str) -> Error {
        Error::Data(format!(
            "{} line 1: found \"{}\"; {fix}",
            self.file.display(),
            excerpt(&self.fields.iter().collect::<Vec<_>>().join(","), 200),
        ))
    }
}

/// Checks that a text consists of lines: a file of zeros would be one field of its whole length.
pub(crate) fn require_lines(file: &Path, text: &[u8]) -> Result<()> {
    match text.split(|&byte| byte == b'\n').position(|line| line.len() > LONGEST) {
        None => Ok(()),
        Some(line) => Err(long(file, line + 1)),
    }
}

/// Checks, before the CSV is parsed, that no record is long: a quotation mark without a partner joins all lines behind
/// it, and each of their fields would take memory.
pub(crate) fn require_records(file: &Path, text: &[u8]) -> Result<()> {
    // A field may be quoted from its first byte on; inside, two marks are one.
    let (mut quoted, mut begins_field) = (false, true);
    let (mut line, mut first_line, mut length) = (1, 1, 0);
    for byte in text {
        length += 1;
        if length > LONGEST {
            return Err(long(file, first_line));
        }
        match byte {
            b'"' if quoted || begins_field => (quoted, begins_field) = (!quoted, !quoted && begins_field),
            b'\n' => {
                line += 1;
                begins_field = true;
                if !quoted {
                    (first_line, length) = (line, 0);
                }
            }
            byte => begins_field = SEPARATORS.contains(byte) || *byte == b'\r',
        }
    }
    Ok(())
}

/// Checks that a list has at most a million lines; the last one may have no end.
pub(super) fn require_few(file: &Path, text: &[u8]) -> Result<()> {
    match text.iter().filter(|byte| **byte == b'\n').count() > MAX_IMAGES + 1 {
        true => Err(Error::Data(format!(
            "{}: a list names at most {MAX_IMAGES} images; split the data set",
            file.display()
        ))),
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
            other_separator(text, line, *expected_len).unwrap_or_else(|| {
                format!("{fields}, but the header has {expected_len}; quote fields that hold a separator")
            })
        }
        _ => error.to_string(),
    };
    Error::Data(format!("{} line {line}: {what}", file.display()))
}

/// The fault of a line whose fields are separated by another character than the header's; `None` if it is another
/// fault.
fn other_separator(text: &[u8], line: usize, fields: u64) -> Option<String> {
    let header = text.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty())?;
    let own = text.split(|&byte| byte == b'\n').nth(line - 1)?;
    let fields_by =
        |line: &[u8], separator: u8| 1 + line.iter().filter(|&&byte| byte == separator).count() as u64;
    let of_header = SEPARATORS.into_iter().find(|&separator| fields_by(header, separator) == fields)?;
    let other =
        SEPARATORS.into_iter().find(|&other| other != of_header && fields_by(own, other) == fields)?;
    let name = |separator: u8| match separator {
        b',' => "commas",
        b';' => "semicolons",
        _ => "tabs",
    };
    Some(format!(
        "its fields are separated by {}, and those of the header by {}; use one separator in all lines",
        name(other),
        name(of_header)
    ))
}

/// The line number of a record, computed from its byte position: the reader's own count points to the end of the
/// previous record and so misses blank lines.
pub(crate) fn line(text: &[u8], position: Option<&csv::Position>) -> usize {
    let start = position.map_or(0, |p| p.byte() as usize).min(text.len());
    let blank = text[start..].iter().take_while(|b| b"\r\n".contains(b)).count();
    1 + text[..start + blank].iter().filter(|&&b| b == b'\n').count()
}

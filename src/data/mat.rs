//! Matrices in MATLAB's files of level 5 (version 6 and 7 of MATLAB), in which MARS has its lists.
//!
//! Source: "MAT-File Format", The MathWorks, chapter 1. A file is a header of 128 bytes and a sequence of elements: a type,
//! a number of bytes, the bytes, padded to 8. A matrix is an element of sub-elements: flags, dimensions, name, numbers.
//! Either the matrix or a zlib stream that holds it stands in the file. Numbers are stored in the smallest type that holds
//! them, column by column.
//!
//! Only full, real matrices of numbers are read. The crate `mat5` inflates a stream without a bound and may panic on
//! a faulty file; `matfile` calls itself alpha.

use crate::error::excerpt;
use crate::files::{self, MIB};
use crate::{Error, Result};
use flate2::read::ZlibDecoder;
use std::io::Read;
use std::path::Path;

/// Largest file, and largest inflated matrix, in bytes: those of MARS have 400 KB.
const LARGEST: u64 = 16 * MIB;
/// Bytes of the header of a file.
const HEADER: usize = 128;

/// Most values of a matrix; the longest of MARS has 48,720.
const MOST_VALUES: usize = 1 << 20;

/// Types of elements.
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// A matrix of numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Matrix {
    pub rows: usize,
    pub columns: usize,
    /// Column by column.
    values: Vec<f64>,
}

impl Matrix {
    /// A row of whole numbers; `None` if one is none.
    pub fn row(&self, row: usize) -> Option<Vec<i64>> {
        (0..self.columns).map(|column| whole(self.values[column * self.rows + row])).collect()
    }

    /// All values as whole numbers; `None` if one is none.
    pub fn all(&self) -> Option<Vec<i64>> {
        self.values.iter().copied().map(whole).collect()
    }
}

fn whole(value: f64) -> Option<i64> {
    const LARGEST: f64 = 9e15;
    (value.fract() == 0.0 && value.abs() < LARGEST).then_some(value as i64)
}

/// Reads the only matrix of a file, or the one called `name` of several.
///
/// # Errors
/// A file that is missing, too large, damaged, of another format, or without the matrix.
pub(super) fn read(file: &Path, name: &str) -> Result<Matrix> {
    let bytes = files::read(file, LARGEST)?;
    let what = match matrices(&bytes) {
        Ok(found) => {
            let only = found.len() == 1;
            let names: Vec<String> = found.iter().map(|(name, _)| excerpt(name, 40)).collect();
            match found.into_iter().find(|(found, _)| only || found == name) {
                Some((_, matrix)) => return Ok(matrix),
                None => format!("no matrix {name:?}; found {}", names.join(", ")),
            }
        }
        Err(what) => what,
    };
    Err(Error::Data(format!(
        "{}: {what}; save it in MATLAB's format of version 7, or unpack it again",
        file.display()
    )))
}

type Parsed<T> = std::result::Result<T, String>;

/// The matrices of a file with their names.
fn matrices(bytes: &[u8]) -> Parsed<Vec<(String, Matrix)>> {
    /// Largest number of matrices.
    const MOST: usize = 64;
    if bytes.starts_with(b"MATLAB 7.3") || bytes.starts_with(b"\x89HDF") {
        return Err("a MATLAB file of version 7.3 (HDF5)".into());
    }
    let little = match bytes.get(HEADER - 2..HEADER) {
        Some(b"IM") => true,
        Some(b"MI") => false,
        _ => return Err("not a MATLAB file of level 5".into()),
    };
    let mut elements = Elements { bytes: &bytes[HEADER..], little };
    let mut found = Vec::new();
    let mut left = LARGEST;
    while !elements.bytes.is_empty() {
        if found.len() == MOST {
            return Err(format!("more than {MOST} variables"));
        }
        match elements.next()? {
            (MATRIX, bytes) => found.extend(matrix(Elements { bytes, little })?),
            (COMPRESSED, stream) => {
                let mut bytes = Vec::new();
                let inflated = ZlibDecoder::new(stream).take(left + 1).read_to_end(&mut bytes);
                inflated.map_err(|e| format!("damaged: {e}"))?;
                left = left
                    .checked_sub(bytes.len() as u64)
                    .ok_or_else(|| format!("its variables have more than {} MiB", LARGEST / MIB))?;
                if let (MATRIX, bytes) = sub_element(&bytes, little)? {
                    found.extend(matrix(Elements { bytes, little })?);
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// A sequence of elements.
struct Elements<'a> {
    bytes: &'a [u8],
    /// The byte order.
    little: bool,
}

impl<'a> Elements<'a> {
    /// The type and the bytes of the next element.
    fn next(&mut self) -> Parsed<(u32, &'a [u8])> {
        let first = self.word(0)?;
        // An element of at most 4 bytes has its length in the upper half of its type.
        let small = (first >> 16) as usize;
        let (kind, start, length): (u32, usize, usize) = match small {
            0 => (first, 8, self.word(4)? as usize),
            1..=4 => (first & 0xffff, 4, small),
            _ => return Err(format!("damaged: a short element of {small} bytes")),
        };
        let end = start.checked_add(length).filter(|end| *end <= self.bytes.len()).ok_or("cut short")?;
        let content = &self.bytes[start..end];
        let padded = match (small, kind) {
            (0, COMPRESSED) => end,
            (0, _) => end.next_multiple_of(8),
            _ => 8,
        };
        self.bytes = &self.bytes[padded.min(self.bytes.len())..];
        Ok((kind, content))
    }

    fn word(&self, at: usize) -> Parsed<u32> {
        let bytes = self.bytes.get(at..at + 4).ok_or("cut short")?;
        Ok(number(bytes, self.little) as u32)
    }
}

/// The first element of an inflated stream.
fn sub_element(bytes: &[u8], little: bool) -> Parsed<(u32, &[u8])> {
    Elements { bytes, little }.next()
}

/// An unsigned number of up to 8 bytes.
fn number(bytes: &[u8], little: bool) -> u64 {
    let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    if little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
}

/// A full, real matrix of numbers with its name; `None` for other variables.
fn matrix(mut elements: Elements<'_>) -> Parsed<Option<(String, Matrix)>> {
    /// The classes of full arrays of numbers, double to uint64.
    const NUMBERS: std::ops::RangeInclusive<u32> = 6..=15;
    const COMPLEX: u32 = 0x800;
    let little = elements.little;
    let (_, flags) = elements.next()?;
    let flags = number(flags.get(..4).ok_or("damaged: no flags")?, little) as u32;
    let (_, dimensions) = elements.next()?;
    let (_, name) = elements.next()?;
    let name = String::from_utf8_lossy(name).trim_end_matches('\0').to_string();
    let dimensions: Vec<usize> = dimensions.chunks_exact(4).map(|d| number(d, little) as usize).collect();
    let &[rows, columns] = &dimensions[..] else { return Ok(None) };
    if !NUMBERS.contains(&(flags & 0xff)) || flags & COMPLEX != 0 {
        return Ok(None);
    }
    let (kind, bytes) = elements.next()?;
    let values = values(kind, bytes, little)?;
    if rows.checked_mul(columns) != Some(values.len()) {
        return Err(format!(
            "damaged: {} has {rows} x {columns} values, and {} are stored",
            excerpt(&name, 40),
            values.len()
        ));
    }
    Ok(Some((name, Matrix { rows, columns, values })))
}

/// The stored numbers, by their type.
fn values(kind: u32, bytes: &[u8], little: bool) -> Parsed<Vec<f64>> {
    let width = match kind {
        1 | 2 => 1,
        3 | 4 => 2,
        5..=7 => 4,
        9 | 12 | 13 => 8,
        other => return Err(format!("damaged: numbers of the unknown type {other}")),
    };
    // A value of one byte takes eight in memory.
    if bytes.len() / width > MOST_VALUES {
        return Err(format!("a matrix of more than {MOST_VALUES} values"));
    }
    let value = |bytes: &[u8]| {
        let bits = number(bytes, little);
        match kind {
            1 => f64::from(bits as u8 as i8),
            3 => f64::from(bits as u16 as i16),
            5 => f64::from(bits as u32 as i32),
            7 => f64::from(f32::from_bits(bits as u32)),
            9 => f64::from_bits(bits),
            12 => bits as i64 as f64,
            _ => bits as f64,
        }
    };
    Ok(bytes.chunks_exact(width).map(value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of SciPy, written by `tests/golden/mat.py`.
    #[test]
    fn a_matrix_of_many_small_values_takes_no_memory() {
        let bytes = vec![0; MOST_VALUES + 1];
        assert!(values(2, &bytes, true).unwrap_err().contains("more than 1048576 values"));
        assert_eq!(values(2, &bytes[1..], true).unwrap().len(), MOST_VALUES);
    }

    #[test]
    fn matrices_of_scipy() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let rows = read(&golden.join("mat.mat"), "track_test_info").unwrap();
        assert_eq!((rows.rows, rows.columns), (3, 4));
        let all: Vec<_> = (0..3).map(|row| rows.row(row).unwrap()).collect();
        assert_eq!(all, [[1, 16, 1, 1], [17, 300, -1, 6], [301, 70_000, 1501, 2]]);
        // Of one matrix the name does not matter.
        assert_eq!(read(&golden.join("mat_packed.mat"), "other").unwrap().all().unwrap(), [1, 2, 70_000]);
    }

    #[test]
    fn both_byte_orders_and_all_types_of_numbers() {
        let stored = |kind: u32, bytes: &[u8]| values(kind, bytes, true).unwrap();
        assert_eq!(stored(1, &[0xff, 2]), [-1.0, 2.0]);
        assert_eq!(stored(2, &[0xff]), [255.0]);
        assert_eq!(stored(3, &(-300i16).to_le_bytes()), [-300.0]);
        assert_eq!(stored(4, &60_000u16.to_le_bytes()), [60_000.0]);
        assert_eq!(stored(5, &(-70_000i32).to_le_bytes()), [-70_000.0]);
        assert_eq!(stored(6, &u32::MAX.to_le_bytes()), [f64::from(u32::MAX)]);
        assert_eq!(stored(7, &0.5f32.to_le_bytes()), [0.5]);
        assert_eq!(stored(9, &(-0.1f64).to_le_bytes()), [-0.1]);
        assert_eq!(stored(12, &(-5i64).to_le_bytes()), [-5.0]);
        assert_eq!(stored(13, &7u64.to_le_bytes()), [7.0]);
        assert_eq!(values(9, &1.25f64.to_be_bytes(), false).unwrap(), [1.25]);
        assert!(values(8, &[0; 8], true).is_err());
    }
}

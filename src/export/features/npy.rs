//! NumPy's array files (`.npy`), limited to matrices.
//!
//! Six bytes of magic, a version, the length of a header, and the header: a Python dictionary of `descr` (the elements'
//! type), `fortran_order` and `shape`, padded so that the elements start at a multiple of 64 bytes. Source: the
//! module documentation of `numpy.lib.format`.

use crate::files::{self, write_atomically};
use crate::weights::Features;
use crate::{Error, Result};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Alignment of the elements in the file, in bytes.
const ALIGNMENT: usize = 64;
/// Longest header of version 1, in bytes; a matrix needs about a hundred.
const MAX_HEADER: usize = u16::MAX as usize;
/// Number of elements converted at a time.
const CHUNK: usize = 8192;

/// A two-dimensional array in C order, whose values are not read yet.
#[derive(Debug)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of values in a row.
    pub dim: usize,
    /// True for f64, false for f32.
    wide: bool,
    /// Behind the header.
    reader: BufReader<File>,
}

/// Writes features as f32 `[N, D]`.
pub fn write(features: &Features, path: &Path) -> Result<()> {
    write_matrix(features.features(), features.dim(), path)
}

/// Writes a matrix of rows of `dim` values as f32 in C order, version 1.0 of the format.
///
/// # Errors
/// As [`write_atomically`].
///
/// # Panics
/// If `dim` is 0.
pub fn write_matrix(values: &[f32], dim: usize, path: &Path) -> Result<()> {
    let rows = values.len() / dim;
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dim}), }}");
    let before = MAGIC.len() + 4;
    // The header ends in a newline.
    let padded = (before + header.len() + 1).next_multiple_of(ALIGNMENT) - before;
    header.extend(std::iter::repeat_n(' ', padded - header.len() - 1));
    header.push('\n');
    write_atomically(path, |writer| {
        writer.write_all(MAGIC)?;
        writer.write_all(&[1, 0])?;
        writer.write_all(&(header.len() as u16).to_le_bytes())?;
        writer.write_all(header.as_bytes())?;
        writer.write_all(bytemuck::cast_slice(values))
    })
}

/// Opens a file and reads its header, which must fit the file's length.
pub fn open(path: &Path) -> Result<Matrix> {
    let fault = |what: String| Error::weights(path, what);
    let file = files::open(path)?;
    let mut left = file.metadata().map_err(Error::io(path))?.len();
    let mut reader = BufReader::new(file);
    let Header { wide, rows, dim } = read_header(&mut reader, &mut left).map_err(fault)?;
    let width: usize = if wide { 8 } else { 4 };
    let bytes = rows.checked_mul(dim).and_then(|values| values.checked_mul(width)).map(|bytes| bytes as u64);
    if bytes != Some(left) {
        return Err(fault(format!(
            "its header announces a matrix of {rows} x {dim}, but {left} bytes follow it; was the file cut short?"
        )));
    }
    Ok(Matrix { rows, dim, wide, reader })
}

impl Matrix {
    /// Reads the values of all rows, in C order; f64 is rounded to f32. No more memory is allocated than the file is
    /// long.
    pub fn values(mut self, path: &Path) -> Result<Vec<f32>> {
        let count = self.rows * self.dim;
        let mut all = files::reserve(count, path.display())?;
        all.resize(count, 0.0);
        if self.wide {
            let mut doubles = [0.0f64; CHUNK];
            for values in all.chunks_mut(CHUNK) {
                let doubles = &mut doubles[..values.len()];
                self.reader.read_exact(bytemuck::cast_slice_mut(doubles)).map_err(Error::io(path))?;
                values.iter_mut().zip(doubles).for_each(|(value, double)| *value = *double as f32);
            }
        } else {
            self.reader.read_exact(bytemuck::cast_slice_mut(&mut all)).map_err(Error::io(path))?;
        }
        Ok(all)
    }
}

/// Header of a matrix.
#[derive(Debug, PartialEq)]
struct Header {
    /// True for f64, false for f32.
    wide: bool,
    rows: usize,
    dim: usize,
}

/// Reads everything before the elements, and subtracts its length from the bytes that are `left`.
fn read_header(reader: &mut impl Read, left: &mut u64) -> std::result::Result<Header, String> {
    let mut take = |count: usize| -> std::result::Result<Vec<u8>, String> {
        let mut bytes = vec![0; count];
        reader
            .read_exact(&mut bytes)
            .map_err(|_| "not a .npy file: it ends within its header".to_string())?;
        *left = left.saturating_sub(count as u64);
        Ok(bytes)
    };
    if take(MAGIC.len())? != MAGIC {
        return Err("not a .npy file (it does not start with \\x93NUMPY)".into());
    }
    let version = take(2)?;
    let length = match version[0] {
        1 => take(2)?.iter().rev().fold(0, |length, &byte| length << 8 | usize::from(byte)),
        2 | 3 => take(4)?.iter().rev().fold(0, |length, &byte| length << 8 | usize::from(byte)),
        other => return Err(format!("version {other}.{} of the .npy format is unknown", version[1])),
    };
    if length > MAX_HEADER {
        return Err(format!("its header has {length} bytes; a matrix's has at most {MAX_HEADER}"));
    }
    let header = String::from_utf8(take(length)?).map_err(|_| "its header is not text".to_string())?;
    Fields::read(&header)?.matrix()
}

/// The entries of a header.
#[derive(Default)]
struct Fields<'a> {
    descr: Option<&'a str>,
    fortran: Option<bool>,
    shape: Option<Vec<usize>>,
}

impl<'a> Fields<'a> {
    /// Parses the header's dictionary.
    fn read(header: &'a str) -> std::result::Result<Self, String> {
        let mut fields = Fields::default();
        let mut text = Text(header);
        let entries = |fields: &mut Self, text: &mut Text<'a>| -> Option<()> {
            text.expect("{")?;
            while text.expect("}").is_none() {
                let key = text.quoted()?;
                text.expect(":")?;
                match key {
                    "descr" => fields.descr.replace(text.quoted()?).is_none(),
                    "fortran_order" => fields.fortran.replace(text.boolean()?).is_none(),
                    "shape" => fields.shape.replace(text.tuple()?).is_none(),
                    _ => false,
                }
                .then_some(())?;
                // The comma after the last entry is optional.
                if text.expect(",").is_none() {
                    text.expect("}")?;
                    break;
                }
            }
            text.0.trim().is_empty().then_some(())
        };
        match entries(&mut fields, &mut text) {
            Some(()) => Ok(fields),
            None => {
                Err("its header is not that of a plain array; an array [N, D] of '<f4' or '<f8' is needed"
                    .into())
            }
        }
    }

    /// The matrix that the entries describe, if it can be read.
    fn matrix(self) -> std::result::Result<Header, String> {
        let (Some(descr), Some(fortran), Some(shape)) = (self.descr, self.fortran, self.shape) else {
            return Err("its header lacks descr, fortran_order or shape".into());
        };
        let wide = match descr {
            "<f4" => false,
            "<f8" => true,
            other => {
                return Err(format!(
                    "its elements are {:?}; '<f4' or '<f8' is needed: save array.astype('<f4')",
                    other.chars().take(40).collect::<String>()
                ));
            }
        };
        if fortran {
            return Err("its elements are in Fortran order; save numpy.ascontiguousarray(array)".into());
        }
        match shape[..] {
            [rows, dim] => Ok(Header { wide, rows, dim }),
            _ => Err(format!("its array is {}-dimensional; a matrix [N, D] is needed", shape.len())),
        }
    }
}

/// The part of a header that is not parsed yet.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    /// Consumes blanks and `word`, if it comes next.
    fn expect(&mut self, word: &str) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(word)?;
        Some(())
    }

    /// Parses a string in quotes of either kind; strings with escapes are refused.
    fn quoted(&mut self) -> Option<&'a str> {
        let quote = if self.expect("'").is_some() { '\'' } else { self.expect("\"").map(|()| '"')? };
        let (inside, rest) = self.0.split_once(quote)?;
        self.0 = rest;
        (!inside.contains('\\')).then_some(inside)
    }

    fn boolean(&mut self) -> Option<bool> {
        match self.expect("True") {
            Some(()) => Some(true),
            None => self.expect("False").map(|()| false),
        }
    }

    /// Parses sizes in parentheses; more than 32 sizes, NumPy's own limit until 2.0, are refused.
    fn tuple(&mut self) -> Option<Vec<usize>> {
        self.expect("(")?;
        let (inside, rest) = self.0.split_once(')')?;
        self.0 = rest;
        let inside = inside.trim();
        let inside = inside.strip_suffix(',').unwrap_or(inside);
        if inside.is_empty() {
            return Some(Vec::new());
        }
        let sizes: Option<Vec<usize>> = inside.split(',').map(|size| size.trim().parse().ok()).collect();
        sizes.filter(|sizes| sizes.len() <= 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> std::result::Result<Header, String> {
        Fields::read(text)?.matrix()
    }

    #[test]
    fn headers_of_a_matrix_in_any_order_and_with_blanks() {
        let expected = Header { wide: false, rows: 3, dim: 4 };
        for text in [
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }      \n",
            "{\"shape\":(3,4),\"fortran_order\":False,\"descr\":\"<f4\"}",
            "{ 'descr' : '<f4' , 'shape' : ( 3 , 4 , ) , 'fortran_order' : False }",
        ] {
            assert_eq!(header(text).unwrap(), expected, "{text}");
        }
        let wide = header("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4)}").unwrap();
        assert!(wide.wide);
    }

    #[test]
    fn other_headers_are_refused() {
        for (text, word) in [
            ("", "plain array"),
            ("{'descr': '<f4'", "plain array"),
            ("{'descr': '<f4', 'descr': '<f4'}", "plain array"),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}", "plain array"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (3, -4)}", "plain array"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 4)}", "plain array"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4)} more", "plain array"),
            ("{'descr': '<f4', 'fortran_order': False}", "lacks"),
            ("{'descr': '>f4', 'fortran_order': False, 'shape': (3, 4)}", "'<f4' or '<f8'"),
            ("{'descr': '<f4', 'fortran_order': True, 'shape': (3, 4)}", "Fortran"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", "1-dimensional"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': ()}", "0-dimensional"),
        ] {
            let error = header(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}

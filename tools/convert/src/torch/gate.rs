//! What a file must pass before anything else looks at it: its pickles name nothing but tensors and plain
//! data, and its bytes are all there.

use super::pickle::{Budget, Fault, Pickle, Value, walk};
use super::{element_of, nesting::list, one_line};
use crate::{Error, Result};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use zip::{CompressionMethod, ZipArchive};

/// The mend for a file whose bytes are wrong.
pub const AGAIN: &str = "download or copy it again";

/// A fault of the pickle called `what`, in words.
pub fn refusal(path: &Path, what: &str, fault: Fault) -> Error {
    match fault {
        Fault::Io(e) => Error::io(path)(e),
        Fault::End => Error::weights(path, format!("is cut short: it ends inside its {what}; {AGAIN}")),
        Fault::Broken(why) => {
            Error::weights(path, format!("its {what} is broken: {}; {AGAIN}", one_line(&why)))
        }
        Fault::Large(how) => Error::weights(
            path,
            format!("its {what} {how} than that of any network; save model.state_dict() alone"),
        ),
        Fault::Forbidden(name) => Error::weights(
            path,
            format!(
                "its pickle asks for {}, which no weights need; nothing was executed; save model.state_dict() alone, \
                 or distrust the file",
                one_line(&name)
            ),
        ),
    }
}

/// Checks a zip archive: entries that lie in the file uncompressed, and a harmless `data.pkl`.
pub fn zip(path: &Path) -> Result<()> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let fault = |what: String| Error::weights(path, what);
    if !has_directory(&mut file, length).map_err(Error::io(path))? {
        return Err(fault(format!(
            "is cut short: {length} bytes of a zip archive whose directory, at the end, is missing; {AGAIN}"
        )));
    }
    let mut archive = ZipArchive::new(BufReader::new(file))
        .map_err(|e| fault(format!("its zip directory is broken: {}; {AGAIN}", one_line(&e))))?;
    let names: Vec<String> =
        archive.file_names_raw().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    if archive.has_duplicate_names() {
        return Err(fault(format!("its zip directory names an entry twice; {AGAIN}")));
    }
    let mut pickles = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let shown = one_line(name);
        let entry = archive.by_index_raw(index).map_err(|e| {
            fault(format!("its zip entry {shown:?} is not where it should be: {}; {AGAIN}", one_line(&e)))
        })?;
        if entry.encrypted() {
            return Err(fault(format!("its zip entry {shown:?} is encrypted; unlock it and zip it plainly")));
        }
        if entry.compression() != CompressionMethod::Stored {
            return Err(fault(format!(
                "its zip entry {shown:?} is compressed, which torch.save never does; nothing was unpacked; load it in \
                 Python and torch.save it"
            )));
        }
        let end = entry.data_start().and_then(|start| start.checked_add(entry.size()));
        if entry.size() != entry.compressed_size() || end.is_none_or(|end| end > length) {
            return Err(fault(format!("its zip entry {shown:?} reaches beyond the file; {AGAIN}")));
        }
        let file_name = name.rsplit('/').next().unwrap_or(name);
        if file_name == "constants.pkl" {
            return Err(fault(
                "is a TorchScript program (torch.jit.save); load it in Python and save its state_dict()"
                    .into(),
            ));
        }
        if file_name == "data.pkl" {
            pickles.push((index, entry.size()));
        }
    }
    match pickles[..] {
        [(_, size)] if size > Budget::BYTES => Err(fault(format!(
            "its data.pkl of {size} bytes is longer than that of any network; save model.state_dict() alone"
        ))),
        [(index, _)] => {
            let entry = archive.by_index_raw(index).map_err(|e| fault(one_line(&e)))?;
            let walked = walk(&mut BufReader::new(entry), &mut Budget::new());
            walked.map(drop).map_err(|fault| refusal(path, "data.pkl", fault))
        }
        [] if names.is_empty() => Err(fault(format!("is an empty zip archive; {AGAIN}"))),
        [] => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let names = one_line(&list(&names));
            Err(fault(format!(
                "is a zip archive, but not of torch.save: no data.pkl, but {names}; unpack it"
            )))
        }
        _ => Err(fault("holds more than one data.pkl; save model.state_dict() alone".into())),
    }
}

/// Whether the record that ends every zip archive is there, with room for a comment behind it.
fn has_directory(file: &mut File, length: u64) -> std::io::Result<bool> {
    const SIGNATURE: &[u8] = b"PK\x05\x06";
    const LONGEST: u64 = 22 + 0xffff;
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(LONGEST)))?;
    file.take(LONGEST).read_to_end(&mut tail)?;
    file.rewind()?;
    Ok(tail.windows(SIGNATURE.len()).any(|window| window == SIGNATURE))
}

/// Checks a file of pickles one after the other, then the storages' bytes.
pub fn legacy(path: &Path) -> Result<()> {
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let mut reader = BufReader::new(file);
    let mut budget = Budget::new();
    let mut next = |what| walk(&mut reader, &mut budget).map_err(|fault| refusal(path, what, fault));
    for what in ["magic number", "protocol number", "system description"] {
        next(what)?;
    }
    let (state, keys) = (next("pickle")?, next("list of storages")?);
    let start = reader.stream_position().map_err(Error::io(path))?;
    let needed = storage_bytes(&state, &keys).and_then(|bytes| start.checked_add(bytes));
    match needed {
        Some(needed) if needed > length => Err(cut_short(path, length, needed, "")),
        Some(_) => Ok(()),
        None => {
            Err(Error::weights(path, format!("its pickle declares storages of no possible size; {AGAIN}")))
        }
    }
}

/// The error about a file that has fewer bytes than it should.
pub fn cut_short(path: &Path, length: u64, needed: u64, at_least: &str) -> Error {
    Error::weights(
        path,
        format!("is cut short: {length} bytes long, and should have {at_least}{needed}; {AGAIN}"),
    )
}

/// What the listed storages take behind the pickles: each its number of elements as 8 bytes, then those.
fn storage_bytes(state: &Pickle, keys: &Pickle) -> Option<u64> {
    let declared: HashMap<&Value, u64> =
        state.persistent.iter().filter_map(|id| declared(state, id)).collect();
    let Value::Pile(listed) = keys.root else { return Some(0) };
    // What is listed and not declared is the reader's to refuse.
    let listed = keys.piles[listed].items.iter().filter_map(|key| declared.get(key));
    listed.map(|bytes| bytes.saturating_add(8)).try_fold(0u64, u64::checked_add)
}

/// A storage's key and size by its persistent id: `('storage', class, key, location, elements, view)`.
fn declared<'a>(state: &'a Pickle, id: &Value) -> Option<(&'a Value, u64)> {
    let Value::Pile(id) = id else { return None };
    let [_, Value::Global(class), key, _, Value::Int(elements), ..] = &state.piles[*id].items[..] else {
        return None;
    };
    let width = element_of(class).map_or(1, |element| element.size() as u64);
    Some((key, u64::try_from(*elements).ok()?.saturating_mul(width)))
}

/// Why a lone pickle is refused.
pub fn plain(path: &Path) -> Error {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) => return Error::io(path)(e),
    };
    match walk(&mut BufReader::new(file), &mut Budget::new()) {
        Err(fault) => refusal(path, "pickle", fault),
        Ok(_) => Error::weights(
            path,
            "is a bare pickle, in which PyTorch keeps no tensors; torch.save(model.state_dict())",
        ),
    }
}

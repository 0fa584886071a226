//! Zip archives of PyTorch 1.6 and later: `NAME/data.pkl`, and a stored entry `NAME/data/KEY` for each storage.
//!
//! Sizes are taken from the directory at the archive's end, because an archive written to a pipe has them only there.

use super::fault::{AGAIN, refusal};
use super::machine::walk;
use super::pickle::{Budget, Pickle, Value};
use super::storage::{Storage, Tensor};
use super::tree::{Leaf, StorageId, storage_id, too_many, tree};
use crate::content::MAX_TENSORS;
use crate::display::{one_line, quoted};
use crate::nesting::{Node, list};
use crate::{Error, Result};
use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;
use zip::{CompressionMethod, ZipArchive};

/// Most bytes that are read of an archive to find its directory: the directory of a network takes some hundred
/// thousand, and the entries that are made of it in memory several times as many.
const DIRECTORY: u64 = 8 << 20;

/// A file of which only so many bytes can be read.
struct Limited<'a> {
    file: &'a File,
    left: &'a Cell<u64>,
}

impl Read for Limited<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left.get()).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 && !buffer.is_empty() {
            return Err(io::Error::other("the directory is too long"));
        }
        let read = self.file.read(&mut buffer[..most])?;
        self.left.set(self.left.get() - read as u64);
        Ok(read)
    }
}

impl Seek for Limited<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Position of an entry in the file.
struct Entry {
    start: u64,
    size: u64,
    /// CRC-32, or 0 if the archive was saved without checksums.
    crc: u32,
}

/// Opens an archive.
pub fn open(path: &Path) -> Result<Node<Tensor>> {
    let file = File::open(path).map_err(Error::io(path))?;
    let entries = entries(path, &file)?;
    let (folder, pickle) = data_pkl(path, &file, &entries)?;
    let order = entries.get(&format!("{folder}byteorder"));
    if order.is_some_and(|order| bytes(&file, order, 3).is_ok_and(|bytes| bytes == b"big")) {
        return Err(Error::weights(path, "was saved on a big-endian machine; save it again there in Python"));
    }
    let leaves: Vec<Leaf> = pickle.persistent.iter().map(|id| leaf(&pickle, id, &folder, &entries)).collect();
    tree(path, &Rc::new(file), &pickle, &leaves)
}

fn leaf(pickle: &Pickle, id: &Value, folder: &str, entries: &HashMap<String, Entry>) -> Leaf {
    let StorageId { element, key, elements, view } = match storage_id(pickle, id) {
        Ok(id) => id,
        Err(why) => return Leaf::Unreadable(why),
    };
    let key = key.key().unwrap_or_default();
    let Some(entry) = entries.get(&format!("{folder}data/{key}")) else {
        return Leaf::Unreadable(format!("its storage {} is not in the archive", quoted(&key)));
    };
    let bytes = elements.checked_mul(element.size() as u64);
    if bytes.is_none_or(|bytes| bytes > entry.size) {
        return Leaf::Unreadable(format!(
            "its storage {} of {elements} elements has only {} bytes",
            quoted(&key),
            entry.size
        ));
    }
    let crc = Some(entry.crc).filter(|crc| *crc != 0 && bytes == Some(entry.size));
    let storage = Storage { element, start: entry.start, elements, crc };
    let part = view.map_or(Some(storage), |(offset, elements)| storage.view(offset, elements));
    part.map_or_else(|| Leaf::Unreadable("a storage is shorter than its view".into()), Leaf::Storage)
}

/// Reads the first bytes of an entry.
fn bytes(mut file: &File, entry: &Entry, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(entry.start))?;
    file.take(entry.size.min(most)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the archive's pickle; also returns its folder, with a slash.
fn data_pkl(path: &Path, mut file: &File, entries: &HashMap<String, Entry>) -> Result<(String, Pickle)> {
    let fault = |what: String| Err(Error::weights(path, what));
    let mut pickles = entries.iter().filter_map(|(name, entry)| {
        let folder = name.strip_suffix("data.pkl")?;
        (folder.is_empty() || folder.ends_with('/')).then_some((folder, entry))
    });
    let (folder, entry) = match (pickles.next(), pickles.next()) {
        (Some(only), None) => only,
        (Some(_), Some(_)) => {
            return fault("holds more than one data.pkl; save model.state_dict() alone".into());
        }
        (None, _) if entries.is_empty() => return fault(format!("is an empty zip archive; {AGAIN}")),
        (None, _) => {
            let mut names: Vec<&str> = entries.keys().map(String::as_str).collect();
            names.sort_unstable();
            let names = one_line(&list(&names));
            return fault(format!(
                "is a zip archive, but not of torch.save: no data.pkl, but {names}; unpack it"
            ));
        }
    };
    if entry.size > Budget::BYTES {
        let size = entry.size;
        return fault(format!(
            "its data.pkl of {size} bytes is longer than that of any network; save model.state_dict() alone"
        ));
    }
    file.seek(SeekFrom::Start(entry.start)).map_err(Error::io(path))?;
    let walked = walk(&mut BufReader::new(file).take(entry.size), &mut Budget::new());
    let pickle = walked.map_err(|fault| refusal(path, "data.pkl", fault))?;
    Ok((folder.to_string(), pickle))
}

/// Positions of the entries by name; all entries must be uncompressed and complete.
fn entries(path: &Path, mut file: &File) -> Result<HashMap<String, Entry>> {
    let length = file.metadata().map_err(Error::io(path))?.len();
    let fault = |what: String| Error::weights(path, what);
    if !has_directory(file, length).map_err(Error::io(path))? {
        return Err(fault(format!(
            "is cut short: {length} bytes of a zip archive whose directory, at the end, is missing; {AGAIN}"
        )));
    }
    file.rewind().map_err(Error::io(path))?;
    let left = Cell::new(DIRECTORY);
    let mut archive =
        ZipArchive::new(BufReader::new(Limited { file, left: &left })).map_err(|e| match left.get() {
            0 => too_many(path),
            _ => fault(format!("its zip directory is broken: {}; {AGAIN}", one_line(&e))),
        })?;
    left.set(u64::MAX);
    if archive.len() > MAX_TENSORS {
        return Err(too_many(path));
    }
    if archive.has_duplicate_names() {
        return Err(fault(format!("its zip directory names an entry twice; {AGAIN}")));
    }
    let names: Vec<String> =
        archive.file_names_raw().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let mut entries = HashMap::with_capacity(names.len());
    for (index, name) in names.into_iter().enumerate() {
        let shown = quoted(&name);
        let entry = archive.by_index_raw(index).map_err(|e| {
            fault(format!("its zip entry {shown} is not where it should be: {}; {AGAIN}", one_line(&e)))
        })?;
        if entry.encrypted() {
            return Err(fault(format!("its zip entry {shown} is encrypted; unlock it and zip it plainly")));
        }
        if entry.compression() != CompressionMethod::Stored {
            return Err(fault(format!(
                "its zip entry {shown} is compressed, which torch.save never does; nothing was unpacked; load it in \
                 Python and torch.save it"
            )));
        }
        let (size, start) = (entry.size(), entry.data_start());
        let end = start.and_then(|start| start.checked_add(size));
        let (Some(start), Some(_)) =
            (start, end.filter(|end| *end <= length && size == entry.compressed_size()))
        else {
            return Err(fault(format!("its zip entry {shown} reaches beyond the file; {AGAIN}")));
        };
        if name.rsplit('/').next() == Some("constants.pkl") {
            return Err(fault(
                "is a TorchScript program (torch.jit.save); load it in Python and save its state_dict()"
                    .into(),
            ));
        }
        entries.insert(name, Entry { start, size, crc: entry.crc32() });
    }
    Ok(entries)
}

/// True if the record that ends every zip archive is present, perhaps followed by a comment.
fn has_directory(mut file: &File, length: u64) -> std::io::Result<bool> {
    const SIGNATURE: &[u8] = b"PK\x05\x06";
    const LONGEST: u64 = 22 + 0xffff;
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(LONGEST)))?;
    file.take(LONGEST).read_to_end(&mut tail)?;
    Ok(tail.windows(SIGNATURE.len()).any(|window| window == SIGNATURE))
}

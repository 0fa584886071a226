//! Tar archives of PyTorch before 0.1.10, for example torchvision's first ResNets.
//!
//! Four members matter. `storages`: a count, then per storage a pickled `(key, location, class)`, the number of
//! elements and the elements; at last a list of views `(key, root, offset, elements)`. `tensors`: a count, then
//! per tensor a pickled `(key, storage, class)`, rank, sizes, strides and offset. `pickle`: the state dict,
//! whose persistent ids are tensors' keys. `sys_info`: the byte order. All numbers are little-endian.

use super::fault::{AGAIN, cut_short, refusal};
use super::machine::walk;
use super::pickle::{Budget, Pickle, Value};
use super::storage::{MAX_RANK, Storage, Tensor};
use super::tree::{Leaf, beyond, element_of, too_many, tree};
use crate::content::MAX_TENSORS;
use crate::display::{one_line, quoted};
use crate::nesting::{Node, list};
use crate::{Error, Result};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;

/// Byte range of a member: start, end.
type Span = (u64, u64);

/// Opens an archive.
pub fn open(path: &Path) -> Result<Node<Tensor>> {
    let members = members(path)?;
    let file = Rc::new(File::open(path).map_err(Error::io(path))?);
    let reader = BufReader::new(file.try_clone().map_err(Error::io(path))?);
    let mut archive = Archive { path, reader, budget: Budget::new(), end: 0 };

    if let Some(span) = members.get("sys_info") {
        archive.enter(*span)?;
        let info = archive.pickle("sys_info")?;
        if info.is_of_big_endian_system() {
            return Err(Error::weights(
                path,
                "was saved on a big-endian machine; load it in Python there and save it again",
            ));
        }
    }
    let member = |name: &str| {
        let names: Vec<&str> = members.keys().map(String::as_str).collect();
        let missing = || {
            let names = one_line(&list(&names));
            Error::weights(
                path,
                format!("is a tar archive, but not of torch.save: no {name:?}, but {names}; unpack it"),
            )
        };
        members.get(name).copied().ok_or_else(missing)
    };
    archive.enter(member("storages")?)?;
    let storages = archive.storages()?;
    archive.enter(member("tensors")?)?;
    let tensors = archive.tensors(&storages, &file)?;
    archive.enter(member("pickle")?)?;
    let pickle = archive.pickle("pickle")?;
    let leaf = |id: &Value| {
        let key = id.key().unwrap_or_default();
        let missing = || Leaf::Unreadable(format!("its tensor {} is not among its tensors", quoted(&key)));
        tensors.get(&key).cloned().map_or_else(missing, Leaf::Tensor)
    };
    let leaves: Vec<Leaf> = pickle.persistent.iter().map(leaf).collect();
    tree(path, &file, &pickle, &leaves)
}

/// Positions of the members; an error if the file ends before them.
///
/// The members are taken as they stand: the `tar` crate would read an extension, say a long name, into memory, and it
/// may claim any size. An extension that changes nothing here is skipped, and any other refused.
fn members(path: &Path) -> Result<BTreeMap<String, Span>> {
    /// Largest number of members; a checkpoint has four.
    const MAX_MEMBERS: usize = 1000;
    const BLOCK: u64 = 512;
    const RECORD: u64 = 20 * BLOCK;
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let mut archive = tar::Archive::new(file);
    let mut members = BTreeMap::new();
    let mut end = 0;
    let mut fault = None;
    for entry in archive.entries_with_seek().map_err(Error::io(path))?.raw(true) {
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(e) => {
                fault = Some(e);
                break;
            }
        };
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_string();
        let kind = entry.header().entry_type();
        let start = entry.raw_file_position();
        end = start.saturating_add(entry.size());
        if kind.is_pax_local_extensions() || kind.is_pax_global_extensions() {
            if end > length {
                break;
            }
            if is_harmless(&mut entry) {
                continue;
            }
        }
        // A sparse member may be longer than the file.
        if !kind.is_file() {
            let name = quoted(&name);
            return Err(Error::weights(path, format!("its tar member {name} is no plain file; {AGAIN}")));
        }
        if members.insert(name.clone(), (start, end)).is_some() {
            let name = quoted(&name);
            return Err(Error::weights(path, format!("its tar member {name} is there twice; {AGAIN}")));
        }
        if members.len() > MAX_MEMBERS {
            let detail = format!(
                "is a tar archive of more than {MAX_MEMBERS} members; torch.save makes four; unpack it"
            );
            return Err(Error::weights(path, detail));
        }
        if end > length {
            break;
        }
    }
    let read = archive.into_inner().stream_position().map_err(Error::io(path))?;
    if let Some(e) = fault.as_ref().filter(|_| read < length) {
        return Err(Error::weights(path, format!("its tar headers are broken: {}; {AGAIN}", one_line(e))));
    }
    let has = |name| members.contains_key(name);
    let lacks_members = members.is_empty() || has("sys_info") && !has("storages");
    if end > length || fault.is_some() || lacks_members {
        // `storages` comes last. Behind it, two empty blocks, all filled up to whole records.
        let whole = end.checked_next_multiple_of(BLOCK).and_then(|end| end.checked_add(2 * BLOCK));
        let whole = whole.and_then(|whole| whole.checked_next_multiple_of(RECORD)).unwrap_or(u64::MAX);
        let at_least = if has("storages") { "" } else { "more than " };
        return Err(cut_short(path, length, whole, at_least));
    }
    Ok(members)
}

/// True if an extended header changes neither names nor sizes, but times and owners.
fn is_harmless(entry: &mut tar::Entry<'_, impl Read>) -> bool {
    const MAX_SIZE: u64 = 64 << 10;
    const KEYS: [&str; 10] =
        ["atime", "ctime", "mtime", "uid", "gid", "uname", "gname", "comment", "charset", "hdrcharset"];
    let mut records = Vec::new();
    entry.size() <= MAX_SIZE
        && entry.take(MAX_SIZE).read_to_end(&mut records).is_ok()
        && tar::PaxExtensions::new(&records)
            .all(|record| record.is_ok_and(|record| record.key().is_ok_and(|key| KEYS.contains(&key))))
}

/// An archive, read member by member.
struct Archive<'a> {
    path: &'a Path,
    reader: BufReader<File>,
    budget: Budget,
    /// End of the current member.
    end: u64,
}

impl Archive<'_> {
    fn broken(&self, what: impl std::fmt::Display) -> Error {
        Error::weights(self.path, format!("{what}; {AGAIN}"))
    }

    fn enter(&mut self, (start, end): Span) -> Result<()> {
        self.end = end;
        self.reader.seek(SeekFrom::Start(start)).map(drop).map_err(Error::io(self.path))
    }

    fn position(&mut self) -> Result<u64> {
        self.reader.stream_position().map_err(Error::io(self.path))
    }

    fn pickle(&mut self, what: &str) -> Result<Pickle> {
        let left = self.end.saturating_sub(self.position()?);
        let mut member = (&mut self.reader).take(left);
        walk(&mut member, &mut self.budget)
            .map_err(|fault| refusal(self.path, &format!("{what:?} member"), fault))
    }

    fn count(&mut self, what: &str) -> Result<u64> {
        let root = self.pickle(what)?.root;
        root.natural().ok_or_else(|| self.broken(format!("its {what:?} member does not state its count")))
    }

    fn number<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        if self.end.saturating_sub(self.position()?) < N as u64 {
            return Err(self.broken(format!("its {what:?} member ends in the middle")));
        }
        self.reader.read_exact(&mut bytes).map_err(Error::io(self.path))?;
        Ok(bytes)
    }

    fn natural(&mut self, what: &str) -> Result<u64> {
        let value = i64::from_le_bytes(self.number(what)?);
        u64::try_from(value)
            .map_err(|_| self.broken(format!("its {what:?} member has the size, stride or offset {value}")))
    }

    fn storages(&mut self) -> Result<HashMap<String, Storage>> {
        let mut storages = HashMap::new();
        for number in 0..self.count("storages")? {
            if number >= MAX_TENSORS as u64 {
                return Err(too_many(self.path));
            }
            let pickle = self.pickle("storages")?;
            let Some((key, element)) = (match pickle.items(&pickle.root) {
                [key, _, Value::Global(class)] => key.key().zip(element_of(class)),
                _ => None,
            }) else {
                return Err(self.broken("its \"storages\" member describes a storage in an unknown way"));
            };
            let elements = self.natural("storages")?;
            let start = self.position()?;
            let end = elements.checked_mul(element.size() as u64).and_then(|bytes| start.checked_add(bytes));
            let Some(end) = end.filter(|end| *end <= self.end) else {
                return Err(self.broken(format!(
                    "its storage {} of {elements} elements reaches beyond the others",
                    quoted(&key)
                )));
            };
            self.reader.seek_relative((end - start) as i64).map_err(Error::io(self.path))?;
            storages.insert(key, Storage { element, start, elements, crc: None });
        }
        let views = self.pickle("storages")?;
        for view in views.items(&views.root) {
            let Some((key, storage)) = view_of(&storages, views.items(view)) else {
                return Err(self
                    .broken("its \"storages\" member views a storage that is not there, or beyond its end"));
            };
            storages.insert(key, storage);
        }
        Ok(storages)
    }

    fn tensors(
        &mut self,
        storages: &HashMap<String, Storage>,
        file: &Rc<File>,
    ) -> Result<HashMap<String, Tensor>> {
        let mut tensors = HashMap::new();
        for number in 0..self.count("tensors")? {
            if number >= MAX_TENSORS as u64 {
                return Err(too_many(self.path));
            }
            let pickle = self.pickle("tensors")?;
            let Some((key, storage)) = (match pickle.items(&pickle.root) {
                [key, storage, _] => key.key().zip(storage.key().and_then(|key| storages.get(&key))),
                _ => None,
            }) else {
                return Err(self.broken("its \"tensors\" member has a tensor of a storage that is not there"));
            };
            let rank = i32::from_le_bytes(self.number("tensors")?);
            if !(0..=MAX_RANK as i32).contains(&rank) {
                return Err(self.broken(format!("its tensor {} claims {rank} dimensions", quoted(&key))));
            }
            // The rank has eight bytes, of which only the first four are meaningful.
            self.number::<4>("tensors")?;
            let sizes: Vec<u64> = (0..rank).map(|_| self.natural("tensors")).collect::<Result<_>>()?;
            let strides: Vec<u64> = (0..rank).map(|_| self.natural("tensors")).collect::<Result<_>>()?;
            let offset = self.natural("tensors")?;
            let Some(tensor) = storage.tensor(file, &sizes, &strides, offset) else {
                return Err(self.broken(beyond(&sizes, &strides, offset, storage)));
            };
            tensors.insert(key, tensor);
        }
        Ok(tensors)
    }
}

fn view_of(storages: &HashMap<String, Storage>, view: &[Value]) -> Option<(String, Storage)> {
    let [key, root, offset, elements] = view else { return None };
    let storage = storages.get(&root.key()?)?.view(offset.natural()?, elements.natural()?)?;
    Some((key.key()?, storage))
}

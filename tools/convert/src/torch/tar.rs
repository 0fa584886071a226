//! The tar archives that PyTorch wrote before 0.1.10, torchvision's first ResNets among them.
//!
//! Four members matter. `storages`: a count, then per storage a pickled `(key, location, class)`, the number of
//! elements and the elements; at last a list of views `(key, root, offset, elements)`. `tensors`: a count, then
//! per tensor a pickled `(key, storage, class)`, rank, sizes, strides and offset. `pickle`: the state dict,
//! whose persistent ids are tensors' keys. `sys_info`: the byte order. All numbers are little-endian.
//!
//! `pytorch-reader` knows the format too, but (0.22.1) refuses every `Parameter` in it, that is every trained
//! weight, and holds the whole archive in memory.

use super::gate::{AGAIN, cut_short, refusal};
use super::nesting::{Node, list};
use super::pickle::{Budget, Kind, Pickle, Value, walk};
use super::{Tensor, element_of, one_line};
use crate::{Error, Result};
use pytorch_reader::DType;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;

/// How deep the state dict's dictionaries may nest, and how many values they may have.
const DEPTH: usize = 16;
const VALUES: usize = 100_000;

/// A member's bytes: from, up to.
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
        let order = Value::Text("little_endian".into());
        if entries(&info, &info.root).any(|(key, value)| *key == order && *value == Value::Int(0)) {
            return Err(Error::weights(
                path,
                "was saved on a big-endian machine; load it in Python there, save it anew",
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
    Tree { path, pickle: &pickle, tensors: &tensors, left: VALUES }.node(&pickle.root, 0)
}

/// Where the members lie; an error if the file ends before they do.
fn members(path: &Path) -> Result<BTreeMap<String, Span>> {
    const BLOCK: u64 = 512;
    const RECORD: u64 = 20 * BLOCK;
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let mut archive = tar::Archive::new(file);
    let mut members = BTreeMap::new();
    let mut end = 0;
    let mut fault = None;
    for entry in archive.entries_with_seek().map_err(Error::io(path))? {
        let entry = match entry {
            Ok(entry) => entry,
            Err(e) => {
                fault = Some(e);
                break;
            }
        };
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_string();
        // A sparse member would be longer than the file that holds it.
        if !entry.header().entry_type().is_file() {
            let name = one_line(&name);
            return Err(Error::weights(path, format!("its tar member {name:?} is no plain file; {AGAIN}")));
        }
        let start = entry.raw_file_position();
        end = start.saturating_add(entry.size());
        if members.insert(name.clone(), (start, end)).is_some() {
            let name = one_line(&name);
            return Err(Error::weights(path, format!("its tar member {name:?} is there twice; {AGAIN}")));
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
    if end > length || fault.is_some() || (has("sys_info") && !has("storages")) {
        // `storages` comes last. Behind it, two empty blocks, all filled up to whole records.
        let whole = end.checked_next_multiple_of(BLOCK).and_then(|end| end.checked_add(2 * BLOCK));
        let whole = whole.and_then(|whole| whole.checked_next_multiple_of(RECORD)).unwrap_or(u64::MAX);
        let at_least = if has("storages") { "" } else { "more than " };
        return Err(cut_short(path, length, whole, at_least));
    }
    Ok(members)
}

/// A storage, or a view of one.
#[derive(Clone, Copy)]
struct Storage {
    dtype: DType,
    /// The file's byte at which it starts.
    start: u64,
    elements: u64,
}

/// The file, read member by member.
struct Archive<'a> {
    path: &'a Path,
    reader: BufReader<File>,
    budget: Budget,
    /// Where the member that is being read ends.
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
        natural(&root).ok_or_else(|| self.broken(format!("its {what:?} member does not say how many")))
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
        for _ in 0..self.count("storages")? {
            let pickle = self.pickle("storages")?;
            let Some((key, dtype)) = (match items(&pickle, &pickle.root) {
                [key, _, Value::Global(class)] => name(key).zip(element_of(class)),
                _ => None,
            }) else {
                return Err(self.broken("its \"storages\" member describes a storage in an unknown way"));
            };
            let elements = self.natural("storages")?;
            let start = self.position()?;
            let end = elements.checked_mul(dtype.size() as u64).and_then(|bytes| start.checked_add(bytes));
            let Some(end) = end.filter(|end| *end <= self.end) else {
                return Err(self
                    .broken(format!("its storage {key} of {elements} elements reaches beyond the others")));
            };
            self.reader.seek_relative((end - start) as i64).map_err(Error::io(self.path))?;
            storages.insert(key, Storage { dtype, start, elements });
        }
        let views = self.pickle("storages")?;
        for view in items(&views, &views.root) {
            let Some((key, storage)) = view_of(&storages, items(&views, view)) else {
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
        for _ in 0..self.count("tensors")? {
            let pickle = self.pickle("tensors")?;
            let Some((key, storage)) = (match items(&pickle, &pickle.root) {
                [key, storage, _] => name(key).zip(name(storage).and_then(|key| storages.get(&key))),
                _ => None,
            }) else {
                return Err(self.broken("its \"tensors\" member has a tensor of a storage that is not there"));
            };
            let rank = i32::from_le_bytes(self.number("tensors")?);
            if !(0..=64).contains(&rank) {
                return Err(self.broken(format!("its tensor {key} claims {rank} dimensions")));
            }
            // The rank takes eight bytes, of which only four were ever written on purpose.
            self.number::<4>("tensors")?;
            let sizes: Vec<u64> = (0..rank).map(|_| self.natural("tensors")).collect::<Result<_>>()?;
            let strides: Vec<u64> = (0..rank).map(|_| self.natural("tensors")).collect::<Result<_>>()?;
            let offset = self.natural("tensors")?;
            let Some(extent) = extent(&sizes, &strides, offset).filter(|extent| *extent <= storage.elements)
            else {
                let elements = storage.elements;
                return Err(self.broken(format!(
                    "its tensor {key} of sizes {sizes:?}, strides {strides:?} and offset {offset} reaches beyond its \
                     storage of {elements} elements"
                )));
            };
            let width = storage.dtype.size() as u64;
            let (start, length) = (storage.start + offset * width, (extent - offset) * width);
            let layout: Vec<(usize, usize)> =
                sizes.iter().zip(&strides).map(|(size, stride)| (*size as usize, *stride as usize)).collect();
            let file = Rc::clone(file);
            let tensor = Tensor {
                dtype: storage.dtype,
                shape: sizes.iter().map(|size| *size as usize).collect(),
                read: Rc::new(move || {
                    let mut bytes = vec![0; length as usize];
                    (&*file).seek(SeekFrom::Start(start))?;
                    (&*file).read_exact(&mut bytes)?;
                    Ok(gather(&bytes, &layout, width as usize))
                }),
            };
            tensors.insert(key, tensor);
        }
        Ok(tensors)
    }
}

/// One past the last element that a tensor touches in its storage, if that is a number. The number of its
/// elements must be one, too.
fn extent(sizes: &[u64], strides: &[u64], offset: u64) -> Option<u64> {
    sizes.iter().try_fold(1u64, |all, size| all.checked_mul(*size)).filter(|all| *all <= u64::MAX >> 4)?;
    if sizes.contains(&0) {
        return Some(offset);
    }
    let steps = sizes.iter().zip(strides).map(|(size, stride)| (size - 1).checked_mul(*stride));
    steps.into_iter().try_fold(offset, |last, step| last.checked_add(step?))?.checked_add(1)
}

/// The elements in row-major order. `layout`: each dimension's size and stride.
fn gather(bytes: &[u8], layout: &[(usize, usize)], width: usize) -> Vec<u8> {
    let count: usize = layout.iter().map(|(size, _)| size).product();
    let mut gathered = Vec::with_capacity(count * width);
    let mut index = vec![0; layout.len()];
    let mut at = 0;
    for _ in 0..count {
        gathered.extend_from_slice(&bytes[at * width..][..width]);
        for (index, (size, stride)) in index.iter_mut().zip(layout).rev() {
            *index += 1;
            at += stride;
            if *index < *size {
                break;
            }
            at -= *size * stride;
            *index = 0;
        }
    }
    gathered
}

fn view_of(storages: &HashMap<String, Storage>, view: &[Value]) -> Option<(String, Storage)> {
    let [key, root, offset, elements] = view else { return None };
    let (key, root) = (name(key)?, storages.get(&name(root)?)?);
    let (offset, elements) = (natural(offset)?, natural(elements)?);
    offset.checked_add(elements).filter(|end| *end <= root.elements)?;
    Some((key, Storage { start: root.start + offset * root.dtype.size() as u64, elements, ..*root }))
}

/// A key, which the tables have as a number and the state dict as a text.
fn name(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.to_string()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

fn natural(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

fn items<'a>(pickle: &'a Pickle, value: &Value) -> &'a [Value] {
    match value {
        Value::Pile(pile) => &pickle.piles[*pile].items,
        _ => &[],
    }
}

fn entries<'a>(pickle: &'a Pickle, value: &Value) -> impl Iterator<Item = (&'a Value, &'a Value)> {
    items(pickle, value).as_chunks().0.iter().map(|[key, value]| (key, value))
}

/// The state dict's values, with the tensors that its persistent ids name.
struct Tree<'a> {
    path: &'a Path,
    pickle: &'a Pickle,
    tensors: &'a HashMap<String, Tensor>,
    /// A container may be in many places: how many values may still be visited.
    left: usize,
}

impl Tree<'_> {
    fn node(&mut self, value: &Value, depth: usize) -> Result<Node<Tensor>> {
        self.left = self.left.saturating_sub(1);
        if depth > DEPTH || self.left == 0 {
            return Err(Error::weights(
                self.path,
                "nests more values than any network; save model.state_dict() alone",
            ));
        }
        let pile = match value {
            Value::Persistent(id) => return self.tensor(*id),
            Value::Pile(pile) => &self.pickle.piles[*pile],
            _ => return Ok(Node::Other),
        };
        match &pile.kind {
            Kind::Sequence => Ok(Node::Other),
            Kind::Dict => {
                let named = entries(self.pickle, value).filter_map(|(key, value)| Some((name(key)?, value)));
                named
                    .map(|(key, value)| Ok((key, self.node(value, depth + 1)?)))
                    .collect::<Result<_>>()
                    .map(Node::Dict)
            }
            // A Parameter's data come first, whether as an argument or in its state.
            Kind::Object(_) => match pile.items.iter().find(|item| matches!(item, Value::Persistent(_))) {
                Some(data) => self.node(data, depth + 1),
                None => Ok(Node::Other),
            },
        }
    }

    fn tensor(&self, id: usize) -> Result<Node<Tensor>> {
        let id = name(&self.pickle.persistent[id]).unwrap_or_default();
        let missing = || {
            Error::weights(
                self.path,
                format!("its tensor {:?} is not among its tensors; {AGAIN}", one_line(&id)),
            )
        };
        self.tensors.get(&id).cloned().map(Node::Tensor).ok_or_else(missing)
    }
}

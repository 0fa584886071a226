//! Files of PyTorch 0.1.10 to 1.5: a sequence of pickles, then storages.
//!
//! A magic number, a protocol number, a description of the system, the saved object, a list of storages' keys,
//! each pickled; then every listed storage, its number of elements as 8 bytes and the elements.

use super::fault::{AGAIN, cut_short, refusal};
use super::machine::walk;
use super::pickle::{Budget, Pickle};
use super::storage::{Storage, Tensor};
use super::tree::{Leaf, StorageId, storage_id, tree};
use crate::display::quoted;
use crate::element::Element;
use crate::nesting::Node;
use crate::{Error, Result};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;
use std::rc::Rc;

/// Opens a legacy file.
pub fn open(path: &Path) -> Result<Node<Tensor>> {
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let mut reader = BufReader::new(file);
    let mut budget = Budget::new();
    let mut next = |what| walk(&mut reader, &mut budget).map_err(|fault| refusal(path, what, fault));
    next("magic number")?;
    next("protocol number")?;
    if next("system description")?.is_of_big_endian_system() {
        return Err(Error::weights(path, "was saved on a big-endian machine; save it again there in Python"));
    }
    let (state, keys) = (next("pickle")?, next("list of storages")?);
    let start = reader.stream_position().map_err(Error::io(path))?;
    let storages = storages(path, &state, &keys, start, length)?;
    check_counts(path, &mut reader, &storages)?;

    let leaves: Vec<Leaf> = state.persistent.iter().map(|id| leaf(&state, id, &storages)).collect();
    tree(path, &Rc::new(reader.into_inner()), &state, &leaves)
}

/// Positions of the listed storages after the pickles, from `start` on.
fn storages(
    path: &Path,
    state: &Pickle,
    keys: &Pickle,
    start: u64,
    length: u64,
) -> Result<HashMap<String, Storage>> {
    let broken = |what: String| Error::weights(path, format!("{what}; {AGAIN}"));
    let mut declared: HashMap<String, (Element, u64)> = HashMap::new();
    for id in &state.persistent {
        // An unreadable storage is an error only if a tensor needs it.
        let Ok(StorageId { element, key, elements, .. }) = storage_id(state, id) else { continue };
        let Some(key) = key.key() else { continue };
        let size = (element, elements);
        if *declared.entry(key.clone()).or_insert(size) != size {
            let key = quoted(&key);
            return Err(broken(format!("its pickle declares the storage {key} in two sizes")));
        }
    }
    let mut storages = HashMap::new();
    let mut end = start;
    for key in keys.items(&keys.root) {
        let Some((key, (element, elements))) = key.key().and_then(|key| declared.remove_entry(&key)) else {
            return Err(broken("it lists a storage that its pickle does not declare, or twice".into()));
        };
        let bytes = elements.checked_mul(element.size() as u64);
        let span = end.checked_add(8).and_then(|start| Some((start, start.checked_add(bytes?)?)));
        let Some((start, behind)) = span else {
            return Err(broken("its pickle declares storages of no possible size".into()));
        };
        storages.insert(key, Storage { element, start, elements, crc: None });
        end = behind;
    }
    if end > length {
        return Err(cut_short(path, length, end, ""));
    }
    Ok(storages)
}

/// Checks the number of elements that is stored before each storage.
fn check_counts(
    path: &Path,
    reader: &mut BufReader<File>,
    storages: &HashMap<String, Storage>,
) -> Result<()> {
    let mut by_place: Vec<(&String, &Storage)> = storages.iter().collect();
    by_place.sort_by_key(|(_, storage)| storage.start);
    for (key, storage) in by_place {
        let at = std::io::SeekFrom::Start(storage.start - 8);
        let mut count = [0; 8];
        reader.seek(at).and_then(|_| reader.read_exact(&mut count)).map_err(Error::io(path))?;
        let count = u64::from_le_bytes(count);
        if count != storage.elements {
            let (key, declared) = (quoted(key), storage.elements);
            let detail = format!(
                "its storage {key} has {count} elements, and its pickle declares {declared}; {AGAIN}"
            );
            return Err(Error::weights(path, detail));
        }
    }
    Ok(())
}

fn leaf(state: &Pickle, id: &super::pickle::Value, storages: &HashMap<String, Storage>) -> Leaf {
    let StorageId { key, view, .. } = match storage_id(state, id) {
        Ok(id) => id,
        Err(why) => return Leaf::Unreadable(why),
    };
    let storage = key.key().and_then(|key| storages.get(&key));
    let part = storage.and_then(|storage| match view {
        Some((offset, elements)) => storage.view(offset, elements),
        None => Some(*storage),
    });
    part.map_or_else(
        || Leaf::Unreadable("a tensor's storage is not in the file, or shorter than its view".into()),
        Leaf::Storage,
    )
}

//! Checkpoints made byte by byte.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;

/// A pickle of protocol 2.
pub fn pickled(body: &[u8]) -> Vec<u8> {
    [b"\x80\x02", body, b"."].concat()
}

pub fn int(n: i32) -> Vec<u8> {
    [b"J", &n.to_le_bytes()[..]].concat()
}

pub fn long(n: i64) -> Vec<u8> {
    [b"\x8a\x08", &n.to_le_bytes()[..]].concat()
}

pub fn text(s: &str) -> Vec<u8> {
    [b"X", &(s.len() as u32).to_le_bytes()[..], s.as_bytes()].concat()
}

pub fn tuple(items: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    [vec![b'('], items.into_iter().collect::<Vec<_>>().concat(), vec![b't']].concat()
}

pub fn dict(items: impl IntoIterator<Item = (String, Vec<u8>)>) -> Vec<u8> {
    let items = items.into_iter().map(|(key, value)| [text(&key), value].concat());
    [b"}(".to_vec(), items.collect::<Vec<_>>().concat(), vec![b'u']].concat()
}

/// A tensor of storage `key` with `elements` f32.
pub fn tensor(key: &str, elements: i64, offset: i64, shape: &[i64], stride: &[i64]) -> Vec<u8> {
    let storage = b"ctorch\nFloatStorage\n".to_vec();
    let id = tuple([text("storage"), storage, text(key), text("cpu"), long(elements)]);
    let sizes = |sizes: &[i64]| tuple(sizes.iter().map(|n| long(*n)));
    let arguments = tuple([
        [id, vec![b'Q']].concat(),
        long(offset),
        sizes(shape),
        sizes(stride),
        vec![0x89],
        b"N".to_vec(),
    ]);
    [b"ctorch._utils\n_rebuild_tensor_v2\n".to_vec(), arguments, vec![b'R']].concat()
}

pub fn stored(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, data) in members {
        archive.start_file(*name, options).unwrap();
        archive.write_all(data).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// A zip checkpoint whose storages "0" and "1" have 8 f32, 0 to 7.
pub fn zip(pickle: &[u8]) -> Vec<u8> {
    let storage: Vec<u8> = (0..8u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    stored(&[
        ("archive/data.pkl", pickle),
        ("archive/byteorder", b"little"),
        ("archive/data/0", &storage),
        ("archive/data/1", &storage),
        ("archive/version", b"3\n"),
    ])
}

/// A zip checkpoint of nested dictionaries: `a/b.c` is tensor `b.c` under `a`.
pub fn checkpoint(paths: &[&str]) -> Vec<u8> {
    fn tree(paths: &[&str]) -> Vec<u8> {
        let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut items = Vec::new();
        for path in paths {
            match path.split_once('/') {
                Some((folder, rest)) => folders.entry(folder).or_default().push(rest),
                None => items.push((path.to_string(), tensor("0", 8, 0, &[8], &[1]))),
            }
        }
        items.extend(folders.into_iter().map(|(folder, rest)| (folder.to_string(), tree(&rest))));
        dict(items)
    }
    zip(&pickled(&tree(paths)))
}

/// A legacy file; `system` and `state` are bodies of pickles.
pub fn legacy(system: &[u8], state: &[u8], keys: &[&str], storages: &[u8]) -> Vec<u8> {
    let magic = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    let keys = [b"](".to_vec(), keys.iter().flat_map(|key| text(key)).collect(), vec![b'e']].concat();
    let pickles = [magic, &b"M\xe9\x03"[..], system, state, &keys].map(pickled);
    [pickles.concat(), storages.to_vec()].concat()
}

/// The system description of a little-endian machine.
pub fn little_endian() -> Vec<u8> {
    dict([("little_endian".to_string(), vec![0x88])])
}

pub fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, data) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(data.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, name, *data).unwrap();
    }
    archive.into_inner().unwrap()
}

/// A tar checkpoint with a tensor of one storage of 4 f32, as the bytes say.
pub fn tar_checkpoint(pickle: &[u8], elements: i64, shape: &[i64], stride: &[i64], offset: i64) -> Vec<u8> {
    let one = || pickled(&int(1));
    let storage = pickled(&tuple([int(7), text("cpu"), b"ctorch\nFloatStorage\n".to_vec()]));
    let storages = [one(), storage, elements.to_le_bytes().to_vec(), vec![0; 16], pickled(b"]")].concat();
    let layout = [shape, stride, &[offset]].concat();
    let tensors = [
        one(),
        pickled(&tuple([int(9), int(7), b"ctorch\nFloatTensor\n".to_vec()])),
        (shape.len() as i32).to_le_bytes().to_vec(),
        vec![0; 4],
        layout.iter().flat_map(|n| n.to_le_bytes()).collect(),
    ]
    .concat();
    tar(&[
        ("sys_info", &pickled(&little_endian())),
        ("pickle", pickle),
        ("tensors", &tensors),
        ("storages", &storages),
    ])
}

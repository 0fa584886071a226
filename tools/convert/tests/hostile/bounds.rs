//! Memory and time.

use crate::forge::{dict, int, little_endian, long, pickled, tensor, text, tuple};
use crate::proto::{blob, data, layer, ramp, varint};
use crate::{Folder, MIB, both_refuse, forge, refusal, said};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;

/// Writes `start`, then a hole of `zeros` bytes, then `end`.
fn sparse(path: &Path, start: &[u8], zeros: usize, end: &[u8]) {
    let mut file = File::create(path).unwrap();
    file.write_all(start).unwrap();
    file.seek(SeekFrom::Current(zeros as i64)).unwrap();
    file.write_all(end).unwrap();
    let length = file.stream_position().unwrap();
    file.set_len(length).unwrap();
}

fn tar_header(name: &str, kind: tar::EntryType, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_entry_type(kind);
    header.set_mode(0o600);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Extensions of tar members: a name or records of any length, which the archive need not hold on the disk.
#[test]
fn a_long_name_in_a_tar_archive_is_not_read() {
    const SIZE: u64 = 6 << 30;
    let folder = Folder::new();
    for kind in *b"LKxg" {
        let file = folder.at("long.tar");
        let header = tar_header("long", tar::EntryType::new(kind), SIZE);
        sparse(&file, &header, SIZE as usize, &forge::tar(&[("sys_info", b"")]));
        both_refuse(&file, &["long.tar: its tar member \"long\" is no plain file"]);
    }
}

/// Number of tensors over one storage.
const TENSORS: usize = 3000;
/// Number of elements of the storage.
const ELEMENTS: usize = 16 * MIB;

/// A state dict of tensors of two elements each, the first and the last of one storage.
fn strided() -> Vec<u8> {
    let stride = ELEMENTS as i64 - 1;
    let one = |i| (format!("w.{i}"), tensor("0", ELEMENTS as i64, 0, &[2], &[stride]));
    dict((0..TENSORS).map(one))
}

#[test]
fn strided_tensors_over_one_storage_are_not_each_read() {
    let folder = Folder::new();
    let words = ["they share storages with wide strides", "save clones"];

    let file = folder.at("strided.zip");
    let mut archive = zip::ZipWriter::new(File::create(&file).unwrap());
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    archive.start_file("a/data.pkl", options).unwrap();
    archive.write_all(&pickled(&strided())).unwrap();
    archive.start_file("a/data/0", options).unwrap();
    let zeros = vec![0; 4 * MIB];
    (0..16).for_each(|_| archive.write_all(&zeros).unwrap());
    archive.finish().unwrap();
    both_refuse(&file, &words);

    let file = folder.at("strided.legacy");
    let start = forge::legacy(&little_endian(), &strided(), &["0"], &(ELEMENTS as i64).to_le_bytes());
    sparse(&file, &start, 4 * ELEMENTS - 1, &[0]);
    both_refuse(&file, &words);

    let file = folder.at("strided.tar");
    tar_of(&file, 2, ELEMENTS as i64 - 1, ELEMENTS);
    both_refuse(&file, &words);
}

/// A tar checkpoint of many tensors of one storage, which lies last.
fn tar_of(path: &Path, size: i64, stride: i64, elements: usize) {
    let mut tensors = pickled(&int(TENSORS as i32));
    for key in 0..TENSORS as i32 {
        tensors.extend(pickled(&tuple([int(key), int(7), b"ctorch\nFloatTensor\n".to_vec()])));
        tensors.extend([1u8, 0, 0, 0, 0, 0, 0, 0]);
        tensors.extend([size, stride, 0].iter().flat_map(|n| n.to_le_bytes()));
    }
    let named = |key: i32| (format!("w.{key}"), [text(&key.to_string()), vec![b'Q']].concat());
    let state = pickled(&dict((0..TENSORS as i32).map(named)));
    let storage = pickled(&tuple([int(7), text("cpu"), b"ctorch\nFloatStorage\n".to_vec()]));
    let storages = [pickled(&int(1)), storage, (elements as i64).to_le_bytes().to_vec()].concat();
    let views = pickled(b"]");
    let info = pickled(&little_endian());
    let mut start = forge::tar(&[("sys_info", &info), ("pickle", &state), ("tensors", &tensors)]);
    start.truncate(start.len() - 1024);
    let size = storages.len() + 4 * elements + views.len();
    start.extend(tar_header("storages", tar::EntryType::Regular, size as u64));
    start.extend(storages);
    let end = [views, vec![0; size.next_multiple_of(512) - size + 1024]].concat();
    sparse(path, &start, 4 * elements, &end);
}

#[test]
fn a_tensor_that_repeats_an_element_takes_no_memory() {
    const COUNT: i64 = 1_000_000_000;
    let folder = Folder::new();
    let state = dict([("conv1.weight".to_string(), tensor("0", 1, 0, &[COUNT], &[0]))]);
    let zip = folder.write("zip", &forge::stored(&[("a/data.pkl", &pickled(&state)), ("a/data/0", &[0; 4])]));
    both_refuse(&zip, &["they repeat elements"]);
    let bytes = [&1i64.to_le_bytes()[..], &[0; 4]].concat();
    let legacy = folder.write("legacy", &forge::legacy(&little_endian(), &state, &["0"], &bytes));
    both_refuse(&legacy, &["they repeat elements"]);
    let tar = folder.at("tar");
    tar_of(&tar, COUNT, 0, 1);
    both_refuse(&tar, &["they repeat elements"]);
    // Below the limit the elements are passed on piece by piece, whatever their layout.
    let elements = 2 * MIB as i64;
    let layouts =
        [([elements, 1, 1], [0, 0, 0]), ([1, elements, 1], [0, 1, 0]), ([2, 1, elements / 2], [0, 0, 2])];
    for (shape, stride) in layouts {
        let state = pickled(&dict([("w".to_string(), tensor("0", elements, 0, &shape, &stride))]));
        let zip = forge::stored(&[("a/data.pkl", &state), ("a/data/0", &vec![0; 4 * elements as usize])]);
        let listed = said(&[folder.write("zip", &zip).as_os_str(), "--list".as_ref()]);
        assert!(listed.contains("0.0000000"), "{listed}");
    }
}

/// A directory of a million entries, which share one local header.
#[test]
fn a_directory_of_many_entries_is_not_read() {
    const ENTRIES: u32 = 1_000_000;
    let local = [b"PK\x03\x04\x0a\0\0\0\0\0".as_slice(), &[0; 20]].concat();
    let mut file = local.clone();
    for number in 0..ENTRIES {
        let name = format!("{number:06}");
        let mut record = [b"PK\x01\x02\x0a\0\x0a\0".as_slice(), &[0; 38]].concat();
        record[28] = name.len() as u8;
        file.extend(record);
        file.extend(name.bytes());
    }
    let directory = file.len() - local.len();
    let end = file.len() as u64;
    let (count, size, start) = (u64::from(ENTRIES), directory as u64, local.len() as u64);
    file.extend(b"PK\x06\x06");
    file.extend(44u64.to_le_bytes());
    file.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend([count, count, size, start].map(u64::to_le_bytes).concat());
    file.extend(b"PK\x06\x07\0\0\0\0");
    file.extend(end.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    file.extend(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
    let folder = Folder::new();
    both_refuse(&folder.write("many.zip", &file), &["more than 20000 tensors or storages"]);

    // Below the limit of bytes, but too many.
    let names: Vec<String> = (0..21_000).map(|i| format!("a/data/{i}")).collect();
    let members: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    both_refuse(
        &folder.write("many.zip", &forge::stored(&members)),
        &["more than 20000 tensors or storages"],
    );
}

#[test]
fn a_safetensors_header_is_not_longer_than_that_of_a_network() {
    let folder = Folder::new();
    let with_header = |mut header: Vec<u8>| {
        header.resize(header.len().next_multiple_of(8), b' ');
        [&(header.len() as u64).to_le_bytes()[..], &header].concat()
    };
    let header = |count: usize| {
        let empty = |i| format!("\"w{i}\":{{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
        format!("{{{}}}", (0..count).map(empty).collect::<Vec<_>>().join(",")).into_bytes()
    };
    let long = folder.write("long", &with_header(header(1_700_000)));
    assert!(long.metadata().unwrap().len() > 90_000_000);
    both_refuse(&long, &["its header of", "is longer than that of any network"]);
    let back =
        [long.as_os_str(), "--to".as_ref(), "torchvision".as_ref(), "--out".as_ref(), "back.pth".as_ref()];
    assert!(refusal(&back).contains("is longer than that of any network"));
    both_refuse(&folder.write("many", &with_header(header(60_000))), &["has more than 20000 tensors"]);
    let listed = said(&[folder.write("most", &with_header(header(20_000))).as_os_str(), "--list".as_ref()]);
    assert!(listed.contains("20000 tensors"));
}

/// A tensor of bytes takes four times as much as f32, and the list needs only its sum.
#[test]
fn a_list_reads_large_tensors_in_pieces() {
    let folder = Folder::new();
    let bytes = 80_000_000;
    let header = format!("{{\"w\":{{\"dtype\":\"U8\",\"shape\":[{bytes}],\"data_offsets\":[0,{bytes}]}}}}");
    let start = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    let file = folder.at("bytes.safetensors");
    sparse(&file, &start, bytes - 1, &[3]);
    assert!(said(&[file.as_os_str(), "--list".as_ref()]).contains("3.0000000"));

    let state = dict([("w".to_string(), tensor("0", bytes as i64 / 4, 0, &[bytes as i64 / 4], &[1]))]);
    let count = (bytes as i64 / 4).to_le_bytes();
    let file = folder.at("floats.pth");
    sparse(&file, &forge::legacy(&little_endian(), &state, &["0"], &count), bytes - 4, &3.0f32.to_le_bytes());
    assert!(said(&[file.as_os_str(), "--list".as_ref()]).contains("3.0000000"));
}

/// Long texts in many places of a pickle.
#[test]
fn long_keys_are_not_copied() {
    let folder = Folder::new();
    let memo = |index: u8| vec![b'q', index, b'0'];
    let long_text = [text(&"k".repeat(8 * MIB)), memo(0)].concat();
    // 100,000 storages of one persistent id, whose key is long.
    let class = b"ctorch\nFloatStorage\n".to_vec();
    let id = tuple([text("storage"), class, b"h\x00".to_vec(), text("cpu"), long(1)]);
    let state = [long_text.clone(), id, memo(1), b"h\x01Q0".repeat(100_000), b"}".to_vec()].concat();
    let file = folder.write("ids", &forge::zip(&pickled(&state)));
    both_refuse(&file, &["holds no tensors"]);
    let file = folder.write("ids", &forge::legacy(&little_endian(), &state, &[], &[]));
    both_refuse(&file, &["holds no tensors"]);

    // A dictionary of long names in many places.
    let names: Vec<(String, Vec<u8>)> = (0..16).map(|i| (format!("{i:0999}"), b"N".to_vec())).collect();
    let places = (0..11_000).map(|i| (format!("{i}"), b"h\x00".to_vec()));
    let state = [dict(names), memo(0), dict(places)].concat();
    both_refuse(&folder.write("names", &forge::zip(&pickled(&state))), &["holds no tensors"]);
}

/// As many tensors as are accepted, with long names of a wrapper in a wrapper, and many dimensions.
#[test]
fn many_tensors_are_listed_in_time() {
    let folder = Folder::new();
    let ones = tuple((0..64).map(|_| b"K\x01".to_vec()));
    let class = b"ctorch\nFloatStorage\n".to_vec();
    let id = [tuple([text("storage"), class, text("0"), text("cpu"), long(8)]), vec![b'Q']].concat();
    let one = [
        b"ctorch._utils\n_rebuild_tensor_v2\n".to_vec(),
        tuple([id, long(0), ones.clone(), ones, vec![0x89], b"N".to_vec()]),
        b"Rq\x000".to_vec(),
    ];
    let many = |count: usize| {
        let name = |i| (format!("{}{i}", "module.".repeat(70)), b"h\x00".to_vec());
        forge::zip(&pickled(&[one.concat(), dict((0..count).map(name))].concat()))
    };
    let listed = said(&[folder.write("most", &many(20_000)).as_os_str(), "--list".as_ref()]);
    assert!(listed.contains("20000 tensors, 20000 values"), "{}", &listed[listed.len() - 2000..]);
    both_refuse(&folder.write("many", &many(20_001)), &["more than 20000 tensors"]);
}

/// Blobs of a Caffe model are parts of the file, each its own; what repeats is bounded in number.
#[test]
fn many_blobs_and_layers_of_caffe_are_listed_in_time() {
    let folder = Folder::new();
    let small = blob(&[1; 32], &[1.0]);
    let many = (0..19_000).map(|i| {
        layer(&format!("{i}\u{202e}{}", "n".repeat(150)), "Convolution", std::slice::from_ref(&small), &[])
    });
    let file = folder.write("many.caffemodel", &many.collect::<Vec<_>>().concat());
    let listed = said(&[file.as_os_str(), "--list".as_ref()]);
    assert!(listed.contains("cannot be converted"));
    let blobs = layer("a", "Convolution", &vec![small; 20_001], &[]);
    both_refuse(&folder.write("blobs.caffemodel", &blobs), &["more than 20000 tensors"]);
    // The name of a layer is part of the name of each of its tensors.
    let named = layer(&"n".repeat(3 * MIB), "Mine", &vec![ramp(&[1]); 19_000], &[]);
    let file = folder.write("named.caffemodel", &named);
    let words = "of type \"Mine\" has weights and a name of 3145728 bytes";
    assert!(said(&[file.as_os_str(), "--list".as_ref()]).contains(words));
    let out = folder.at("out.safetensors");
    assert!(refusal(&[file.as_os_str(), "--out".as_ref(), out.as_os_str()]).contains(words));
    // One large blob in many fields of one value each, as an old writer may leave it.
    let unpacked = [varint(5 << 3 | 5), 1.0f32.to_le_bytes().to_vec()].concat().repeat(5 * MIB);
    let large =
        layer("a", "Convolution", &[[data(7, data(1, varint(5 * MIB as u64))), unpacked].concat()], &[]);
    let listed = said(&[folder.write("large.caffemodel", &large).as_os_str(), "--list".as_ref()]);
    assert!(listed.contains("[5242880]"), "{listed}");
}

//! Lists of data sets: the first byte names the layout, the rest is its list, beside folders of empty image files. The
//! contents of images do not matter here.

#![no_main]

use bcreid::data::{Dataset, OpenOptions};
use bcreid_fuzz::{folder, good};
use std::fs;
use std::path::Path;

/// For each layout the files with the bytes of the input, and the other files.
const TREES: [(&[&str], &[(&str, &str)]); 5] = [
    (&["train.csv", "query.csv", "gallery.csv"], &[("a.jpg", ""), ("b.jpg", "")]),
    (
        &["list_train.txt", "list_query.txt", "list_gallery.txt"],
        &[
            ("train/0000/0000_000_01_0303morning_0008_1.jpg", ""),
            ("test/0000/0000_000_02_0303noon_0008_1.jpg", ""),
        ],
    ),
    (
        &["splits.csv"],
        &[
            ("cam_a/001_45.bmp", ""),
            ("cam_b/001_90.bmp", ""),
            ("cam_a/002_0.bmp", ""),
            ("cam_b/002_0.bmp", ""),
        ],
    ),
    (&["splits.json"], &[("cam_a/001_45.bmp", ""), ("cam_b/001_90.bmp", "")]),
    (
        &["info/tracks_train_info.mat", "info/tracks_test_info.mat", "info/query_IDX.mat"],
        &[
            ("bbox_train/0001/0001C1T0001F001.jpg", ""),
            ("bbox_test/0002/0002C1T0001F001.jpg", ""),
            ("info/train_name.txt", "0001C1T0001F001.jpg\n"),
            ("info/test_name.txt", "0002C1T0001F001.jpg\n"),
        ],
    ),
];

fn put(root: &Path, name: &str, content: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("in the folder")).expect("room");
    fs::write(path, content).expect("room");
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((which, list)) = bytes.split_first() else { return };
    let (lists, others) = TREES[usize::from(*which) % TREES.len()];
    let folder = folder();
    lists.iter().for_each(|name| put(folder.path(), name, list));
    others.iter().for_each(|(name, content)| put(folder.path(), name, content.as_bytes()));
    let options = OpenOptions { split: Some(1), ..OpenOptions::default() };
    let options = if lists.len() == 1 { options } else { OpenOptions::default() };
    let Some(dataset) = good(Dataset::open_as(folder.path(), options)) else { return };
    assert!(dataset.notes.iter().all(|note| !note.contains('\n')), "{:?}", dataset.notes);
    for sample in dataset.train.iter().chain(&dataset.query).chain(&dataset.gallery) {
        assert!(sample.path.is_file(), "{:?}", sample.path);
        assert!(!dataset.labels.pid(sample.pid).is_empty());
    }
});

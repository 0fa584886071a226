use crate::made::{assert_error, pixels, png, samples};
use bcreid::data::{CacheOptions, ImageCache};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A limit of 0 sends every set to the disk.
fn on_disk() -> CacheOptions {
    CacheOptions { limit_mib: 0, folder: None }
}

#[test]
fn memory_and_disk_hold_the_same_bytes() {
    let (folder, samples) = samples(3, 5);
    let bad = folder.path().join("bad.jpg");
    std::fs::write(&bad, b"bad").unwrap();
    let mut paths: Vec<&Path> = samples.iter().map(|s| s.path.as_path()).collect();
    paths.insert(7, &bad);
    let calls = AtomicUsize::new(0);
    let progress = |done: usize, all: usize| {
        assert!((1..=16).contains(&done) && all == 16);
        calls.fetch_add(1, Ordering::Relaxed);
    };
    for (options, disk) in [(CacheOptions::default(), false), (on_disk(), true)] {
        let (cache, bad) = ImageCache::build(&paths, 8, 4, &options, &progress).unwrap();
        assert_eq!(cache.is_on_disk(), disk);
        assert_eq!(bad.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [7]);
        assert!(bad[0].1.to_string().contains("bad.jpg"));
        for i in 0..16u64 {
            let expected = match i {
                0..7 => pixels(i, 8, 4),
                7 => vec![0; 96],
                _ => pixels(i - 1, 8, 4),
            };
            assert_eq!(cache.image(i as usize), expected, "image {i}");
        }
    }
    assert_eq!(calls.into_inner(), 32);
}

#[test]
fn a_folder_that_cannot_hold_the_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("a.png");
    png(&image, 1, 8, 4);
    let options = CacheOptions { folder: Some(folder.path().join("nowhere")), ..on_disk() };
    let result = ImageCache::build(&[&image], 256, 128, &options, &|_, _| {});
    assert_error(result, &["nowhere", "1 MiB", "TMPDIR", "data.cache_mib from 0 to 1"]);
}

/// In bytes the limit would need more bits than there are.
#[test]
fn a_limit_beyond_all_memory_is_no_limit() {
    let (_folder, samples) = samples(1, 1);
    let options = CacheOptions { limit_mib: 1 << (usize::BITS - 20), folder: None };
    let (cache, _) = ImageCache::build(&[&samples[0].path], 8, 4, &options, &|_, _| {}).unwrap();
    assert!(!cache.is_on_disk());
}

//! The synthetic pedestrian data set: equal bytes from equal seeds, the layout, and refused numbers.

use bcreid::data::synth::{Summary, Synth};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

fn small() -> Synth {
    Synth {
        seed: 3,
        train_ids: 4,
        test_ids: 5,
        cameras: 3,
        images_per_camera: 2..=3,
        distractors: 6,
        junk: 5,
        width: 32,
        height: 64,
    }
}

/// Every file below a folder: its path inside and its bytes.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
    found
}

fn written(synth: &Synth, threads: usize) -> (Summary, BTreeMap<String, Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("set");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let summary = pool.install(|| synth.write(&out, |_, _| {})).unwrap();
    (summary, files(&out))
}

/// (pid, camera) of every name in a folder, in order.
fn labels(files: &BTreeMap<String, Vec<u8>>, folder: &str) -> Vec<(i64, usize)> {
    let names = files.keys().filter_map(|name| name.strip_prefix(folder)?.strip_prefix('/'));
    let label = |name: &str| {
        let (pid, rest) = name.split_once("_c").unwrap();
        let (camera, rest) = rest.split_once('s').unwrap();
        let numbers: Vec<&str> = rest.strip_suffix(".jpg").unwrap().split('_').collect();
        assert_eq!((numbers.len(), numbers[1].len(), numbers[2].len()), (3, 6, 2), "{name}");
        assert!(pid == "-1" || pid.len() == 4, "{name}");
        (pid.parse().unwrap(), camera.parse().unwrap())
    };
    names.map(label).collect()
}

#[test]
fn one_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let (_, one) = written(&small(), 1);
    let (_, again) = written(&small(), 1);
    let (_, three) = written(&small(), 3);
    assert!(one == again, "two runs differ");
    assert!(one == three, "thread counts differ");
    let (_, other) = written(&Synth { seed: 4, ..small() }, 1);
    let shared =
        one.iter().filter(|(name, bytes)| name.ends_with("jpg") && other.values().any(|b| b == *bytes));
    assert_eq!(shared.count(), 0, "another seed gives other pictures");
}

#[test]
fn the_layout_is_market_1501s() {
    let synth = small();
    let (summary, files) = written(&synth, 2);
    let (train, query) = (labels(&files, "bounding_box_train"), labels(&files, "query"));
    let gallery = labels(&files, "bounding_box_test");
    assert_eq!((summary.train, summary.query, summary.gallery), (train.len(), query.len(), gallery.len()));
    let mut boxes = labels(&files, "gt_bbox");
    let mut asked = [&query[..], &gallery].concat();
    asked.retain(|label| label.0 > 0);
    boxes.sort_unstable();
    asked.sort_unstable();
    assert_eq!(boxes, asked, "all boxes of the queries' persons, for multi-query");
    assert_eq!(
        files.len(),
        summary.images() + boxes.len() + 1,
        "all pictures have names of their own, and there is a README"
    );
    assert!(String::from_utf8(files["README.txt"].clone()).unwrap().contains(&summary.to_string()));

    let pids =
        |labels: &[(i64, usize)]| labels.iter().map(|l| l.0).filter(|&p| p > 0).collect::<BTreeSet<_>>();
    assert_eq!(pids(&train), (1..=4).collect());
    assert_eq!(pids(&query), (5..=9).collect());
    assert_eq!(pids(&gallery), pids(&query));
    for pid in 1..=9 {
        let images = [&train[..], &query, &gallery].concat();
        let cameras: BTreeSet<usize> = images.iter().filter(|l| l.0 == pid).map(|l| l.1).collect();
        assert!(cameras.len() >= 2 && cameras.iter().all(|c| (1..=3).contains(c)), "{pid}: {cameras:?}");
        for camera in cameras {
            let count = |labels: &[(i64, usize)]| labels.iter().filter(|&&l| l == (pid, camera)).count();
            assert!((2..=3).contains(&count(&images)), "{pid} at {camera}");
            assert_eq!(count(&query), usize::from(pid > 4), "one query for each test identity and camera");
        }
    }
    let with = |pid| gallery.iter().filter(|l| l.0 == pid).count();
    assert_eq!((with(0), with(-1)), (6, 5));
    assert_eq!((summary.distractors, summary.junk), (6, 5));
}

#[test]
fn every_picture_decodes_and_no_two_are_alike() {
    let (_, files) = written(&small(), 2);
    let mut seen = BTreeSet::new();
    for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".jpg")) {
        let picture = image::load_from_memory_with_format(bytes, image::ImageFormat::Jpeg).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), (32, 64), "{name}");
        let values = picture.as_raw();
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
        let spread = values.iter().map(|&v| (f64::from(v) - mean).abs()).sum::<f64>() / values.len() as f64;
        assert!((15.0..240.0).contains(&mean) && spread > 8.0, "{name}: mean {mean}, spread {spread}");
        if let Some(base) = name.strip_prefix("gt_bbox/") {
            let original = ["query", "bounding_box_test"].map(|part| files.get(&format!("{part}/{base}")));
            assert!(original.contains(&Some(bytes)), "{name} is no copy");
        } else {
            assert!(seen.insert(bytes.clone()), "{name} equals another picture");
        }
    }
}

#[test]
fn progress_counts_every_picture_once() {
    let folder = tempfile::tempdir().unwrap();
    let (sum, calls) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let synth = small();
    let summary = synth
        .write(&folder.path().join("deep/er/set"), |done, total| {
            assert!(done <= total);
            sum.fetch_add(done, Ordering::Relaxed);
            calls.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap();
    let n = summary.images();
    assert_eq!((calls.into_inner(), sum.into_inner()), (n, n * (n + 1) / 2));
}

#[test]
fn wrong_numbers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("set");
    let refuse = |synth: Synth, words: &str| {
        let message = synth.write(&out, |_, _| {}).unwrap_err().to_string();
        assert!(message.contains(words) && !message.contains('\n'), "{message}");
    };
    refuse(Synth { train_ids: 0, ..small() }, "training identities is 0; choose 1 to");
    refuse(Synth { test_ids: 0, ..small() }, "test identities is 0; choose 1 to");
    refuse(Synth { train_ids: 9000, test_ids: 1000, ..small() }, "test identities is 1000; choose 1 to 999");
    refuse(Synth { cameras: 1, ..small() }, "cameras is 1; choose 2 to 6");
    refuse(Synth { cameras: 7, ..small() }, "cameras is 7; choose 2 to 6");
    refuse(
        Synth { images_per_camera: 1..=3, ..small() },
        "smallest number of images per identity and camera is 1",
    );
    #[allow(clippy::reversed_empty_ranges)]
    refuse(
        Synth { images_per_camera: 4..=3, ..small() },
        "largest number of images per identity and camera is 3; choose 4",
    );
    refuse(Synth { junk: 40_000, ..small() }, "junk images is 40000");
    refuse(Synth { width: 0, ..small() }, "width is 0");
    refuse(Synth { height: 4096, ..small() }, "height is 4096");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was left behind");
}

#[test]
fn what_is_there_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("set");
    fs::create_dir(&out).unwrap();
    small().write(&out, |_, _| {}).expect("an empty folder may be filled");
    let before = files(folder.path());
    let again = small().write(&out, |_, _| {}).unwrap_err().to_string();
    assert!(again.contains("not empty"), "{again}");
    let file = small().write(&out.join("README.txt"), |_, _| {}).unwrap_err().to_string();
    assert!(file.contains("is no folder"), "{file}");
    let below_a_file = small().write(&out.join("README.txt/set"), |_, _| {}).unwrap_err().to_string();
    assert!(below_a_file.contains("README.txt"), "{below_a_file}");
    let nameless = small().write(Path::new(".."), |_, _| {}).unwrap_err().to_string();
    assert!(nameless.contains("give one"), "{nameless}");
    assert!(before == files(folder.path()), "the refused runs changed something");
}

#[test]
fn the_smallest_and_the_widest_pictures_can_be_drawn() {
    for (width, height) in [(16, 32), (100, 32), (17, 301)] {
        let synth = Synth {
            train_ids: 1,
            test_ids: 1,
            cameras: 6,
            images_per_camera: 2..=2,
            width,
            height,
            ..small()
        };
        let (_, files) = written(&synth, 2);
        let name = files.keys().find(|name| name.starts_with("query")).unwrap();
        let picture = image::load_from_memory(&files[name]).unwrap();
        assert_eq!((picture.width() as usize, picture.height() as usize), (width, height));
    }
}

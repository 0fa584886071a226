//! Data sets in the layouts of public ones, on made-up trees; their official counts, where the real set is there.

use crate::made::{assert_error, put};
use crate::trees::{TREES, mat, packed_element, tree};
use bcreid::data::synth::Synth;
use bcreid::data::{Dataset, Layout, OpenOptions, Sample};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::{TempDir, tempdir};

/// A small synthetic set, drawn once.
fn set() -> &'static Path {
    static SET: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = SET.get_or_init(|| {
        let folder = tempdir().unwrap();
        let path = folder.path().join("set");
        let synth = Synth {
            train_ids: 3,
            test_ids: 4,
            cameras: 2,
            images_per_camera: 2..=3,
            distractors: 3,
            junk: 2,
            width: 16,
            height: 32,
            ..Synth::default()
        };
        synth.write(&path, |_, _| ()).unwrap();
        (folder, path)
    });
    path
}

/// Identities and cameras as a person reads them, without junk and distractors.
fn labels(data: &Dataset, samples: &[Sample]) -> Vec<(String, String)> {
    let persons = samples.iter().filter(|s| s.pid > 0);
    let of =
        |s: &Sample| (data.labels.pid(s.pid).into_owned(), data.labels.camera(s.camid.unwrap()).into_owned());
    persons.map(of).collect()
}

/// The last number in a text.
fn number(text: &str) -> i64 {
    let digits: String = text.chars().rev().take_while(char::is_ascii_digit).collect();
    digits.chars().rev().collect::<String>().parse().unwrap()
}

fn opened_as(root: &Path, layout: Layout, split: Option<usize>) -> bcreid::Result<Dataset> {
    Dataset::open_as(root, OpenOptions { layout: Some(layout), split })
}

#[test]
fn each_tree_has_the_images_identities_and_cameras_of_the_set_it_was_made_of() {
    let folder = tempdir().unwrap();
    let original = Dataset::open(set()).unwrap();
    for (name, layout) in TREES {
        let root = tree(name, set(), folder.path());
        let data = Dataset::open(&root).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(data.name, layout, "{name}");
        data.require_train().unwrap();
        data.require_test().unwrap();
        assert!(data.notes.iter().all(|note| !note.starts_with("warning")), "{name}: {:?}", data.notes);
        let chosen = opened_as(&root, layout.parse().unwrap(), None).unwrap();
        assert_eq!(
            (&chosen.train, &chosen.query, &chosen.gallery),
            (&data.train, &data.query, &data.gallery),
            "{name}"
        );
        if layout == "viper" {
            continue;
        }
        let pairs = [
            (&data.train, &original.train),
            (&data.query, &original.query),
            (&data.gallery, &original.gallery),
        ];
        for (part, (own, theirs)) in ["train", "query", "gallery"].iter().zip(pairs) {
            let cameras = |data: &Dataset, samples: &[Sample]| {
                let mut all: Vec<i64> =
                    labels(data, samples).iter().map(|(_, camera)| number(camera)).collect();
                all.sort_unstable();
                all
            };
            let mut theirs: Vec<Sample> = theirs.clone();
            if name == "VeRi" && *part == "gallery" {
                theirs.extend(original.query.iter().cloned());
            }
            assert_eq!(cameras(&data, own), cameras(&original, &theirs), "{name} {part}");
            let persons = |data: &Dataset, samples: &[Sample]| {
                labels(data, samples).iter().map(|(pid, _)| number(pid)).collect::<BTreeSet<_>>()
            };
            let mut expected = persons(&original, &theirs);
            if layout == "msmt17" {
                expected = (0..expected.len() as i64).collect();
            }
            assert_eq!(persons(&data, own), expected, "{name} {part}");
        }
        let trained: BTreeSet<i64> = data.train.iter().map(|s| s.pid).collect();
        assert!(data.query.iter().all(|s| !trained.contains(&s.pid)), "{name}");
        let junk = data.gallery.iter().filter(|s| s.pid == -1).count();
        let has_junk = ["MARS", "cameras", "pytorch", "names"].contains(&name);
        assert_eq!(junk, if has_junk { 2 } else { 0 }, "{name}");
        // Reports read images from the test folders alone.
        let test = Layout::test_folders(&root);
        let inside = |s: &Sample| test.iter().any(|folder| s.path.starts_with(folder));
        assert!(data.query.iter().chain(&data.gallery).all(inside), "{name}: {test:?}");
        if layout != "list" {
            assert!(!data.train.iter().any(inside), "{name}: {test:?}");
        }
    }
}

#[test]
fn tracklets_of_mars_are_their_frames() {
    let folder = tempdir().unwrap();
    let data = Dataset::open(&tree("MARS", set(), folder.path())).unwrap();
    let tracklets = data.tracklets.clone().unwrap();
    // A query for each of 4 persons at 2 cameras, and for each of 3 persons a training tracklet.
    assert_eq!((tracklets.train, tracklets.query.len()), (6, 8));
    assert_eq!(data.counts(), [6, 8, tracklets.gallery.len()]);
    for (samples, ranges) in [(&data.query, &tracklets.query), (&data.gallery, &tracklets.gallery)] {
        assert_eq!(ranges.iter().map(ExactSizeIterator::len).sum::<usize>(), samples.len());
        for range in ranges {
            let frames = &samples[range.clone()];
            assert!(frames.iter().all(|frame| (frame.pid, frame.camid) == (frames[0].pid, frames[0].camid)));
        }
    }
    assert!(data.gallery.iter().any(|frame| frame.pid == 0), "distractors stay");
}

#[test]
fn faulty_lists_of_mars_name_the_row() {
    let folder = tempdir().unwrap();
    let root = tree("MARS", set(), folder.path());
    let info = root.join("info/tracks_train_info.mat");
    let cases: [(Vec<f64>, usize, &str); 6] = [
        (vec![1.0, 1.0, 1.0], 3, "a tracklet has four"),
        (vec![0.0, 1.0, 1.0, 1.0], 4, "row 1: images 0 to 1"),
        (vec![1.0, 9999.0, 1.0, 1.0], 4, "images 1 to 9999"),
        (vec![1.0, 1.5, 1.0, 1.0], 4, "no whole number"),
        (vec![1.0, 1.0, -2.0, 1.0], 4, "person -2, camera 1"),
        (vec![1.0, 1.0, 0.0, 1.0], 4, "a training tracklet of a distractor"),
    ];
    for (values, columns, words) in cases {
        fs::write(&info, mat("track_train_info", 1, columns, &values, false)).unwrap();
        assert_error(Dataset::open(&root), &["tracks_train_info.mat", words]);
    }
    // Rows that name the same images again and again.
    let many: Vec<f64> = [1.0, 2.0, 1.0, 1.0].iter().flat_map(|value| vec![*value; 500]).collect();
    fs::write(&info, mat("track_train_info", 500, 4, &many, true)).unwrap();
    assert_error(Dataset::open(&root), &["images that earlier tracklets have too"]);
    let good = mat("x", 1, 1, &[1.0], false);
    let mut two = good.clone();
    two.extend_from_slice(&good[128..]);
    let bomb = [&good[..128], &packed_element(&vec![0; 40 << 20])].concat();
    for (bytes, words) in [
        (&b"MATLAB 7.3 MAT-file"[..], "version 7.3"),
        (&b"nothing"[..], "not a MATLAB file"),
        (&good[..140], "cut short"),
        (&two[..], "no matrix \"track_train_info\"; found x, x"),
        (&bomb[..], "more than 16 MiB"),
    ] {
        fs::write(&info, bytes).unwrap();
        assert_error(Dataset::open(&root), &["tracks_train_info.mat", words]);
    }
    for length in 0..good.len() {
        fs::write(&info, &good[..length]).unwrap();
        assert!(Dataset::open(&root).is_err());
    }
    fs::remove_file(&info).unwrap();
    let queries = root.join("info/query_IDX.mat");
    for value in [0.0, 1e6, 1.5, f64::NAN] {
        fs::write(&queries, mat("query_IDX", 1, 1, &[value], false)).unwrap();
        assert_error(Dataset::open(&root), &["query_IDX.mat", "whole numbers from 1 to"]);
    }
}

#[test]
fn lists_of_msmt17_stay_in_their_folder() {
    let folder = tempdir().unwrap();
    let root = tree("MSMT17_V1", set(), folder.path());
    let good = fs::read_to_string(root.join("list_query.txt")).unwrap();
    for (line, words) in [
        ("../list_train.txt 0", "no path below"),
        ("/etc/hostname 0", "no path below"),
        ("0000/absent_000_01_x.jpg 0", "no such image"),
        ("0000", "a line is PATH IDENTITY"),
        ("0000/a.jpg -1", "a whole number from 0"),
        ("0000/a.jpg 1000000", "a whole number from 0"),
        ("0000/a.jpg 0", "must be the camera"),
    ] {
        put(&root, "test/0000/a.jpg", b"");
        put(&root, "list_query.txt", format!("{good}\n{line}\n").as_bytes());
        let number = format!("line {}", good.lines().count() + 2);
        assert_error(Dataset::open(&root), &["list_query.txt", &number, words]);
    }
    put(&root, "list_query.txt", b"\xff");
    assert_error(Dataset::open(&root), &["list_query.txt", "UTF-8"]);
    put(&root, "list_query.txt", good.as_bytes());
    fs::remove_file(root.join("list_val.txt")).unwrap();
    let notes = Dataset::open(&root).unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("no list_val.txt")), "{notes:?}");
    fs::rename(root.join("test"), root.join("elsewhere")).unwrap();
    assert_error(Dataset::open(&root), &["list_query.txt", "no folder test or mask_test_v2"]);
}

#[test]
fn splits_of_two_cameras() {
    let folder = tempdir().unwrap();
    for name in ["VIPeR", "VIPeR-json"] {
        let root = tree(name, set(), folder.path());
        let open = |split| Dataset::open_as(&root, OpenOptions { layout: None, split: Some(split) });
        let (first, second) = (open(1).unwrap(), open(2).unwrap());
        assert_eq!(first.counts(), [6, 4, 4], "{name}");
        assert_eq!(second.counts(), [8, 3, 3], "{name}");
        assert!(
            first.query.iter().all(|s| s.camid == Some(1))
                && first.gallery.iter().all(|s| s.camid == Some(2))
        );
        assert_eq!(first.labels.pid(first.train[0].pid), "0");
        assert_error(open(3), &["no split 3", "2 splits"]);
        assert_error(open(0), &["no split 0"]);
        assert!(second.notes.iter().any(|note| note.contains("split 2 of 2")), "{:?}", second.notes);
    }
    let root = folder.path().join("VIPeR");
    for (list, words) in [
        ("split,pid\n1,77\n", "person \"77\" has no image"),
        ("split,pid\n0,1\n", "give 1 to 1000"),
        ("pid\n1\n", "write the header split,pid"),
        ("split,pid\n1,1\n1,1\n", "line 3: split 1 names person \"1\" a second time"),
    ] {
        put(&root, "splits.csv", list.as_bytes());
        assert_error(Dataset::open(&root), &["splits.csv line", words]);
    }
    // Training on everybody is a split too; it has nobody to be tested.
    let persons: BTreeSet<i64> = Dataset::open(&tree("VIPeR", set(), &folder.path().join("whole")))
        .map(|data| data.train.iter().chain(&data.query).chain(&data.gallery).map(|s| s.pid - 1).collect())
        .unwrap();
    let all: String = persons.iter().map(|person| format!("1,{person}\n")).collect();
    put(&root, "splits.csv", format!("split,pid\n{all}").as_bytes());
    let everybody = Dataset::open(&root).unwrap();
    everybody.require_train().unwrap();
    assert_error(everybody.require_test(), &["this split has no query images", "splits.csv"]);
    fs::remove_file(root.join("splits.csv")).unwrap();
    assert_error(Dataset::open(&root), &["no splits.csv", "split,pid"]);
    put(&root, "splits.json", br#"[{"train": [["x/cam_a/no.bmp", 1, 0]], "query": [], "gallery": []}]"#);
    assert_error(Dataset::open(&root), &["splits.json", "no such image"]);
    put(&root, "splits.json", b"{}");
    assert_error(Dataset::open(&root), &["splits.json", "not a list of splits"]);
    assert_error(opened_as(set(), Layout::Market1501, Some(1)), &["a split is chosen", "has none"]);
}

#[test]
fn folders_of_identities_without_cameras_and_wrong_ones() {
    let root = tempdir().unwrap();
    let root = root.path();
    for image in
        ["train/ann/a.jpg", "train/bob/b.jpg", "query/cy/c.jpg", "gallery/cy/d.jpg", "gallery/-1/e.jpg"]
    {
        put(root, image, b"");
    }
    let data = Dataset::open(root).unwrap();
    let numbers = |samples: &[Sample]| samples.iter().map(|s| (s.pid, s.camid)).collect::<Vec<_>>();
    assert_eq!((data.name.as_str(), numbers(&data.train)), ("folders", vec![(1, None), (2, None)]));
    assert_eq!(
        (numbers(&data.query), numbers(&data.gallery)),
        (vec![(3, None)], vec![(-1, None), (3, None)])
    );
    assert_eq!(data.labels.pid(3), "cy");
    put(root, "gallery/cy/cam/f.jpg", b"");
    let notes = Dataset::open(root).unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("so no camera is known")), "{notes:?}");
    put(root, "train/loose.jpg", b"");
    assert_error(Dataset::open(root), &["loose.jpg", "in no folder of an identity"]);
    fs::remove_file(root.join("train/loose.jpg")).unwrap();
    put(root, "train/ann/x/y/deep.jpg", b"");
    assert_error(Dataset::open(root), &["deep.jpg", "too many folders"]);
    fs::remove_dir_all(root.join("train/ann/x")).unwrap();
    put(root, "train/-7/g.jpg", b"");
    assert_error(Dataset::open(root), &["g.jpg", "\"-7\""]);
}

#[test]
fn trees_in_another_layout_say_what_was_found_and_expected() {
    let folder = tempdir().unwrap();
    let root = folder.path().join("other");
    put(&root, "pictures/a.jpg", b"");
    for layout in Layout::ALL {
        let error = opened_as(&root, layout, None).unwrap_err().to_string();
        assert!(error.contains("pictures/") && !error.contains('\n'), "{layout}: {error}");
        assert!(error.contains(&format!("layout {layout}")), "{layout}: {error}");
        let named = error.contains(&layout.tree());
        assert!(named, "{layout}: {error}");
    }
    assert_error(
        Dataset::open(&root),
        &["bounding_box_train/", "(folders)", "train.csv", "docs/data-sets.md", "found pictures/"],
    );
    assert_error(Dataset::open(folder.path()).map(|_| ()), &["not a data set: expected"]);
    let mars = tree("MARS", set(), folder.path());
    assert_error(Dataset::open(folder.path()), &["holds one; give", "MARS"]);
    assert_error(opened_as(&mars, Layout::Veri776, None), &["layout veri776", "image_train/", "bbox_test/"]);
    // The names decide, unless the layout is chosen.
    let duke = tree("dukemtmc", set(), folder.path());
    assert_error(
        opened_as(&duke, Layout::Market1501, None),
        &["market1501", "0002_c1s1_000451_03.jpg", "dukemtmc"],
    );
    assert_eq!(opened_as(&duke, Layout::OccludedDuke, None).unwrap().name, "occluded-dukemtmc");
    // Both kinds of boxes.
    let both = tree("CUHK03-NP", set(), folder.path());
    fs::rename(tree("detected", set(), folder.path()), both.join("detected")).unwrap();
    assert_error(Dataset::open(&both), &["cuhk03-np-detected or cuhk03-np-labeled"]);
    assert_eq!(opened_as(&both, Layout::Cuhk03Detected, None).unwrap().name, "cuhk03-np-detected");
    assert!(
        opened_as(&both, Layout::Cuhk03Labeled, None).unwrap().query[0]
            .path
            .starts_with(both.join("labeled"))
    );
}

/// `BCREID_DATA_SETS` names a folder with real data sets in folders called like their layouts.
#[test]
fn real_data_sets_have_their_official_numbers() {
    let Some(folder) = std::env::var_os("BCREID_DATA_SETS") else {
        return println!("skipped: BCREID_DATA_SETS names no folder of real data sets");
    };
    let mut compared = 0;
    for layout in Layout::ALL {
        let root = Path::new(&folder).join(layout.name());
        if let (true, Some(official)) = (root.is_dir(), layout.official()) {
            let data = opened_as(&root, layout, None).unwrap();
            assert_eq!(data.counts(), official, "{layout}");
            assert!(data.notes.iter().any(|note| note.contains("the published numbers")), "{:?}", data.notes);
            compared += 1;
        }
    }
    assert!(compared > 0, "BCREID_DATA_SETS has no folder that is called like a layout");
}

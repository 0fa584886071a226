use crate::made::{assert_error, put};
use bcreid::data::Dataset;
use bcreid::data::folder::Folder;
use std::path::Path;
use tempfile::tempdir;

/// Opening reads names alone, so empty files do.
fn lay_out(root: &Path, names: &[&str]) {
    for name in names {
        put(root, name, b"");
    }
}

fn pids(samples: &[bcreid::data::Sample]) -> Vec<(i64, Option<i64>)> {
    samples.iter().map(|s| (s.pid, s.camid)).collect()
}

#[test]
fn market1501() {
    let root = tempdir().unwrap();
    lay_out(
        root.path(),
        &[
            "bounding_box_train/0007_c2s1_000451_03.jpg",
            "bounding_box_train/0002_c1s1_000451_03.jpg",
            "bounding_box_train/Thumbs.db",
            "bounding_box_train/._0002_c1s1_000451_03.jpg",
            "query/0011_c6s3_000001_00.jpg.jpg",
            "bounding_box_test/0000_c1s1_000151_01.jpg",
            "bounding_box_test/-1_c3s1_000401_03.jpg",
            "bounding_box_test/0011_c1s1_000001_00.PNG",
            "gt_bbox/anything.txt",
        ],
    );
    let data = Dataset::open(root.path()).unwrap();
    assert_eq!(data.name, "market1501");
    assert_eq!(pids(&data.train), [(2, Some(1)), (7, Some(2))]);
    assert_eq!(pids(&data.query), [(11, Some(6))]);
    assert_eq!(pids(&data.gallery), [(-1, Some(3)), (0, Some(1)), (11, Some(1))]);
    assert_eq!(data.notes.len(), 1);
    assert!(
        data.notes[0].contains("bounding_box_train") && data.notes[0].contains("2 entries"),
        "{:?}",
        data.notes
    );
    data.require_train().unwrap();
    data.require_test().unwrap();
}

#[test]
fn dukemtmc() {
    let root = tempdir().unwrap();
    lay_out(root.path(), &["query/0005_c2_f0046985.jpg", "bounding_box_test/0005_c8_f0000001.jpg"]);
    let data = Dataset::open(root.path()).unwrap();
    assert_eq!((data.name.as_str(), pids(&data.query)), ("dukemtmc", vec![(5, Some(2))]));
    data.require_test().unwrap();
    assert_error(data.require_train(), &["bounding_box_train", "training"]);
}

/// The folder's own name looks like a person's: only the base name may count.
#[test]
fn names_are_read_from_the_base_name_alone() {
    let root = tempdir().unwrap();
    let root = root.path().join("0099_c7s1_x_12_c3");
    lay_out(&root, &["bounding_box_train/0002_c1s1_000451_03.jpg"]);
    assert_eq!(pids(&Dataset::open(&root).unwrap().train), [(2, Some(1))]);
    lay_out(&root, &["bounding_box_train/portrait.jpg"]);
    assert_error(Dataset::open(&root), &["portrait.jpg", "0002_c1s1_000451_03.jpg", "0005_c2_f0046985.jpg"]);
}

#[test]
fn distractors_and_junk_cannot_be_trained_on() {
    for (name, word) in [("0000_c1s1_000151_01.jpg", "distractor"), ("-1_c1s1_000151_01.jpg", "junk")] {
        let root = tempdir().unwrap();
        lay_out(root.path(), &["bounding_box_train/0002_c1s1_000451_03.jpg"]);
        lay_out(root.path(), &[&format!("bounding_box_train/{name}")]);
        assert_error(Dataset::open(root.path()), &[name, word, "bounding_box_test"]);
    }
}

#[test]
fn wrong_folders_say_what_was_found_and_what_is_expected() {
    let root = tempdir().unwrap();
    let path = root.path();
    assert_error(Dataset::open(&path.join("nowhere")), &["nowhere", "No such file"]);
    assert_error(Dataset::open(path), &["bounding_box_train", "train.csv", "the folder is empty"]);
    let file = put(path, "a.jpg", b"");
    assert_error(Dataset::open(&file), &["a.jpg", "is a file", "bounding_box_train"]);
    lay_out(path, &["b.jpg", "c/d.jpg", "e.jpg", "f.jpg", "g.jpg", "h.jpg"]);
    assert_error(Dataset::open(path), &["a.jpg, b.jpg, c/", "and 2 more"]);
    lay_out(path, &["Market-1501/bounding_box_train/0002_c1s1_000451_03.jpg"]);
    assert_error(Dataset::open(path), &["not a data set, but holds one", "Market-1501"]);
    std::fs::create_dir(path.join("query")).unwrap();
    assert_error(Dataset::open(path), &["query", "no image (.jpg"]);
}

#[test]
fn two_data_sets_in_one_folder_are_refused() {
    let root = tempdir().unwrap();
    lay_out(root.path(), &["query/0002_c1s1_000451_03.jpg", "query/0005_c2_f0046985.jpg"]);
    assert_error(Dataset::open(root.path()), &["0005_c2_f0046985.jpg", "dukemtmc", "market1501"]);
}

#[cfg(unix)]
#[test]
fn a_name_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let root = tempdir().unwrap();
    let query = root.path().join("query");
    std::fs::create_dir(&query).unwrap();
    std::fs::write(query.join(std::ffi::OsStr::from_bytes(b"0002_c1s1_\xff.jpg")), b"").unwrap();
    assert_error(Dataset::open(root.path()), &["0002_c1s1_", "UTF-8", "rename"]);
}

#[test]
fn any_folder_of_images() {
    let root = tempdir().unwrap();
    lay_out(root.path(), &["b.jpg", "a/0005_c2_f0046985.jpg", "a/0002_c1s1_000451_03.png", "notes.txt"]);
    let folder = Folder::open(root.path()).unwrap();
    let names: Vec<_> = folder.samples.iter().map(|s| s.path.strip_prefix(root.path()).unwrap()).collect();
    assert_eq!(names, ["a/0002_c1s1_000451_03.png", "a/0005_c2_f0046985.jpg", "b.jpg"].map(Path::new));
    // One name without a camera, and no camera counts.
    assert_eq!(pids(&folder.samples), [(2, None), (5, None), (-1, None)]);
    assert_eq!(folder.notes.len(), 2);
    assert!(folder.notes[0].contains("notes.txt"), "{:?}", folder.notes);
    let unnamed = &folder.notes[1];
    assert!(
        unnamed.contains("1 of 3 names")
            && unnamed.contains("b.jpg")
            && unnamed.contains("no image's camera")
    );
    let named = Folder::open(&root.path().join("a")).unwrap();
    assert_eq!((pids(&named.samples), named.notes.len()), (vec![(2, Some(1)), (5, Some(2))], 0));
    let single = Folder::open(&root.path().join("b.jpg")).unwrap();
    assert_eq!((pids(&single.samples), single.notes.len()), (vec![(-1, None)], 1));
    assert!(single.notes[0].contains("1 of 1 names"), "{:?}", single.notes);
    assert_error(Folder::open(&root.path().join("z")), &["z"]);
    std::fs::create_dir(root.path().join("empty")).unwrap();
    assert_error(Folder::open(&root.path().join("empty")), &["empty", "no image (.jpg"]);
}

#[cfg(unix)]
#[test]
fn links_in_a_circle_end() {
    let root = tempdir().unwrap();
    lay_out(root.path(), &["a/b.jpg"]);
    std::os::unix::fs::symlink(root.path(), root.path().join("a/up")).unwrap();
    assert_eq!(Folder::open(root.path()).unwrap().samples.len(), 1);
}

/// A data set from elsewhere must not make the program read the user's other folders.
#[cfg(unix)]
#[test]
fn links_to_folders_outside_are_not_followed() {
    use std::os::unix::fs::symlink;
    let (root, elsewhere) = (tempdir().unwrap(), tempdir().unwrap());
    let (root, elsewhere) = (root.path(), elsewhere.path());
    lay_out(elsewhere, &["0003_c1s1_000451_03.jpg"]);
    lay_out(root, &["bounding_box_train/in/0002_c1s1_000451_03.jpg"]);
    symlink(elsewhere, root.join("bounding_box_train/out")).unwrap();
    symlink("in", root.join("bounding_box_train/again")).unwrap();
    let data = Dataset::open(root).unwrap();
    assert_eq!(pids(&data.train), [(2, Some(1))]);
    let note = "out is a link to a folder outside and is not followed";
    assert!(data.notes.len() == 1 && data.notes[0].contains(note), "{:?}", data.notes);
    assert_eq!(Folder::open(root).unwrap().samples.len(), 1);
    // A part that is a link is read, and said to be one.
    symlink(elsewhere, root.join("query")).unwrap();
    let data = Dataset::open(root).unwrap();
    assert_eq!(pids(&data.query), [(3, Some(1))]);
    let place = elsewhere.canonicalize().unwrap();
    let note = format!("query: this folder is a link to {}", place.display());
    assert!(data.notes.iter().any(|n| n.contains(&note)), "{:?}", data.notes);
    // The folder that the user names may be a link, without a word; a folder of links alone has no image.
    symlink(elsewhere, root.join("mine")).unwrap();
    let mine = Folder::open(&root.join("mine")).unwrap();
    assert_eq!((mine.samples.len(), mine.notes.len()), (1, 0), "{:?}", mine.notes);
    lay_out(root, &["links/read-me.txt"]);
    symlink(elsewhere, root.join("links/out")).unwrap();
    assert_error(Folder::open(&root.join("links")), &["no image", "out is a link to a folder outside"]);
}

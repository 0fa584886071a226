//! Slips of people who write their own lists and sort their own folders: an error or a warning names the place and the
//! fix.

use crate::made::{assert_error, put};
use bcreid::data::{Dataset, Sample};
use std::fs;
use std::path::Path;
use tempfile::tempdir;

#[track_caller]
fn assert_note(root: &Path, words: &[&str]) {
    let notes = Dataset::open(root).unwrap().notes;
    let fits = |note: &&String| words.iter().all(|word| note.contains(word));
    assert_eq!(notes.iter().filter(fits).count(), 1, "{words:?} are in no note of {notes:?}");
}

fn numbers(samples: &[Sample]) -> Vec<i64> {
    samples.iter().map(|sample| sample.pid).collect()
}

#[test]
fn a_line_with_another_separator_than_the_header_says_so() {
    let root = tempdir().unwrap();
    let root = root.path();
    put(root, "a.jpg", b"");
    for (list, words) in [
        ("path,pid,camid\na.jpg;1;1\n", ["line 2", "separated by semicolons", "the header by commas"]),
        (
            "path;pid;camid\na.jpg;1;1\na.jpg,2,1\n",
            ["line 3", "separated by commas", "the header by semicolons"],
        ),
        ("path\tpid\n\na.jpg,1\n", ["line 3", "separated by commas", "the header by tabs"]),
        // Neither separator gives the number of fields.
        ("path,pid,camid\na.jpg;1\n", ["line 2", "1 field, but the header has 3", "quote"]),
    ] {
        put(root, "train.csv", list.as_bytes());
        assert_error(Dataset::open(root), &words);
    }
}

#[test]
fn paths_that_lead_to_no_image_say_why() {
    let root = tempdir().unwrap();
    let root = root.path();
    put(root, "images/a.jpg", b"");
    for (list, words) in [
        ("path,pid\nimages/a.jpg,1\n,2\n", &["train.csv line 3: no path"][..]),
        ("path,pid\nimages,1\n", &["line 2", "a folder, and a list names images"]),
        ("path,pid\nimages/b.jpg,1\n", &["line 2", "no such image", "relative to the list's folder"]),
    ] {
        put(root, "train.csv", list.as_bytes());
        assert_error(Dataset::open(root), words);
    }
    if cfg!(unix) {
        put(root, "train.csv", b"path,pid\nimages\\a.jpg,1\n");
        assert_error(Dataset::open(root), &["line 2", "backslashes, as on Windows; write images/a.jpg"]);
        // A backslash is a letter of a name there too.
        put(root, "images\\a.jpg", b"");
        assert_eq!(Dataset::open(root).unwrap().train.len(), 1);
    }
}

#[test]
fn the_value_that_makes_names_of_numbers_is_named_with_its_line() {
    let root = tempdir().unwrap();
    let root = root.path();
    let mut list = String::from("path,pid,camid\n");
    for i in 0..20 {
        put(root, &format!("{i}.jpg"), b"");
        let (pid, camera) =
            (if i == 15 { "O012".into() } else { i.to_string() }, if i == 3 { "c1" } else { "1" });
        list += &format!("{i}.jpg,{pid},{camera}\n");
    }
    put(root, "gallery.csv", list.as_bytes());
    assert_note(
        root,
        &["warning", "gallery.csv line 17: the person `O012` is not a number", "read as names"],
    );
    assert_note(root, &["warning", "gallery.csv line 5: the camera `c1` is not a number"]);
    // Many names are no slip.
    put(root, "gallery.csv", list.replace(".jpg,1", ".jpg,x1").as_bytes());
    let notes = Dataset::open(root).unwrap().notes;
    assert!(!notes.iter().any(|note| note.contains("the person `")), "{notes:?}");
    // In folders the place is the image.
    let folders = root.join("folders");
    for i in 0..20 {
        put(&folders, &format!("train/{}/a.jpg", if i == 7 { "seven".into() } else { i.to_string() }), b"");
    }
    assert_note(&folders, &["warning", "train/seven/a.jpg: the person `seven` is not a number"]);
}

#[test]
fn one_number_in_two_spellings_is_warned_of() {
    let root = tempdir().unwrap();
    let root = root.path();
    for folder in ["0007", "7", "8", "0", "0000"] {
        put(root, &format!("gallery/{folder}/a.jpg"), b"");
    }
    assert_note(
        root,
        &["warning", "0007 and 7 are one number in two spellings", "as numbers they are one person"],
    );
    assert_eq!(numbers(&Dataset::open(root).unwrap().gallery), [0, 0, 7, 7, 8]);
    put(root, "gallery/ann/a.jpg", b"");
    assert_note(root, &["warning", "0007 and 7", "read as names here, so these are two"]);
    assert_eq!(numbers(&Dataset::open(root).unwrap().gallery), [0, 0, 1, 2, 3, 4]);
    // Spreadsheet programs write fractions.
    let lists = root.join("lists");
    put(&lists, "a.jpg", b"");
    put(&lists, "b.jpg", b"");
    put(&lists, "train.csv", b"path,pid\na.jpg,7.0\nb.jpg,7\n");
    assert_note(&lists, &["warning", "7.0 and 7 are one number in two spellings", "these are two"]);
    // A camera 0 is a camera, where a person 0 is a distractor.
    let cameras = root.join("cameras");
    for image in ["a.jpg", "b.jpg", "c.jpg"] {
        put(&cameras, image, b"");
    }
    put(&cameras, "train.csv", b"path,pid,camid\na.jpg,ann,0\nb.jpg,ann,00\nc.jpg,bob,left\n");
    assert_note(&cameras, &["warning", "0 and 00 are one number in two spellings", "these are two"]);
}

#[test]
fn names_that_look_the_same_are_one_name() {
    let root = tempdir().unwrap();
    let root = root.path();
    for image in ["a.jpg", "b.jpg", "c.jpg"] {
        put(root, image, b"");
    }
    put(root, "train.csv", "path,pid\na.jpg,Zo\u{eb}\nb.jpg,Zoe\u{308}\nc.jpg,Zoe\n".as_bytes());
    let data = Dataset::open(root).unwrap();
    assert_eq!(numbers(&data.train), [2, 2, 1]);
    assert_eq!(data.labels.pid(2), "Zo\u{eb}");
    let folders = root.join("folders");
    for folder in ["Jose\u{301}", "Jos\u{e9}", "Ann"] {
        put(&folders, &format!("train/{folder}/a.jpg"), b"");
    }
    let data = Dataset::open(&folders).unwrap();
    assert_eq!((numbers(&data.train).len(), data.labels.pids.len()), (3, 2));
}

#[test]
fn distractors_and_junk_keep_their_meaning_among_names() {
    let root = tempdir().unwrap();
    let root = root.path();
    for image in ["q/a.jpg", "g/a.jpg", "g/b.jpg", "g/c.jpg"] {
        put(root, image, b"");
    }
    put(root, "query.csv", b"path,pid\nq/a.jpg,ann\n");
    put(root, "gallery.csv", b"path,pid\ng/a.jpg,ann\ng/b.jpg,0\ng/c.jpg,-1\n");
    let data = Dataset::open(root).unwrap();
    assert_eq!((numbers(&data.query), numbers(&data.gallery)), (vec![1], vec![1, 0, -1]));
}

#[test]
fn folders_of_persons_that_hold_no_image_are_named() {
    let root = tempdir().unwrap();
    let root = root.path();
    put(root, "train/ann/a.jpg", b"");
    put(root, "train/bob/readme.txt", b"");
    fs::create_dir_all(root.join("train/cy/west")).unwrap();
    fs::create_dir_all(root.join("train/.git")).unwrap();
    assert_note(root, &["train: left out 2 folders without an image (bob, cy)", ".jpg"]);
}

#[test]
fn folders_and_images_without_parts_say_which_layout_they_nearly_have() {
    let root = tempdir().unwrap();
    let root = root.path();
    let persons = root.join("persons");
    for person in ["ann", "bob", "cy"] {
        put(&persons, &format!("{person}/a.jpg"), b"");
    }
    let said = ["3 folders of images (ann/, ...)", "persons/train", "persons/query", "the layout folders"];
    assert_error(Dataset::open(&persons), &said);
    let set = root.join("set");
    for part in ["train", "query"] {
        put(&set, &format!("{part}/ann/a.jpg"), b"");
        put(&set, &format!("{part}/bob/a.jpg"), b"");
        assert_error(
            Dataset::open(&set.join(part)),
            &["this is the part", part, "give the folder above", "set"],
        );
    }
    assert_error(Dataset::open(&set.join("train/../train")), &["give the folder above"]);
    let list = put(&root.join("lists"), "train.csv", b"");
    assert_error(
        Dataset::open(&list),
        &["train.csv: one of the lists of a data set; give their folder: ", "lists"],
    );
    let flat = root.join("flat");
    put(&flat, "a.jpg", b"");
    put(&flat, "b.png", b"");
    assert_error(Dataset::open(&flat), &["2 images without the parts", "train.csv", "found a.jpg, b.png"]);
    let error = Dataset::open(&flat.join("..")).unwrap_err().to_string();
    assert!(error.len() < 500, "{error}");
}

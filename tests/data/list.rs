use crate::made::{assert_error, put};
use bcreid::data::{Dataset, Sample};
use tempfile::tempdir;

#[test]
fn lists_are_read_in_their_order() {
    let root = tempdir().unwrap();
    let root = root.path();
    for image in ["images/b.jpg", "a.png"] {
        put(root, image, b"");
    }
    put(root, "train.csv", b"\xef\xbb\xbfpid, path, note\n7,images/b.jpg,x\n 0 , a.png ,\"y, z\"\n");
    put(root, "gallery.csv", b"path,pid,camid\r\na.png,-1,0\r\nimages/b.jpg,12,4\r\n");
    let data = Dataset::open(root).unwrap();
    let sample = |path: &str, pid, camid| Sample { path: root.join(path), pid, camid };
    assert_eq!(data.name, "list");
    assert_eq!(data.train, [sample("images/b.jpg", 7, None), sample("a.png", 0, None)]);
    assert_eq!(data.gallery, [sample("a.png", -1, Some(0)), sample("images/b.jpg", 12, Some(4))]);
    put(root, "gallery.csv", b"path,pid,camid\na.png,-1,\nimages/b.jpg,12,\n");
    let gallery = Dataset::open(root).unwrap().gallery;
    assert_eq!(gallery, [sample("a.png", -1, None), sample("images/b.jpg", 12, None)]);
    assert_error(data.require_test(), &["query.csv"]);
}

#[test]
fn faults_name_the_file_and_the_line() {
    let root = tempdir().unwrap();
    let root = root.path();
    put(root, "a.jpg", b"");
    let long = format!("path,pid\na.jpg,{}\n", "x".repeat(201));
    let cases: [(&[u8], &[&str]); 13] = [
        (b"", &["train.csv line 1", "path,pid,camid"]),
        (b"a.jpg,1,1\n", &["train.csv line 1", "found \"a.jpg,1,1\""]),
        (b"path|pid\na.jpg|1\n", &["line 1", "path|pid"]),
        (b"path,pid,PID\na.jpg,1,1\n", &["line 1", "two columns are called pid"]),
        (b"path,pid\n", &["train.csv", "no image"]),
        (b"path,pid\na.jpg,1\na.jpg,\n", &["train.csv line 3", "no pid"]),
        (long.as_bytes(), &["train.csv line 2", "201 bytes", "at most 200"]),
        (b"path,pid\na.jpg,-2\n", &["line 2", "\"-2\""]),
        (b"path,pid,camid\na.jpg,1,-5\n", &["line 2", "camid", "-5"]),
        (b"path,pid\na.jpg,1\n\nb.jpg,1\n", &["line 4", "b.jpg", "no such image"]),
        (b"path,pid,camid\na.jpg,1,2\n\na.jpg,1,\na.jpg,1,\n", &["line 4", "no camid", "give all or none"]),
        (b"path,pid,camid\na.jpg,1,\na.jpg,1,2\n", &["line 2", "no camid", "give all or none"]),
        (b"path,pid\na.jpg,1,5\n", &["line 2", "3 fields", "2"]),
    ];
    for (list, words) in cases {
        put(root, "train.csv", list);
        assert_error(Dataset::open(root), words);
    }
    put(root, "train.csv", b"path,pid\na\xff.jpg,1\n");
    assert_error(Dataset::open(root), &["train.csv line 2", "UTF-8"]);
}

#[test]
fn tabs_semicolons_and_any_case_of_the_header_are_read() {
    let root = tempdir().unwrap();
    let root = root.path();
    put(root, "a b,c.jpg", b"");
    put(root, "d.jpg", b"");
    for list in [
        "Path;PID;CamID\na b,c.jpg;7;2\nd.jpg;8;3\n",
        "PATH\tpid\tCAMID\r\na b,c.jpg\t7\t2\r\nd.jpg\t8\t3\r\n",
        " pid , camid , path \n7,2,\"a b,c.jpg\"\n8,3,d.jpg\n",
    ] {
        put(root, "train.csv", list.as_bytes());
        let data = Dataset::open(root).unwrap();
        let sample = |path: &str, pid, camid| Sample { path: root.join(path), pid, camid: Some(camid) };
        assert_eq!(data.train, [sample("a b,c.jpg", 7, 2), sample("d.jpg", 8, 3)], "{list}");
        assert!(data.labels.is_empty());
    }
}

#[test]
fn names_are_numbered_over_all_lists_and_kept() {
    let root = tempdir().unwrap();
    let root = root.path();
    for image in ["a.jpg", "b.jpg", "c.jpg", "d.jpg"] {
        put(root, image, b"");
    }
    put(root, "train.csv", b"path,pid,camid\na.jpg,person_2,west\nb.jpg,person_1,east\n");
    put(root, "query.csv", b"path,pid,camid\nc.jpg,person_10,west\n");
    put(root, "gallery.csv", b"path,pid,camid\nd.jpg,-1,east\n");
    put(root, "gt_bbox.csv", b"path,pid,camid\nc.jpg,person_10,west\n");
    let data = Dataset::open(root).unwrap();
    let numbers = |samples: &[Sample]| samples.iter().map(|s| (s.pid, s.camid)).collect::<Vec<_>>();
    assert_eq!(numbers(&data.train), [(3, Some(2)), (1, Some(1))]);
    assert_eq!((numbers(&data.query), numbers(&data.gallery)), (vec![(2, Some(2))], vec![(-1, Some(1))]));
    assert_eq!((&*data.labels.pid(2), &*data.labels.camera(1)), ("person_10", "east"));
    assert_eq!(numbers(&data.boxes().unwrap()), [(2, Some(2))]);
    assert!(data.notes[0].contains("3 identities with names (the first: person_1)"), "{:?}", data.notes);
    put(root, "query.csv", b"path,pid,camid\nc.jpg,10,1\n");
    put(root, "gallery.csv", b"path,pid,camid\nd.jpg,10,2\n");
    put(root, "train.csv", b"path,pid,camid\na.jpg,1,1\n");
    assert_error(Dataset::open(root).unwrap().boxes(), &["gt_bbox.csv", "west", "is a name"]);
    // One mistyped number makes names of all; a note says so.
    put(root, "train.csv", b"path,pid,camid\na.jpg,1,1\nb.jpg,1O,1\n");
    let notes = Dataset::open(root).unwrap().notes;
    assert!(notes[0].contains("(the first: 1)") && notes[0].contains("2 of them are numbers"), "{notes:?}");
}

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
    let cases: [(&[u8], &[&str]); 11] = [
        (b"", &["train.csv line 1", "path,pid,camid"]),
        (b"a.jpg,1,1\n", &["train.csv line 1", "found \"a.jpg,1,1\""]),
        (b"path;pid\na.jpg;1\n", &["line 1", "path;pid"]),
        (b"path,pid\n", &["train.csv", "no image"]),
        (b"path,pid\na.jpg,1\na.jpg,one\n", &["train.csv line 3", "\"one\""]),
        (b"path,pid\na.jpg,-2\n", &["line 2", "\"-2\""]),
        (b"path,pid,camid\na.jpg,1,x\n", &["line 2", "camid"]),
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

//! Outputs of the user: an existing file is kept, and a link is followed.

use crate::{Folder, golden, refusal, said};
use bcreid::weights::NetworkFile;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

#[test]
fn an_existing_file_needs_force_and_a_link_is_followed() {
    let folder = Folder::new();
    let model = golden("caffe.caffemodel");
    let (out, link) = (folder.write("out.safetensors", b"dear"), folder.at("link.safetensors"));
    symlink(&out, &link).unwrap();
    let arguments = |out: &Path, force: bool| {
        let mut arguments = vec![model.as_os_str().to_owned(), "--out".into(), out.as_os_str().to_owned()];
        arguments.extend(["--mean".into(), "104,117,123".into()]);
        arguments.extend(force.then(|| OsStr::new("--force").to_owned()));
        arguments
    };
    for file in [&out, &link] {
        assert!(refusal(&arguments(file, false)).contains("exists; give another --out, or --force"));
        assert_eq!(fs::read(&out).unwrap(), b"dear");
    }
    said(&arguments(&link, true));
    assert!(link.is_symlink());
    NetworkFile::open(&out).unwrap().check().unwrap();
}

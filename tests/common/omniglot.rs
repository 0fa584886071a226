//! A real data set in the Market-1501 layout: `data/omniglot-market.tar.gz` of the folder that BCREID_SHARED names,
//! where its absence is a failure, or else of `../shared`, where the test says so and passes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The data set, unpacked into `folder`; none, and a note, where there is no archive. The note is written past the
/// test's capture, which would hide it.
pub fn unpack(folder: &Path) -> Option<PathBuf> {
    let named = std::env::var_os("BCREID_SHARED").map(PathBuf::from);
    let is_promised = named.is_some();
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let archive = named.unwrap_or_else(beside).join("data/omniglot-market.tar.gz");
    if !archive.is_file() {
        assert!(!is_promised, "BCREID_SHARED is set, but there is no {}", archive.display());
        let note = format!("skipped: {} is not there\n", archive.display());
        std::io::stderr().write_all(note.as_bytes()).unwrap();
        return None;
    }
    let tar = Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(folder).status();
    assert!(tar.is_ok_and(|status| status.success()), "tar cannot unpack {}", archive.display());
    Some(folder.join("omniglot-market"))
}

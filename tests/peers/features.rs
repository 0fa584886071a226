//! Feature files read by NumPy, pyarrow and Polars, and nearest neighbours found by FAISS.

use crate::command::succeed;
use crate::{bcreid, check, python};
use bcreid::tensor::philox::{Philox, RngStream};
use bcreid::weights::{Features, Origin};
use std::path::Path;

/// Rows of unit length around a few persons; some images are of nobody and lack their camera, and each 50th row is that
/// in front of it again.
pub fn made_up(rows: usize, dim: usize, seed: u64) -> Features {
    let mut values = Vec::with_capacity(rows * dim);
    for row in 0..rows {
        let row = if row % 50 == 49 { row - 1 } else { row };
        let person = Philox::new(1, 1, (row % 23) as u64, RngStream::Init);
        let own = Philox::new(seed, 0, row as u64, RngStream::Init);
        values.extend((0..dim as u32).map(|i| person.normal(i) + 0.7 * own.normal(i)));
    }
    let pid = |row: usize| if row.is_multiple_of(23) { 0 } else { (row % 23) as i64 };
    let camid = |row: usize| if row.is_multiple_of(23) { -1 } else { (row % 5) as i64 };
    let path = |row: usize| format!("gall\u{e9}ry/{row:05}, \"{}\".jpg", row % 7);
    let features = Features::new(
        values,
        dim,
        (0..rows).map(pid).collect(),
        (0..rows).map(camid).collect(),
        (0..rows).map(path).collect(),
    );
    let origin = Origin { network: Some("0f".repeat(32)), ..Origin::default() };
    features.unwrap().normalised().unwrap().with_origin(origin)
}

pub fn convert(from: &Path, to: &Path) {
    succeed(bcreid().arg("features").arg(from).arg("--out").arg(to));
}

#[test]
fn the_same_bits_in_every_format() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // More than goes into one of Arrow's batches.
    let features = made_up(1500, 2048, 3);
    features.write(&at("f.safetensors")).unwrap();
    convert(&at("f.safetensors"), &at("f.npy"));
    convert(&at("f.safetensors"), &at("f.arrow"));
    check(&python, "features_check.py", &["f.safetensors", "f.npy", "f.arrow"].map(at));
    // What NumPy saved comes back too.
    convert(&at("again.npy"), &at("back.safetensors"));
    let back = Features::read(&at("back.safetensors")).unwrap();
    assert_eq!(back.with_origin(features.origin().clone()), features);
}

#[test]
fn faiss_finds_the_same_neighbours() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    made_up(3000, 128, 5).write(&at("gallery.safetensors")).unwrap();
    made_up(40, 128, 6).write(&at("query.safetensors")).unwrap();
    convert(&at("gallery.safetensors"), &at("gallery.npy"));
    convert(&at("query.safetensors"), &at("query.npy"));
    let mut query = bcreid();
    query.args(["query", "--top", "50", "--features"]).arg(at("query.safetensors"));
    succeed(query.arg("--gallery").arg(at("gallery.safetensors")).arg("--json").arg(at("found.json")));
    check(&python, "faiss_check.py", &["query.npy", "gallery.npy", "found.json"].map(at));
}

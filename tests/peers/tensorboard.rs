//! A run's event files read by TensorBoard after training and evaluation.

use crate::{check, evaluated_run, python};
use std::path::Path;

#[test]
fn curves_distances_and_lists() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    evaluated_run(folder.path(), &["--tensorboard"]);
    let run = folder.path().join("run");
    check(&python, "tensorboard_check.py", &[&run, Path::new(env!("CARGO_BIN_EXE_bcreid"))]);
}

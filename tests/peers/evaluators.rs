//! `bcreid eval` compared with other evaluators' definitions.

use crate::{check, python};

#[test]
fn torchreids_and_market_1501s_definitions() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    check(&python, "evaluators.py", &[env!("CARGO_BIN_EXE_bcreid").as_ref(), folder.path().as_os_str()]);
}

//! Chromium on a page of `bcreid report`.

use crate::command::succeed;
use crate::{bcreid, check, evaluated_run, python, skip};
use std::ffi::OsString;
use std::path::Path;

/// The browser: `BCREID_CHROMIUM`, or Debian's.
fn chromium() -> Option<OsString> {
    let named = std::env::var_os("BCREID_CHROMIUM").filter(|browser| !browser.is_empty());
    named.or_else(|| Path::new("/usr/bin/chromium").exists().then(|| "/usr/bin/chromium".into()))
}

#[test]
fn a_page_of_an_evaluated_run() {
    let Some(python) = python() else { return };
    let Some(chromium) = chromium() else {
        return skip("no Chromium (/usr/bin/chromium, or BCREID_CHROMIUM names one)");
    };
    let folder = tempfile::tempdir().unwrap();
    evaluated_run(folder.path(), &[]);
    let page = folder.path().join("page.html");
    succeed(bcreid().arg("report").arg(folder.path().join("run")).arg("--out").arg(&page));
    check(&python, "report.py", &[page.into_os_string(), "--chromium".into(), chromium]);
}

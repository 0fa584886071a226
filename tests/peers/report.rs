//! A page of `bcreid report` checked in Chromium.

use crate::command::succeed;
use crate::{bcreid, check, evaluated_run, python, skip};
use std::ffi::OsString;
use std::path::Path;

/// The browser, `BCREID_CHROMIUM` or Debian's, or a note that there is none; with `BCREID_REQUIRE_CHROMIUM=1` that
/// fails.
fn chromium() -> Option<OsString> {
    let named = std::env::var_os("BCREID_CHROMIUM").filter(|browser| !browser.is_empty());
    let found = named.or_else(|| Path::new("/usr/bin/chromium").exists().then(|| "/usr/bin/chromium".into()));
    if found.is_none() {
        let required = std::env::var_os("BCREID_REQUIRE_CHROMIUM").is_some_and(|value| value == "1");
        assert!(!required, "BCREID_REQUIRE_CHROMIUM=1, but there is no Chromium");
        skip("no Chromium (/usr/bin/chromium, or BCREID_CHROMIUM names one)");
    }
    found
}

#[test]
fn a_page_of_an_evaluated_run() {
    let Some(python) = python() else { return };
    let Some(chromium) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    evaluated_run(folder.path(), &[]);
    let page = folder.path().join("page.html");
    succeed(bcreid().args(["report", "--maps"]).arg(folder.path().join("run")).arg("--out").arg(&page));
    check(&python, "report.py", &[page.into_os_string(), "--chromium".into(), chromium]);
}

#[test]
fn a_page_of_nearest_images() {
    let Some(python) = python() else { return };
    let Some(chromium) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    evaluated_run(folder.path(), &[]);
    let at = |name: &str| folder.path().join(name);
    let mut extract = bcreid();
    extract.arg("extract").arg("--weights").arg(at("run")).arg("--out").arg(at("g.safetensors"));
    succeed(extract.arg("--images").arg(at("set/bounding_box_test")));
    let image = std::fs::read_dir(at("set/query")).unwrap().next().unwrap().unwrap().path();
    let page = at("nearest.html");
    let mut query = bcreid();
    query
        .arg("query")
        .arg("--run")
        .arg(at("run"))
        .arg("--image")
        .arg(image)
        .arg("--gallery")
        .arg(at("g.safetensors"));
    query.args(["--maps", "--threshold", "0.3", "--images"]).arg(at("set")).arg("--out").arg(&page);
    succeed(&mut query);
    check(&python, "report.py", &[page.into_os_string(), "--query".into(), "--chromium".into(), chromium]);
}

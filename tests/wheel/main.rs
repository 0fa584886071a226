//! The Python package: builds the wheel, installs it into a new environment and runs the Python tests beside this file
//! there, on a run of the program.
//!
//! Maturin, NumPy, Pillow and mypy are among the programs of `tools/get-peers.sh`. Without them the test says so and
//! passes; with `BCREID_REQUIRE_PEERS=1`, as in `.ci/run`, it fails instead.

#[allow(dead_code)]
#[path = "../common/command.rs"]
mod command;
#[path = "../common/evaluated_run.rs"]
mod evaluated_run;
#[path = "../common/peers.rs"]
mod peers;

use command::{stderr, succeed};
use evaluated_run::{bcreid, evaluated_run};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// [`evaluated_run`], and the features of its queries in `query.safetensors`.
fn extracted_run(folder: &Path) {
    evaluated_run(folder, &[]);
    let (set, run) = (folder.join("set"), folder.join("run"));
    let mut extract = bcreid();
    extract.args(["extract", "--weights"]).arg(&run).arg("--images").arg(set.join("query"));
    succeed(extract.arg("--out").arg(folder.join("query.safetensors")));
}

/// Builds the wheel with the packages of `python` and returns its path.
fn build(python: &OsStr, out: &Path) -> PathBuf {
    let mut build = Command::new(python);
    build.args(["-m", "maturin", "build", "--release", "--locked", "--manifest-path"]);
    build.arg(root().join("tools/python/Cargo.toml")).arg("--interpreter").arg(python).arg("--out").arg(out);
    let output = build.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{build:?}\n{}", stderr(&output));
    let mut wheels = std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path());
    let wheel = wheels.next().expect("maturin wrote a wheel");
    assert!(wheels.next().is_none(), "more than one file beside {}", wheel.display());
    wheel
}

/// A new environment with the wheel, and the packages of `python` besides; returns its folder.
fn install(python: &OsStr, wheel: &Path, folder: &Path) -> PathBuf {
    let place = folder.join("venv");
    succeed(Command::new(python).args(["-m", "venv"]).arg(&place));
    let ask = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let site = |python: &OsStr| succeed(Command::new(python).args(["-c", ask])).trim().to_string();
    let own = place.join("bin/python");
    std::fs::write(Path::new(&site(own.as_os_str())).join("peers.pth"), site(python)).unwrap();
    let mut pip = Command::new(&own);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]).arg(wheel);
    succeed(&mut pip);
    place
}

#[test]
fn the_installed_wheel_passes_its_tests() {
    let Some(python) = peers::python() else { return };
    if !peers::has(&python, "maturin") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dist");
    let wheel = build(&python, &out);
    let name = wheel.file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.contains("-cp39-abi3-") && name.ends_with(".whl"), "{name}");
    let place = install(&python, &wheel, folder.path());
    extracted_run(folder.path());
    let own = place.join("bin/python");
    let tests = root().join("tests/wheel");
    let mut test = Command::new(&own);
    test.args(["-m", "unittest", "discover", "--verbose", "--start-directory"]).arg(&tests);
    test.env("BCREID_TEST_FOLDER", folder.path()).env("BCREID_TEST_PROGRAM", env!("CARGO_BIN_EXE_bcreid"));
    test.env("PYTHONDONTWRITEBYTECODE", "1");
    let output = test.current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    print!("{}", stderr(&output));

    let mypy = |module: &str| {
        let mut mypy = Command::new(&own);
        mypy.args(["-m", module]);
        mypy.current_dir(folder.path());
        mypy
    };
    // Checkers see the types of the installed package, and the types are those of the module.
    succeed(mypy("mypy").args(["--strict", "--cache-dir", "mypy"]).arg(tests.join("typed.py")));
    succeed(mypy("mypy.stubtest").arg("bcreid._bcreid"));
    let wrong = folder.path().join("wrong.py");
    std::fs::write(&wrong, "import bcreid\nbcreid.evaluate(1, 'g.npy')\nbcreid.Run('r').metrics.nothing\n")
        .unwrap();
    let output = mypy("mypy").args(["--strict", "--cache-dir", "mypy"]).arg(&wrong).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("wrong.py:2") && said.contains("wrong.py:3"), "{said}");
}

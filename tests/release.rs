//! `tools/release.sh` with stand-ins for rustc and cargo: what it demands, checks and packs.
#![cfg(target_os = "linux")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const GNU: &str = concat!("x86_64", "-unknown-linux-gnu");
const MUSL: &str = concat!("x86_64", "-unknown-linux-musl");

/// A folder with the stand-ins, programs for them to give out, and their record.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        for target in [GNU, MUSL] {
            std::fs::create_dir_all(place.at("sysroot/lib/rustlib").join(target).join("lib")).unwrap();
        }
        std::fs::create_dir(place.at("bin")).unwrap();
        place.script("rustc", "echo \"$PLACE/sysroot\"");
        place.script(
            "cargo",
            "echo \"$* kernels=${BCREID_CUDA_ARCHS-unset} strip=$CARGO_PROFILE_RELEASE_STRIP\" >> \"$PLACE/record\"\n\
             while [ $1 != --target ]; do shift; done\n\
             mkdir -p \"$CARGO_TARGET_DIR/$2/release\"\n\
             for program in bcreid bcreid-convert; do\n\
             cp \"$PLACE/program\" \"$CARGO_TARGET_DIR/$2/release/$program\"\ndone",
        );
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn script(&self, name: &str, body: &str) {
        let path = self.at("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\nset -e\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A program for cargo's stand-in that says it is this version.
    fn program(&self, says: &str, options: &[&str]) {
        std::fs::write(
            self.at("program.cpp"),
            format!("#include <cstdio>\nint main() {{ puts(\"{says}\"); }}\n"),
        )
        .unwrap();
        let mut compiler = Command::new("g++");
        compiler.arg(self.at("program.cpp")).arg("-o").arg(self.at("program")).args(options);
        assert!(compiler.status().unwrap().success());
    }

    fn release(&self, arguments: &[&str]) -> Output {
        let path = std::env::var("PATH").unwrap();
        Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/release.sh"))
            .args(["--out", self.at("dist").to_str().unwrap()])
            .args(arguments)
            .env("PATH", format!("{}:{path}", self.at("bin").display()))
            .env("PLACE", self.0.path())
            .env("CARGO_TARGET_DIR", self.at("target"))
            .env_remove("BCREID_CUDA_ARCHS")
            .output()
            .unwrap()
    }

    #[track_caller]
    fn refuses(&self, arguments: &[&str], words: &str) {
        let output = self.release(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{said}");
        assert!(!self.at("dist/SHA256SUMS").exists());
    }
}

fn ours() -> String {
    format!("bcreid {}", env!("CARGO_PKG_VERSION"))
}

#[test]
fn an_archive_has_both_programs_and_its_sum_is_listed() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let place = Place::new();
    place.program(&ours(), &[]);
    let output = place.release(&[GNU]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("needs GLIBC 2."), "{said}");
    let name = format!("bcreid-{}-{GNU}", env!("CARGO_PKG_VERSION"));
    let sums = std::fs::read_to_string(place.at("dist/SHA256SUMS")).unwrap();
    assert!(sums.ends_with(&format!("  {name}.tar.gz\n")) && sums.lines().count() == 1, "{sums}");
    let run = |command: &mut Command| {
        let output = command.current_dir(place.at("dist")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]));
    let list = run(Command::new("tar").args(["tzf", &format!("{name}.tar.gz")]));
    for file in ["bcreid", "bcreid-convert", "LICENSE-MIT", "LICENSE-APACHE", "README.md", "docs/python.md"] {
        assert!(list.lines().any(|line| line == format!("{name}/{file}")), "{file} is not in\n{list}");
    }
    // The same programs give the same archive, and one of another target keeps its line.
    let other = format!("bcreid-{}-{MUSL}.tar.gz", env!("CARGO_PKG_VERSION"));
    std::fs::write(place.at("dist").join(&other), "").unwrap();
    assert!(place.release(&[GNU]).status.success());
    let both = std::fs::read_to_string(place.at("dist/SHA256SUMS")).unwrap();
    assert!(both.contains(&sums) && both.contains(&other) && both.lines().count() == 2, "{both}");
    let record = std::fs::read_to_string(place.at("record")).unwrap();
    assert!(record.contains("--locked") && record.contains("kernels= strip=symbols"), "{record}");
}

#[test]
fn a_program_that_must_not_be_released_is_refused() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let place = Place::new();
    place.program(&ours(), &[]);
    place.refuses(&[MUSL], "is not static");
    let record = std::fs::read_to_string(place.at("record")).unwrap();
    assert!(record.contains("kernels=none"), "{record}");
    place.program(&ours(), &["-static"]);
    place.refuses(&[GNU], "could not load CUDA's libraries");
    place.program("bcreid 0.0.1", &[]);
    place.refuses(&[GNU], "the program is bcreid 0.0.1");
    place.program(&ours(), &[]);
    std::fs::File::options().write(true).open(place.at("program")).unwrap().set_len(20_000_001).unwrap();
    place.refuses(&[GNU], "has 20000001 bytes, and at most 20000000");
}

#[test]
fn what_is_missing_is_said_before_the_first_build() {
    let place = Place::new();
    place.refuses(&["riscv64gc-unknown-linux-gnu"], "unknown target riscv64gc");
    place.refuses(&["--fast"], "unknown option --fast");
    place.refuses(&["--out"], "needs a folder");
    place.refuses(&[GNU, "aarch64-unknown-linux-musl"], "run: rustup target add aarch64-unknown-linux-musl");
    place.refuses(&[], "rustup target add");
    std::fs::create_dir_all(place.at("sysroot/lib/rustlib/aarch64-unknown-linux-gnu/lib")).unwrap();
    if cfg!(target_arch = "x86_64")
        && Command::new("aarch64-linux-gnu-gcc").arg("--version").output().is_err()
    {
        place.refuses(&["aarch64-unknown-linux-gnu"], "apt install gcc-aarch64-linux-gnu");
    }
    assert!(!place.at("record").exists());
}

//! The library without cargo features has none of the crates that only program, figures and exports need.

use std::collections::BTreeSet;
use std::process::Command;

/// Crates that a feature brings, each with that feature.
const OPTIONAL: [(&str, &str); 13] = [
    ("askama", "report"),
    ("base64", "report"),
    ("bhtsne", "report"),
    ("clap", "command-help"),
    ("crc32c", "export"),
    ("dejavu", "report"),
    ("indicatif", "cli"),
    ("plotters", "report"),
    ("polars-arrow-format", "export"),
    ("prost", "export"),
    ("resvg", "report"),
    ("signal-hook", "cli"),
    ("statrs", "cli"),
];

/// The lines of `cargo tree`, or why there are none.
fn tree(arguments: &[&str]) -> Result<BTreeSet<String>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--locked", "--offline", "--prefix", "none", "--no-dedupe"])
        .args(arguments)
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap().lines().map(String::from).collect()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The names of all crates that the library is linked with under these features, itself among them.
fn crates(features: &[&str]) -> BTreeSet<String> {
    let lines = tree(&[&["-p", "bcreid", "-e", "normal"][..], features].concat()).unwrap();
    lines.iter().filter_map(|line| line.split(' ').next()).map(String::from).collect()
}

#[test]
fn each_feature_brings_its_own_crates_and_no_others() {
    for on in [
        &[][..],
        &["report"],
        &["export"],
        &["command-help"],
        &["report", "export"],
        &["cli", "command-help", "report", "export"],
    ] {
        let found = crates(&["--no-default-features", "--features", &on.join(",")]);
        assert!(found.contains("bcreid") && found.contains("rayon"), "{found:?}");
        for (name, feature) in OPTIONAL {
            assert_eq!(found.contains(name), on.contains(&feature), "{name} with the features {on:?}");
        }
        // The tests' reader of Arrow files, whose compilation takes a fifth of the whole program's.
        assert!(!found.iter().any(|name| name.starts_with("arrow-")), "{found:?}");
    }
}

#[test]
fn all_features_are_on_by_default() {
    let found = crates(&[]);
    let absent: Vec<_> = OPTIONAL.iter().filter(|(name, _)| !found.contains(*name)).collect();
    assert!(absent.is_empty(), "{absent:?}");
    // `cli` alone turns on the others: the program needs them.
    assert_eq!(crates(&["--no-default-features", "--features", "cli"]), found);
}

/// A crate with other features in the Python package would be compiled again for the wheel of tests/wheel, and with it
/// the engine, which takes minutes: a missing feature belongs into tools/shared_features/Cargo.toml. Where the package's
/// crates were never fetched, the test says so and passes, as tests/wheel does.
#[test]
fn the_python_package_has_the_crates_of_the_tests() {
    let crates = |arguments: &[&str]| tree(&[arguments, &["--format", "{p} with {f}"]].concat());
    let tests = crates(&["-e", "normal,build,dev"]).unwrap();
    let name = |line: &str| line.split(" with ").next().unwrap_or_default().to_string();
    let names: BTreeSet<String> = tests.iter().map(|line| name(line)).collect();
    let python = match crates(&["-p", "bcreid-python", "-e", "normal,build"]) {
        Ok(python) => python,
        Err(why) if std::env::var_os("BCREID_REQUIRE_PEERS").is_none() => return println!("skipped: {why}"),
        Err(why) => panic!("{why}"),
    };
    let differ: Vec<_> =
        python.iter().filter(|line| names.contains(&name(line)) && !tests.contains(*line)).collect();
    assert!(names.len() > 100 && python.len() > 100 && differ.is_empty(), "{differ:#?}");
}

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

/// The names of all crates that the library is linked with under these features, itself among them.
fn crates(features: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--locked", "--offline", "-p", "bcreid", "-e", "normal", "--prefix", "none"])
        .args(features)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(String::from).collect()
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

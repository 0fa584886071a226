//! The order of the modules: a module may only use modules below it, checked against the sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// From the bottom up: a module uses modules before it in this list, and none behind it.
const LAYERS: [&str; 22] = [
    "error", "console", "files", "element", "device", "tensor", "autograd", "ops", "optim", "data", "config",
    "model", "weights", "run", "train", "bench", "eval", "report", "export", "study", "demo", "cli",
];
/// They name all modules.
const ROOTS: [&str; 2] = ["lib", "main"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
            false => {}
        }
    }
}

/// The modules of this crate that a source names, comments and unit tests left out.
fn used(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    let code: String = lines.collect::<Vec<_>>().join("\n");
    let mut modules = Vec::new();
    for (at, found) in code.match_indices("crate::") {
        let rest = &code[at + found.len()..];
        // `crate::{Error, Result}` and `crate::{config, data}`.
        let list = rest.strip_prefix('{').map(|list| list.split('}').next().unwrap_or_default());
        let names = list.map_or_else(|| vec![rest], |list| list.split(',').collect());
        modules.extend(names.into_iter().map(|name| {
            let end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
            name.trim().split(end).next().unwrap_or_default().to_string()
        }));
    }
    modules.retain(|name| LAYERS.contains(&name.as_str()));
    modules
}

#[test]
fn no_module_uses_one_above_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let rank = |module: &str| LAYERS.iter().position(|layer| *layer == module);
    let mut upward: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for file in &files {
        let below = file.strip_prefix(&src).unwrap();
        let module = below.components().next().unwrap().as_os_str().to_string_lossy();
        let module = module.trim_end_matches(".rs").to_string();
        let Some(own) = rank(&module) else {
            assert!(
                ROOTS.contains(&module.as_str()),
                "src/{}: {module} has no place in LAYERS",
                below.display()
            );
            continue;
        };
        for used in used(&std::fs::read_to_string(file).unwrap()) {
            if rank(&used).is_none_or(|other| other > own) {
                upward.entry((module.clone(), used)).or_default().push(below.display().to_string());
            }
        }
    }
    assert!(files.len() > 100, "{} files in {}", files.len(), src.display());
    let lines: Vec<String> = upward
        .iter()
        .map(|((from, to), files)| format!("{from} uses {to}, which lies above it: {}", files.join(", ")))
        .collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

#[test]
fn a_use_is_seen_in_every_form() {
    let text = "use crate::data::Batch;\nuse crate::{Error, train, tell};\n// crate::cli\nlet x = crate::eval::table();\n\
                use std::fs;\n#[cfg(test)]\nmod tests { use crate::report; }";
    assert_eq!(used(text), ["data", "train", "eval"]);
}

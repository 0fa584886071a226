//! The order of the modules: a module uses modules below it only, and the files of a folder form no ring. Checked
//! against the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// From the bottom up: a module uses modules before it in this list, and none behind it.
const LAYERS: [&str; 25] = [
    "error",
    "console",
    "shell",
    "files",
    "element",
    "ranks",
    "device",
    "tensor",
    "autograd",
    "ops",
    "optim",
    "data",
    "config",
    "model",
    "weights",
    "run",
    "eval",
    "train",
    "bench",
    "report",
    "export",
    "study",
    "demo",
    "command_help",
    "cli",
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
    let text = "use crate::data::Batch;\nuse crate::{Error, train, tell};\n// crate::cli\n\
                let x = crate::eval::table();\nuse std::fs;\n#[cfg(test)]\nmod tests { use crate::report; }";
    assert_eq!(used(text), ["data", "train", "eval"]);
}

/// Folders whose files use each other in one direction only, and the files of the folders below them likewise.
const WITHOUT_RINGS: [&str; 20] = [
    "src/autograd",
    "src/bench",
    "src/cli",
    "src/config",
    "src/data",
    "src/device",
    "src/eval",
    "src/export",
    "src/files",
    "src/model",
    "src/ops",
    "src/optim",
    "src/report",
    "src/run",
    "src/study",
    "src/tensor",
    "src/train",
    "src/weights",
    "tools/convert/src/torch",
    "tools/softcuda/src",
];

/// The path of a module from its crate's root, such as `["data", "synth"]`.
type Module = Vec<String>;
/// The sources of a crate: each module's `use` lines.
type Uses = BTreeMap<Module, Vec<Module>>;

/// Adds each path of a `use` tree: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn add_paths(tree: &str, found: &mut Vec<Module>) {
    let Some((front, list)) = tree.trim().split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        found.push(path.split("::").map(|part| part.trim().to_string()).collect());
        return;
    };
    let list = list.strip_suffix('}').unwrap_or(list);
    let (mut depth, mut start) = (0, 0);
    for (at, c) in list.char_indices().chain([(list.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let item = list[start..at].trim();
                start = at + 1;
                if !item.is_empty() {
                    add_paths(&format!("{front}{item}"), found);
                }
            }
            _ => {}
        }
    }
}

/// The modules of its own crate that the `use` lines of a source name, from the crate's root; `own` is the source's
/// module. Unit tests may use anything.
fn use_lines(text: &str, own: &[String]) -> Vec<Module> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        let line = line.strip_prefix("pub").map_or(line, |rest| rest.trim_start_matches("(crate)"));
        let line = line.trim_start_matches("(super)").trim_start();
        let Some(tree) = line.strip_prefix("use ") else { continue };
        let mut tree = tree.to_string();
        while !tree.contains(';') {
            let Some(more) = lines.next() else { break };
            tree += more.trim();
        }
        add_paths(tree.split(';').next().unwrap_or_default(), &mut found);
    }
    let absolute = |path: Module| {
        let ups = path.iter().take_while(|part| *part == "super").count();
        let (base, rest) = match path[0].as_str() {
            "crate" => (&own[..0], &path[1..]),
            "self" => (own, &path[1..]),
            _ if ups > 0 => (&own[..own.len().checked_sub(ups)?], &path[ups..]),
            // A module of its own, in `pub use dataset::Dataset`; other crates lie in no folder.
            _ => (own, &path[..]),
        };
        Some([base, rest].concat())
    };
    found.into_iter().filter_map(absolute).collect()
}

/// The module beside others in `folder` that a path leads to, also by the name under which `folder` gives out one of
/// its items.
fn place(path: &[String], folder: &[String], uses: &Uses) -> Option<String> {
    let name = path.strip_prefix(folder)?.first()?;
    let is_module = |name: &String| {
        uses.keys().any(|module| module.starts_with(&[folder, std::slice::from_ref(name)].concat()))
    };
    if is_module(name) {
        return Some(name.clone());
    }
    let given_out =
        uses.get(folder)?.iter().find(|path| path.len() > folder.len() + 1 && path.last() == Some(name))?;
    given_out.strip_prefix(folder)?.first().cloned()
}

/// The modules of a folder that a chain of `use` lines leads back to, each with the first module of that chain.
fn rings(folder: &[String], uses: &Uses) -> Vec<(String, String)> {
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, paths) in uses.iter().filter(|(module, _)| module.len() > folder.len()) {
        let Some(own) = module.strip_prefix(folder).map(|rest| &rest[0]) else { continue };
        let used = paths.iter().filter_map(|path| place(path, folder, uses)).filter(|used| used != own);
        arrows.entry(own.clone()).or_default().extend(used);
    }
    let leads = |from: &String, to: &String| {
        let (mut seen, mut waiting) = (BTreeSet::new(), vec![from]);
        while let Some(module) = waiting.pop() {
            if module == to {
                return true;
            }
            let next = arrows.get(module).into_iter().flatten().filter(|next| seen.insert(*next));
            waiting.extend(next.collect::<Vec<_>>());
        }
        false
    };
    let all = arrows.iter().flat_map(|(module, used)| used.iter().map(move |used| (module, used)));
    all.filter(|(module, used)| leads(used, module)).map(|(a, b)| (a.clone(), b.clone())).collect()
}

/// The `use` lines of all sources below `src`.
fn all_uses(src: &Path) -> Uses {
    let mut files = Vec::new();
    sources(src, &mut files);
    let module = |file: &PathBuf| -> Module {
        let path = file.strip_prefix(src).unwrap().with_extension("");
        let parts = path.iter().map(|part| part.to_string_lossy().into_owned());
        parts.filter(|part| part != "mod").collect()
    };
    let read = |file: &PathBuf| {
        let own = module(file);
        let found = use_lines(&std::fs::read_to_string(file).unwrap(), &own);
        (own, found)
    };
    files.iter().map(read).collect()
}

#[test]
fn no_ring_among_the_files_of_a_folder() {
    let mut lines = Vec::new();
    for folder in WITHOUT_RINGS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let src = path.ancestors().find(|above| above.ends_with("src")).unwrap();
        let uses = all_uses(src);
        let top = path.strip_prefix(src).unwrap();
        let top: Module = top.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let mut folders: BTreeSet<Module> = BTreeSet::from([top.clone()]);
        folders.extend(
            uses.keys()
                .filter(|m| m.starts_with(&top) && m.len() > top.len())
                .map(|m| m[..m.len() - 1].to_vec()),
        );
        assert!(
            uses.keys().any(|module| module.starts_with(&top) && module.len() > top.len()),
            "{folder} has no file"
        );
        for inner in folders {
            let found = rings(&inner, &uses);
            lines.extend(
                found.iter().map(|(a, b)| {
                    format!("{folder}, in {}: {a} uses {b}, and {b} leads back", inner.join("/"))
                }),
            );
        }
    }
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

#[test]
fn a_planted_ring_is_seen() {
    let module = |path: &str| -> Module { path.split("::").map(String::from).collect() };
    let source = |path: &str, text: &str| (module(path), use_lines(text, &module(path)));
    let mut uses = Uses::from([
        source(
            "data",
            "mod a;\npub use b::{Batch, Other};\npub(crate) use c::\n    {Third, deep::Fourth};\n",
        ),
        source("data::a", "use super::b::X;\nuse std::fs;\n// use super::c;\n"),
        source("data::b", "use crate::{Error, data::c::{self, Third as T}};\n"),
        source("data::c", "#[cfg(test)]\nmod tests { use super::super::a; }\n"),
        source("data::c::inner", "use super::super::d::Y;\n"),
        source("data::d", "use crate::device::a;\n"),
    ]);
    assert_eq!(rings(&module("data"), &uses), []);
    let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
    // By the name of a file, of three files.
    uses.extend([source("data::c", "use super::a;\n")]);
    assert_eq!(rings(&module("data"), &uses), [pair("a", "b"), pair("b", "c"), pair("c", "a")]);
    // By an item that the folder gives out, from a folder below.
    uses.extend([source("data::c", ""), source("data::c::inner", "use super::super::{\n    Batch,\n};\n")]);
    assert_eq!(rings(&module("data"), &uses), [pair("b", "c"), pair("c", "b")]);
}

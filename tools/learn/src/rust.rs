//! An answer in Rust: it is compiled together with its grader, as a program of modules.

use crate::child;
use crate::exercise::Exercise;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long the compiler may take, on a busy machine too.
const LIMIT: Duration = Duration::from_secs(300);

/// What the compiler made of an answer.
pub enum Compiled {
    /// A program.
    Program(PathBuf),
    /// Nothing; the compiler's messages.
    Refused(String),
}

/// Compiles the answer with the grader of the exercise, in `folder`.
///
/// # Errors
/// No compiler, no library, a file that cannot be written.
pub fn compile(root: &Path, exercise: &Exercise, answer: &Path, folder: &Path) -> Result<Compiled, String> {
    let module = |name: &str, path: &Path| format!("#[path = {path:?}]\n#[allow(dead_code)]\nmod {name};\n");
    let support = |path: &PathBuf| module(&path.file_stem().unwrap_or_default().to_string_lossy(), path);
    let text = [
        module("checks", &root.join("tools/learn/src/checks.rs")),
        exercise.support.iter().map(support).collect(),
        module("answer", answer),
        module("grader", &exercise.grader()),
        "fn main() {\n    checks::main(grader::grade);\n}\n".into(),
    ]
    .concat();
    let (source, program) = (folder.join("main.rs"), folder.join("graded"));
    fs::write(&source, text).map_err(|error| format!("{}: {error}", source.display()))?;

    let compiler =
        std::env::var_os("RUSTC").filter(|name| !name.is_empty()).unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(&compiler);
    // Without optimisation the compiler is fast, and an overflow of whole numbers is a panic.
    command
        .args(["--edition", "2024", "-C", "debuginfo=0", "-A", "warnings", "-o"])
        .arg(&program)
        .arg(&source);
    // The reader's file by the name that the reader knows.
    if let Some(of) = answer.parent() {
        command.arg(format!("--remap-path-prefix={}/=", of.display()));
    }
    if exercise.needs_library {
        let (library, dependencies) = library(root)?;
        command.arg("--extern").arg(format!("bcreid={}", library.display()));
        command.arg("-L").arg(format!("dependency={}", dependencies.display()));
    }
    let ended = child::run(&mut command, LIMIT).map_err(|error| {
        format!(
            "{}: {error}; answers in Rust need the compiler rustc on PATH (https://rustup.rs)",
            Path::new(&compiler).display()
        )
    })?;
    match ended.status {
        Some(status) if status.success() => Ok(Compiled::Program(program)),
        Some(_) if exercise.needs_library && is_stale(&ended.output) => Err(format!(
            "the library does not fit the compiler; build it anew with: cargo build --release\n{}",
            ended.output
        )),
        Some(_) => Ok(Compiled::Refused(ended.output)),
        None => Err(format!("the compiler was not done after {} seconds", LIMIT.as_secs())),
    }
}

/// Whether the compiler refuses the library, not the answer: other versions of the compiler or of a crate.
fn is_stale(output: &str) -> bool {
    ["E0460", "E0461", "E0462", "E0463", "E0514", "E0519"]
        .iter()
        .any(|code| output.contains(&format!("error[{code}]")))
}

/// The newest build of the library, and the folder of its dependencies: beside this program, or in the repository.
fn library(root: &Path) -> Result<(PathBuf, PathBuf), String> {
    let own = std::env::current_exe().unwrap_or_default();
    let beside = own.ancestors().skip(1).take(2).map(Path::to_path_buf);
    let built = ["release", "debug"].map(|profile| root.join("target").join(profile));
    for folder in beside.chain(built) {
        let dependencies = folder.join("deps");
        let Ok(entries) = fs::read_dir(&dependencies) else { continue };
        let is_library = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("libbcreid-") && name.ends_with(".rlib")
        };
        let newest = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(is_library)
            .max_by_key(|path| fs::metadata(path).and_then(|data| data.modified()).ok());
        if let Some(library) = newest {
            return Ok((library, dependencies));
        }
    }
    Err(format!(
        "the library is not built: run cargo build --release in {}, since this answer calls the library",
        root.display()
    ))
}

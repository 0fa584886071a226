//! The system's C++ compiler, and the files that it makes: named by a hash of all that they are made from, and written as
//! a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::{error, fmt, fs, io};

/// Ends of the names of all sources.
pub(crate) const SOURCES: [&str; 5] = ["cu", "cuh", "h", "hpp", "cpp"];

/// Reason why the kernels could not be built; the compiler's message comes first.
#[derive(Debug)]
pub struct BuildError(pub(crate) String);

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for BuildError {}

/// Lock that keeps two threads of a test program from making one file twice.
pub(crate) fn one_at_a_time(file: &Path) -> MutexGuard<'static, ()> {
    static LOCKS: Mutex<BTreeMap<PathBuf, &'static Mutex<()>>> = Mutex::new(BTreeMap::new());
    let mut locks = LOCKS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let lock: &'static Mutex<()> =
        locks.entry(file.to_path_buf()).or_insert_with(|| Box::leak(Box::default()));
    drop(locks);
    lock.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Writes a file under a temporary name in `folder` and renames it, so that no process sees an incomplete file.
pub(crate) fn install(
    folder: &Path,
    path: &Path,
    make: impl FnOnce(&Path) -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!("making-{}-{number}.{extension}", std::process::id()));
    make(&temporary)?;
    fs::rename(&temporary, path).map_err(|error| at(path, error))
}

pub(crate) struct Compiler {
    program: String,
    pub(crate) version: String,
}

impl Compiler {
    pub(crate) fn find(chosen: Option<&str>) -> Result<Compiler, BuildError> {
        let candidates: Vec<&str> = chosen.map_or_else(|| vec!["c++", "g++", "clang++"], |one| vec![one]);
        for program in &candidates {
            if let Ok(output) = Command::new(program).arg("--version").output()
                && output.status.success()
            {
                let version = String::from_utf8_lossy(&output.stdout).into_owned();
                return Ok(Compiler { program: (*program).into(), version });
            }
        }
        Err(BuildError(format!(
            "no C++ compiler: tried {}. The host build of the kernels needs a compiler with C++20, such as g++ 12 \
             (Debian, Ubuntu: `apt install g++`); set CXX to use another one",
            candidates.join(", ")
        )))
    }

    pub(crate) fn is_gcc(&self) -> bool {
        self.version.contains("Free Software Foundation")
    }

    pub(crate) fn run(&self, arguments: &[&[String]]) -> Result<(), BuildError> {
        let output = Command::new(&self.program)
            .args(arguments.iter().copied().flatten())
            .output()
            .map_err(|error| BuildError(format!("{}: {error}", self.program)))?;
        if output.status.success() {
            return Ok(());
        }
        let mut message = String::from_utf8_lossy(&output.stderr).into_owned();
        let command: Vec<&str> = arguments.iter().copied().flatten().map(String::as_str).collect();
        let _ = write!(message, "from: {} {}", self.program, command.join(" "));
        Err(BuildError(message))
    }
}

/// Hash of the files in the folders that have one of these extensions, and of the settings.
pub(crate) fn fingerprint(
    folders: &[&Path],
    extensions: &[&str],
    settings: &[&str],
) -> Result<u64, BuildError> {
    let mut hasher = DefaultHasher::new();
    settings.hash(&mut hasher);
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| folder.to_path_buf()).collect();
    let mut files = BTreeSet::new();
    while let Some(folder) = waiting.pop() {
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
        for entry in fs::read_dir(here).map_err(|error| at(here, error))? {
            let path = entry.map_err(|error| at(here, error))?.path();
            let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                waiting.push(path);
            } else if extensions.contains(&extension.as_str()) {
                files.insert(path);
            }
        }
    }
    for file in files {
        file.hash(&mut hasher);
        fs::read(&file).map_err(|error| at(&file, error))?.hash(&mut hasher);
    }
    Ok(hasher.finish())
}

pub(crate) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

pub(crate) fn at(path: &Path, error: io::Error) -> BuildError {
    BuildError(format!("{}: {error}", path.display()))
}

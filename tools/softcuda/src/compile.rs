//! Compilation of `.cu` files to a shared library with the system's C++ compiler.
//!
//! A kernel file is compiled to assembly with the instrumentation that reports every access, each `__shared__` array
//! gets a red zone behind it there, and then it is assembled (`object.rs`) and linked with the runtime. All
//! `extern __shared__` arrays become names of one memory location, as on a GPU. The name of the result has a hash of all
//! inputs, so a second build only hashes the files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::{env, error, fmt, fs, io};

use crate::library::Library;
use crate::object::{SOURCES, undefined_thread_locals};

/// Largest size of dynamic shared memory: 227 KiB, the limit of compute capability 9.0.
const DYNAMIC_SHARED_BYTES: usize = 227 << 10;
/// Size of the red zone after each shared array, in bytes.
pub(crate) const RED_ZONE: usize = 256;

/// These files determine the flags and the red zones, so they are part of each hash.
pub(crate) const RULES: [&str; 2] = [include_str!("compile.rs"), include_str!("object.rs")];

/// Reason why the kernels could not be built; the compiler's message comes first.
#[derive(Debug)]
pub struct BuildError(pub(crate) String);

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for BuildError {}

/// Compiles `.cu` files into a library of kernels; for build scripts and for tests.
pub struct Build {
    pub(crate) out_dir: PathBuf,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) includes: Vec<PathBuf>,
    pub(crate) defines: Vec<String>,
    pub(crate) optimisation: String,
    pub(crate) compiler: Option<String>,
}

/// Lock that keeps two threads of a test program from making one file twice.
pub(crate) fn one_at_a_time(file: &Path) -> MutexGuard<'static, ()> {
    static LOCKS: Mutex<BTreeMap<PathBuf, &'static Mutex<()>>> = Mutex::new(BTreeMap::new());
    let mut locks = LOCKS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let lock: &'static Mutex<()> =
        locks.entry(file.to_path_buf()).or_insert_with(|| Box::leak(Box::default()));
    drop(locks);
    lock.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Build {
    /// Creates a build that stores its results in `out_dir`: a build script's `OUT_DIR`, a test's
    /// `CARGO_TARGET_TMPDIR`.
    ///
    /// Kernels are compiled with `-O1`; the environment variable `SOFTCUDA_OPT` (such as `-O0`, for a debugger)
    /// overrides it.
    pub fn new(out_dir: impl Into<PathBuf>) -> Build {
        Build {
            out_dir: out_dir.into(),
            files: Vec::new(),
            includes: Vec::new(),
            defines: Vec::new(),
            optimisation: env::var("SOFTCUDA_OPT").unwrap_or_else(|_| "-O1".into()),
            compiler: env::var("CXX").ok().filter(|program| !program.is_empty()),
        }
    }

    /// Adds a `.cu` file.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Build {
        self.files.push(path.into());
        self
    }

    /// Adds an include folder. A file's own folder is always searched.
    pub fn include(mut self, folder: impl Into<PathBuf>) -> Build {
        self.includes.push(folder.into());
        self
    }

    /// Defines a preprocessor symbol, as `NAME` or `NAME=VALUE`.
    pub fn define(mut self, symbol: impl Into<String>) -> Build {
        self.defines.push(symbol.into());
        self
    }

    /// Sets the C++ compiler; by default it is that of `CXX`, or the first found of c++, g++ and clang++.
    pub fn compiler(mut self, program: impl Into<String>) -> Build {
        self.compiler = Some(program.into());
        self
    }

    /// Builds the library if necessary and opens it.
    ///
    /// # Errors
    /// As [`Build::compile`]; also if the finished library cannot be opened.
    pub fn library(&self) -> Result<Library, BuildError> {
        Library::open(self.compile()?).map_err(|fault| BuildError(fault.message))
    }

    /// Builds the library if necessary and returns its path.
    ///
    /// # Errors
    /// No C++ compiler, a file that cannot be read or written, a message of the compiler.
    pub fn compile(&self) -> Result<PathBuf, BuildError> {
        let compiler = Compiler::find(self.compiler.as_deref())?;
        let home = Path::new(env!("CARGO_MANIFEST_DIR"));
        let runtime_hash =
            fingerprint(&[&home.join("include"), &home.join("runtime")], &SOURCES, &[&compiler.version])?;
        let mut sources: BTreeSet<&Path> = self.includes.iter().map(PathBuf::as_path).collect();
        sources.extend(self.files.iter().filter_map(|file| file.parent()));
        let settings = format!("{:?} {:?} {}", self.files, self.defines, self.optimisation);
        let hash = fingerprint(
            &sources.into_iter().collect::<Vec<_>>(),
            &SOURCES,
            &[&settings, &format!("{runtime_hash:x}"), RULES[0], RULES[1]],
        )?;

        let library = self.out_dir.join(format!("kernels-{hash:016x}.so"));
        let _held = one_at_a_time(&library);
        if library.exists() {
            return Ok(library);
        }
        fs::create_dir_all(&self.out_dir).map_err(|error| at(&self.out_dir, error))?;
        let runtime = self.out_dir.join(format!("softcuda-{runtime_hash:016x}.o"));
        let held = one_at_a_time(&runtime);
        if !runtime.exists() {
            install(&self.out_dir, &runtime, |to| {
                compiler.run(&[
                    &["-std=c++20", "-O2", "-g", "-fPIC", "-fvisibility=hidden", "-I"].map(String::from)[..],
                    &[text(&home.join("include")), "-c".into(), text(&home.join("runtime/runtime.cpp"))],
                    &["-o".into(), text(to)],
                ])
            })?;
        }
        drop(held);
        install(&self.out_dir, &library, |to| self.make_library(&compiler, home, &runtime, to))?;
        Ok(library)
    }

    fn make_library(
        &self,
        compiler: &Compiler,
        home: &Path,
        runtime: &Path,
        to: &Path,
    ) -> Result<(), BuildError> {
        let work = to.with_extension("parts");
        fs::create_dir_all(&work).map_err(|error| at(&work, error))?;
        let made = self.link(compiler, home, runtime, &work, to);
        fs::remove_dir_all(&work).map_err(|error| at(&work, error))?;
        made
    }

    fn link(
        &self,
        compiler: &Compiler,
        home: &Path,
        runtime: &Path,
        work: &Path,
        to: &Path,
    ) -> Result<(), BuildError> {
        let objects = self.objects(compiler, home)?;
        let mut dynamic = BTreeSet::new();
        for object in &objects {
            dynamic.extend(undefined_thread_locals(object)?);
        }
        let objects: Vec<String> = objects.iter().map(|object| text(object)).collect();
        dynamic.insert("softcuda_dynamic_shared".into());
        let assembly = work.join("dynamic.s");
        fs::write(&assembly, dynamic_shared(&dynamic)).map_err(|error| at(&assembly, error))?;
        compiler.run(&[
            &["-shared", "-pthread", "-Wl,-z,defs", "-o"].map(String::from)[..],
            &[text(to)],
            &objects,
            &[text(&assembly), text(runtime)],
        ])
    }
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

/// Source of the common memory of all dynamic shared arrays, under each of their names.
fn dynamic_shared(names: &BTreeSet<String>) -> String {
    let mut assembly = format!("\t.section .tbss,\"awT\",%nobits\n\t.zero {RED_ZONE}\n\t.balign 256\n");
    for name in names {
        let _ = writeln!(assembly, "\t.globl {name}\n\t.hidden {name}\n\t.type {name}, %object\n{name}:");
    }
    let _ = writeln!(assembly, "\t.size softcuda_dynamic_shared, {DYNAMIC_SHARED_BYTES}");
    let _ = writeln!(assembly, "\t.zero {}", DYNAMIC_SHARED_BYTES + RED_ZONE);
    assembly.push_str("\t.section .note.GNU-stack,\"\",%progbits\n");
    assembly
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

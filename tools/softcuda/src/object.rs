//! Compilation of one `.cu` file to an object file.
//!
//! The name of an object has a hash of all that it is made from, so all libraries with this kernel are linked with one
//! object: that of a test of the kernel alone and that of a program's tests with all kernels.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, thread};

use crate::compiler::{BuildError, Compiler, SOURCES, at, fingerprint, install, one_at_a_time, text};

/// Size of the red zone after each shared array, in bytes.
pub(crate) const RED_ZONE: usize = 256;

/// This file determines the flags and the red zones, so it is part of each hash.
const RULES: &str = include_str!("object.rs");

/// File names that end like this are headers, whatever includes them.
const HEADERS: [&str; 3] = ["cuh", "h", "hpp"];

/// Kernel files, and how they are compiled.
pub(crate) struct Kernels {
    pub out_dir: PathBuf,
    pub files: Vec<PathBuf>,
    pub includes: Vec<PathBuf>,
    pub defines: Vec<String>,
    pub optimisation: String,
}

impl Kernels {
    /// The objects of all files, in their order; those that are missing are compiled in parallel.
    ///
    /// # Errors
    /// That of the first file that has one.
    pub(crate) fn objects(&self, compiler: &Compiler, home: &Path) -> Result<Vec<PathBuf>, BuildError> {
        let next = AtomicUsize::new(0);
        let made = Mutex::new(Vec::new());
        let work = || {
            while let Some(file) = self.files.get(next.fetch_add(1, Ordering::Relaxed)) {
                let object = self.object(compiler, home, file);
                made.lock().expect("no thread panics").push((file, object));
            }
        };
        let workers = thread::available_parallelism().map_or(1, usize::from).min(self.files.len());
        thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
        let mut made = made.into_inner().expect("no thread panics");
        made.sort_by_key(|(file, _)| self.files.iter().position(|other| other == *file));
        made.into_iter().map(|(_, object)| object).collect()
    }

    fn object(&self, compiler: &Compiler, home: &Path, file: &Path) -> Result<PathBuf, BuildError> {
        // However the path is spelled: the debug information names it.
        let file = &fs::canonicalize(file).map_err(|error| at(file, error))?;
        let code = fs::read_to_string(file).map_err(|error| at(file, error))?;
        let flags = self.kernel_flags(compiler, home, file);
        let folders: Vec<&Path> = self.includes.iter().map(PathBuf::as_path).chain(file.parent()).collect();
        // A kernel file may include another one.
        let extensions = if code.contains(".cu\"") { &SOURCES[..] } else { &HEADERS[..] };
        let headers = fingerprint(&folders, extensions, &[])?;
        let own = fingerprint(&[&home.join("include")], &SOURCES, &[&compiler.version])?;
        let settings = [&code, &text(file), &flags.join(" "), &format!("{headers:x} {own:x}")];
        let hash = fingerprint(&[], &[], &[&settings.map(String::as_str)[..], &[RULES]].concat())?;
        let object = self.out_dir.join(format!("kernel-{hash:016x}.o"));
        let _held = one_at_a_time(&object);
        if !object.exists() {
            install(&self.out_dir, &object, |to| {
                let assembly = to.with_extension("s");
                compiler.run(&[&flags, &["-S".into(), text(file), "-o".into(), text(&assembly)]])?;
                let code = fs::read_to_string(&assembly).map_err(|error| at(&assembly, error))?;
                fs::write(&assembly, with_red_zones(&code)).map_err(|error| at(&assembly, error))?;
                let assembled = compiler.run(&[&["-c".into(), text(&assembly), "-o".into(), text(to)]]);
                fs::remove_file(&assembly).map_err(|error| at(&assembly, error))?;
                assembled
            })?;
        }
        Ok(object)
    }

    fn kernel_flags(&self, compiler: &Compiler, home: &Path, file: &Path) -> Vec<String> {
        let mut flags: Vec<String> = [
            "-x",
            "c++",
            "-std=c++20",
            &self.optimisation,
            "-g3",
            "-fPIC",
            "-fvisibility=hidden",
            // nvcc has no exceptions, lets pointers of any type see any memory, and does not assume that a
            // multiplication and an addition are never fused; the host must not fuse on its own.
            "-fno-exceptions",
            "-fno-strict-aliasing",
            "-ffp-contract=off",
            "-fsanitize=thread,alignment,bounds,integer-divide-by-zero",
            "-fno-sanitize-recover=all",
            "-include",
            "softcuda.h",
        ]
        .map(String::from)
        .into();
        if compiler.is_gcc() {
            // g++ calls an initialiser before each use of an `extern thread_local`; clang++ understands `constinit`.
            flags.push("-fno-extern-tls-init".into());
        }
        flags.push(format!("-I{}", home.join("include").display()));
        // A file's own folder is always searched.
        let others = self.includes.iter().filter(|folder| Some(folder.as_path()) != file.parent());
        flags.extend(others.map(|folder| format!("-I{}", folder.display())));
        flags.extend(self.defines.iter().map(|symbol| format!("-D{symbol}")));
        flags
    }
}

/// Lengthens every thread-local variable by a red zone: in assembly each is `.zero N` in a section named `.tbss*`.
/// The symbol's size stays.
fn with_red_zones(assembly: &str) -> String {
    let mut inside = false;
    let mut result = String::with_capacity(assembly.len() + assembly.len() / 64);
    for line in assembly.lines() {
        let word = line.trim_start();
        if word.starts_with(".section") {
            inside = word.contains(".tbss");
        } else if [".text", ".data", ".bss", ".previous", ".popsection"]
            .iter()
            .any(|other| word.starts_with(other))
        {
            inside = false;
        }
        result.push_str(line);
        result.push('\n');
        if inside && (word.starts_with(".zero") || word.starts_with(".skip")) {
            let _ = writeln!(result, "\t.zero {RED_ZONE}");
        }
    }
    result
}

/// Names of `extern __shared__` arrays: thread-local variables that an object uses and does not define.
pub(crate) fn undefined_thread_locals(object: &Path) -> Result<Vec<String>, BuildError> {
    let output = Command::new("readelf").args(["-s", "-W"]).arg(object).env("LC_ALL", "C").output().map_err(
        |error| BuildError(format!("readelf, of the binutils that come with a compiler: {error}")),
    )?;
    let table = String::from_utf8_lossy(&output.stdout);
    let columns = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    Ok(columns.filter(|c| c.len() == 8 && c[3] == "TLS" && c[6] == "UND").map(|c| c[7].to_string()).collect())
}

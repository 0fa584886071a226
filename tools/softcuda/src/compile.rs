//! Compilation of `.cu` files to a shared library with the system's C++ compiler.
//!
//! A kernel file is compiled to assembly with the instrumentation that reports every access, each `__shared__` array
//! gets a red zone behind it there, and then it is assembled (`object.rs`) and linked with the runtime. All
//! `extern __shared__` arrays become names of one memory location, as on a GPU. The name of the result has a hash of all
//! inputs, so a second build only hashes the files.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::compiler::{BuildError, Compiler, SOURCES, at, fingerprint, install, one_at_a_time, text};
use crate::library::Library;
use crate::object::{Kernels, RED_ZONE, undefined_thread_locals};

/// Largest size of dynamic shared memory: 227 KiB, the limit of compute capability 9.0.
const DYNAMIC_SHARED_BYTES: usize = 227 << 10;
/// These files determine the flags and the red zones, so they are part of a library's hash.
const RULES: [&str; 2] = [include_str!("compile.rs"), include_str!("object.rs")];

/// Compiles `.cu` files into a library of kernels; for build scripts and for tests.
pub struct Build {
    pub(crate) kernels: Kernels,
    pub(crate) compiler: Option<String>,
}

impl Build {
    /// Creates a build that stores its results in `out_dir`: a build script's `OUT_DIR`, a test's
    /// `CARGO_TARGET_TMPDIR`.
    ///
    /// Kernels are compiled with `-O1`; the environment variable `SOFTCUDA_OPT` (such as `-O0`, for a debugger)
    /// overrides it.
    pub fn new(out_dir: impl Into<PathBuf>) -> Build {
        Build {
            kernels: Kernels {
                out_dir: out_dir.into(),
                files: Vec::new(),
                includes: Vec::new(),
                defines: Vec::new(),
                optimisation: env::var("SOFTCUDA_OPT").unwrap_or_else(|_| "-O1".into()),
            },
            compiler: env::var("CXX").ok().filter(|program| !program.is_empty()),
        }
    }

    /// Adds a `.cu` file.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Build {
        self.kernels.files.push(path.into());
        self
    }

    /// Adds an include folder. A file's own folder is always searched.
    pub fn include(mut self, folder: impl Into<PathBuf>) -> Build {
        self.kernels.includes.push(folder.into());
        self
    }

    /// Defines a preprocessor symbol, as `NAME` or `NAME=VALUE`.
    pub fn define(mut self, symbol: impl Into<String>) -> Build {
        self.kernels.defines.push(symbol.into());
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
        let mut sources: BTreeSet<&Path> = self.kernels.includes.iter().map(PathBuf::as_path).collect();
        sources.extend(self.kernels.files.iter().filter_map(|file| file.parent()));
        let settings =
            format!("{:?} {:?} {}", self.kernels.files, self.kernels.defines, self.kernels.optimisation);
        let hash = fingerprint(
            &sources.into_iter().collect::<Vec<_>>(),
            &SOURCES,
            &[&settings, &format!("{runtime_hash:x}"), RULES[0], RULES[1]],
        )?;

        let library = self.kernels.out_dir.join(format!("kernels-{hash:016x}.so"));
        let _held = one_at_a_time(&library);
        if library.exists() {
            return Ok(library);
        }
        fs::create_dir_all(&self.kernels.out_dir).map_err(|error| at(&self.kernels.out_dir, error))?;
        let runtime = self.kernels.out_dir.join(format!("softcuda-{runtime_hash:016x}.o"));
        let held = one_at_a_time(&runtime);
        if !runtime.exists() {
            install(&self.kernels.out_dir, &runtime, |to| {
                compiler.run(&[
                    &["-std=c++20", "-O2", "-g", "-fPIC", "-fvisibility=hidden", "-I"].map(String::from)[..],
                    &[text(&home.join("include")), "-c".into(), text(&home.join("runtime/runtime.cpp"))],
                    &["-o".into(), text(to)],
                ])
            })?;
        }
        drop(held);
        install(&self.kernels.out_dir, &library, |to| self.make_library(&compiler, home, &runtime, to))?;
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
        let objects = self.kernels.objects(compiler, home)?;
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

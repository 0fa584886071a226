//! Stand-ins for the CUDA libraries: `libcuda.so.1`, `libcudnn.so.9` and `libcublas.so.13`, made from `libraries/`.
//!
//! With them on the library path a program that loads CUDA at run time runs unchanged on a machine without a GPU.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::compile::Build;
use crate::compiler::{BuildError, Compiler, SOURCES, at, fingerprint, install, one_at_a_time, text};

/// The folder with the stand-in libraries, and the kernels they launch.
#[derive(Clone, Debug)]
pub struct StandIns {
    folder: PathBuf,
    kernels: PathBuf,
}

/// Source folder, file name, and the names under which it is also found. cuBLAS has one interface here in both
/// versions.
const LIBRARIES: [(&str, &str, &[&str]); 3] = [
    ("cuda", "libcuda.so.1", &["libcuda.so"]),
    ("cudnn", "libcudnn.so.9", &["libcudnn.so", "libcudnn_graph.so.9"]),
    ("cublas", "libcublas.so.13", &["libcublas.so", "libcublas.so.12"]),
];

impl StandIns {
    /// Environment variables with which a program finds the libraries. The README lists further variables, which
    /// describe the simulated machine.
    pub fn environment(&self) -> [(&'static str, OsString); 2] {
        let mut folders = self.folder.clone().into_os_string();
        let others = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        // The loader takes a relative folder from the program's current one.
        for other in env::split_paths(&others).filter(|other| other.is_absolute()) {
            folders.push(":");
            folders.push(other);
        }
        [("LD_LIBRARY_PATH", folders), ("SOFTCUDA_KERNELS", self.kernels.clone().into_os_string())]
    }

    /// The folder that holds the libraries.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The same without `library` ("cuda", "cudnn" or "cublas"), as on a machine where it is not installed.
    ///
    /// # Errors
    /// No stand-in of this name, or a folder that cannot be written.
    pub fn without(&self, library: &str) -> Result<StandIns, BuildError> {
        if !LIBRARIES.iter().any(|(name, ..)| *name == library) {
            return Err(BuildError(format!("no stand-in is called {library}")));
        }
        let mut folder = self.folder.clone().into_os_string();
        folder.push(format!("-without-{library}"));
        let folder = PathBuf::from(folder);
        fs::create_dir_all(&folder).map_err(|error| at(&folder, error))?;
        for (_, file, others) in LIBRARIES.iter().filter(|(name, ..)| *name != library) {
            for name in [file].into_iter().chain(*others) {
                let link = folder.join(name);
                match symlink(self.folder.join(file), &link) {
                    // The folder's name has a hash of its content, so an existing link is equal.
                    Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(at(&link, error)),
                    _ => {}
                }
            }
        }
        Ok(StandIns { folder, kernels: self.kernels.clone() })
    }
}

impl Build {
    /// Builds the kernels and the stand-in libraries, if necessary.
    ///
    /// # Errors
    /// As [`Build::compile`].
    pub fn stand_ins(&self) -> Result<StandIns, BuildError> {
        let kernels = fs::canonicalize(self.compile()?).map_err(|error| at(&self.kernels.out_dir, error))?;
        let compiler = Compiler::find(self.compiler.as_deref())?;
        let home = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (sources, runtime) = (home.join("libraries"), home.join("runtime"));
        let hash =
            fingerprint(&[&sources, &runtime], &SOURCES, &[&compiler.version, include_str!("standin.rs")])?;
        let folder = self.kernels.out_dir.join(format!("libraries-{hash:016x}"));
        let _held = one_at_a_time(&folder);
        fs::create_dir_all(&folder).map_err(|error| at(&folder, error))?;
        let folder = fs::canonicalize(&folder).map_err(|error| at(&folder, error))?;
        let driver = folder.join(LIBRARIES[0].1);
        for (name, file, others) in LIBRARIES {
            let library = folder.join(file);
            if library.exists() {
                continue;
            }
            let mut arguments: Vec<String> =
                // Fused multiply-add would change bits on processors that have it.
                ["-std=c++20", "-O3", "-ffp-contract=off", "-g", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread"]
                    .map(String::from)
                    .into();
            arguments.push(format!("-I{}", text(&runtime)));
            arguments.push(format!("-Wl,-soname,{file}"));
            arguments.extend(source_files(&sources.join(name))?);
            if library != driver {
                arguments.push(text(&driver));
            }
            for other in others {
                let link = folder.join(other);
                let _ = fs::remove_file(&link);
                symlink(file, &link).map_err(|error| at(&link, error))?;
            }
            install(&folder, &library, |to| compiler.run(&[&arguments, &["-o".into(), text(to)]]))?;
        }
        Ok(StandIns { folder, kernels })
    }
}

fn source_files(folder: &Path) -> Result<Vec<String>, BuildError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| at(folder, error))? {
        let path = entry.map_err(|error| at(folder, error))?.path();
        if path.extension().is_some_and(|extension| extension == "cpp") {
            files.push(text(&path));
        }
    }
    files.sort();
    Ok(files)
}

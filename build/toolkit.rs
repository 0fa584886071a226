//! Where the CUDA compiler is, and what it can do.

use crate::Result;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A CUDA compiler that runs.
#[derive(Debug)]
pub struct Toolkit {
    pub nvcc: PathBuf,
    /// The program that joins images into a fatbin; every toolkit has it beside nvcc.
    pub fatbinary: PathBuf,
    /// As nvcc says it, such as `13.0.88`.
    pub version: String,
    /// Compute capabilities that nvcc can make machine code for, ten times major plus minor.
    pub known: Vec<u32>,
}

impl Toolkit {
    /// The compiler that `NVCC` names, else that of `CUDA_HOME`, else that on `PATH`, else the one that
    /// tools/get-cuda.sh fetched into `root`; `None` if there is none of these.
    ///
    /// # Errors
    /// A variable that is set but leads to no compiler: whoever set it does not want another one.
    pub fn find(root: &Path) -> Result<Option<Toolkit>> {
        if let Some(named) = set("NVCC") {
            let path = if Path::new(&named).components().count() > 1 {
                Some(PathBuf::from(&named))
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
            return Self::open(Path::new(&home).join("bin/nvcc"), &wrong).map(Some);
        }
        let fetched = root.join("tools/cuda/toolkit/bin/nvcc");
        let Some(nvcc) = on_path("nvcc".as_ref()).or(fetched.is_file().then_some(fetched)) else {
            return Ok(None);
        };
        let wrong = format!("{}: does not run; set NVCC to an nvcc that does", nvcc.display());
        Self::open(nvcc, &wrong).map(Some)
    }

    /// Asks a compiler what it is; `wrong` is the message if it does not answer.
    fn open(nvcc: PathBuf, wrong: &str) -> Result<Toolkit> {
        // The programs are started in several folders.
        let nvcc = std::path::absolute(nvcc).map_err(|e| format!("{wrong} ({e})"))?;
        let ask = |question: &str| {
            let output = Command::new(&nvcc).arg(question).output();
            let output = output.map_err(|e| format!("{wrong} ({e})"))?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if output.status.success() {
                return Ok(text);
            }
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("{wrong}; asked {question}, it said:\n{text}{said}"))
        };
        let said = ask("--version")?;
        // "Cuda compilation tools, release 13.0, V13.0.88"
        let version = said.split_whitespace().find_map(|word| {
            word.strip_prefix('V').filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        });
        let version = version.ok_or_else(|| format!("{wrong}; --version says:\n{said}"))?.to_string();
        let known = ask("--list-gpu-code")?;
        let mut known: Vec<u32> =
            known.lines().filter_map(|line| line.trim().strip_prefix("sm_")?.parse().ok()).collect();
        known.sort_unstable();
        let fatbinary = beside(&nvcc, "fatbinary").ok_or_else(|| {
            format!(
                "{}: fatbinary is neither beside it nor on PATH; is the toolkit complete?",
                nvcc.display()
            )
        })?;
        Ok(Toolkit { nvcc, fatbinary, version, known })
    }
}

/// A variable's value, if it is set and not empty.
fn set(variable: &str) -> Option<OsString> {
    env::var_os(variable).filter(|value| !value.is_empty())
}

fn on_path(program: &std::ffi::OsStr) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A program of nvcc's toolkit. nvcc itself may be a link to it.
fn beside(nvcc: &Path, program: &str) -> Option<PathBuf> {
    let behind_links = nvcc.canonicalize().ok()?;
    let candidates = [nvcc.with_file_name(program), behind_links.with_file_name(program)];
    candidates.into_iter().find(|file| file.is_file()).or_else(|| on_path(program.as_ref()))
}

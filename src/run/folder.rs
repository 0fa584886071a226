//! The folder of one run, locked by the process that writes into it.

use super::layout::{CHECKPOINTS, FILES_OF_TRAINING, PROVENANCE, TENSORBOARD};
use super::{Layout, search};
use crate::config::Config;
use crate::error::Remedy;
use crate::files::{
    Lock, MIB, inside, is_temporary_name, make_inside, read_text, remove_leftovers, write_atomically,
};
use crate::{Error, Result};
use std::ffi::OsStr;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// A run's folder, locked by this process.
#[derive(Debug)]
pub struct RunFolder {
    layout: Layout,
    _lock: Lock,
}

impl RunFolder {
    /// Creates the folder of a new run and writes its settings.
    ///
    /// # Errors
    /// A folder that exists and is not empty: a run is never overwritten; a symbolic link in it.
    pub fn create(path: &Path, config: &Config) -> Result<Self> {
        require_vacant(path, Remedy::Resume)?;
        refuse_links(path)?;
        make_inside(path, CHECKPOINTS)?;
        let folder = Self::lock(path)?;
        folder.remove_leftovers()?;
        folder.write_config(config)?;
        Ok(folder)
    }

    /// Writes the settings of the run.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn write_config(&self, config: &Config) -> Result<()> {
        let toml = config.to_toml();
        write_atomically(&self.config(), |w| w.write_all(toml.as_bytes()))
    }

    /// Opens the folder of a run to continue it, with its settings.
    ///
    /// # Errors
    /// A folder that is no run folder, or in which another process trains.
    pub fn open(path: &Path) -> Result<(Self, Config)> {
        let config = read_config(path)?;
        refuse_links(path)?;
        let folder = Self::lock(path)?;
        folder.remove_leftovers()?;
        Ok((folder, config))
    }

    /// Removes the temporary files of a process that was killed while it wrote. The lock excludes a process that still
    /// writes.
    fn remove_leftovers(&self) -> Result<()> {
        remove_leftovers(self.path())?;
        remove_leftovers(&self.checkpoints())?;
        if self.tensorboard().is_dir() {
            remove_leftovers(&self.tensorboard())?;
        }
        Ok(())
    }

    /// Creates the folder of TensorBoard event files.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn make_tensorboard(&self) -> Result<PathBuf> {
        make_inside(self.path(), TENSORBOARD)
    }

    /// Locks the folder of a run for writing, whatever its content.
    ///
    /// # Errors
    /// Another process trains in the folder; the folder does not exist; a folder of the run is a symbolic link.
    pub fn lock(path: &Path) -> Result<Self> {
        for folder in [CHECKPOINTS, TENSORBOARD] {
            inside(path, folder)?;
        }
        match Lock::try_exclusive(&Layout::of(path).lock())? {
            Some(lock) => Ok(RunFolder { layout: Layout::of(path), _lock: lock }),
            None => Err(Error::Run(format!(
                "{}: another process is working in this folder; wait for its end or stop it",
                path.display()
            ))),
        }
    }
}

/// Checks, before any work, that each file that training writes is absent or a regular file: no symbolic link, no pipe.
fn refuse_links(path: &Path) -> Result<()> {
    FILES_OF_TRAINING.iter().try_for_each(|file| {
        let file = inside(path, file)?;
        match fs::symlink_metadata(&file) {
            Ok(meta) if !meta.is_file() => {
                Err(Error::Run(format!("{}: not a regular file; move it away", file.display())))
            }
            _ => Ok(()),
        }
    })
}

/// The paths in the folder.
impl Deref for RunFolder {
    type Target = Layout;

    fn deref(&self) -> &Layout {
        &self.layout
    }
}

/// Checks, before any work, that a folder may be created at `path`: it must not exist, or hold
/// only files of a run that stopped before its first step. `otherwise` is the alternative to another folder.
///
/// # Errors
/// A folder that holds other files.
pub fn require_vacant(path: &Path, otherwise: Remedy) -> Result<()> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io(path)(e)),
    };
    // Without these the file of settings belongs to something else.
    let of_run = path.join("lock").is_file() && path.join(CHECKPOINTS).is_dir();
    for entry in entries {
        let entry = entry.map_err(Error::io(path))?;
        let is_leftover = |name: &OsStr| name.to_str().is_some_and(is_temporary_name);
        let empty = || {
            let inside = fs::read_dir(entry.path());
            inside.is_ok_and(|mut inside| {
                inside.all(|file| file.is_ok_and(|file| is_leftover(&file.file_name())))
            })
        };
        let without_bytes = || entry.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == 0);
        let vacant = match entry.file_name().to_str() {
            Some("lock") => true,
            Some(CHECKPOINTS) => empty(),
            Some("config.toml" | "skipped.txt" | PROVENANCE | TENSORBOARD) => of_run,
            Some("metrics.jsonl") => of_run && without_bytes(),
            Some(name) if is_temporary_name(name) => of_run,
            _ => false,
        };
        if !vacant {
            return Err(Error::Run(format!("{}: the folder exists and is not empty", path.display()))
                .with_remedies([Remedy::OtherFolder, otherwise]));
        }
    }
    Ok(())
}

/// The settings of the run in `path`.
///
/// # Errors
/// A folder that is no run folder.
pub fn read_config(path: &Path) -> Result<Config> {
    let file = Layout::of(path).config();
    let text = read_text(&file, MIB).map_err(|e| match e.is_missing_file() {
        true => search::not_a_run(path),
        false => e,
    })?;
    Config::from_toml(&text).map_err(|e| match e {
        Error::Config(what) => Error::Config(format!("{what} ({})", file.display())),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of a process that was killed before its first checkpoint: the same command starts again.
    #[test]
    fn a_run_that_has_not_begun_may_be_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        drop(RunFolder::create(&path, &Config::default()).unwrap());
        for left in [".bcreid-0123456789ab.tmp", "checkpoints/.bcreid-0123456789ab.tmp", "provenance.json"] {
            fs::write(path.join(left), "half").unwrap();
        }
        drop(RunFolder::create(&path, &Config::default()).unwrap());
        assert!(!path.join(".bcreid-0123456789ab.tmp").exists());
        assert_eq!(fs::read_dir(path.join("checkpoints")).unwrap().count(), 0);
        fs::write(path.join("checkpoints/step_0000000000.safetensors"), "").unwrap();
        assert!(RunFolder::create(&path, &Config::default()).unwrap_err().to_string().contains("not empty"));
        // A file of settings alone is not a run.
        let own = folder.path().join("own");
        fs::create_dir(&own).unwrap();
        fs::write(own.join("config.toml"), "").unwrap();
        assert!(RunFolder::create(&own, &Config::default()).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_that_is_a_link_costs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (run, precious) = (folder.path().join("run"), folder.path().join("precious"));
        fs::create_dir(&run).unwrap();
        fs::write(&precious, "dear").unwrap();
        std::os::unix::fs::symlink(&precious, run.join("lock")).unwrap();
        let error = RunFolder::lock(&run).unwrap_err().to_string();
        assert!(error.contains("a symbolic link"), "{error}");
        assert_eq!(fs::read_to_string(&precious).unwrap(), "dear");
    }
}

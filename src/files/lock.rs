//! Lock files: a lock that keeps a second process out of a folder, until the first ends.
//!
//! The lock is the operating system's advisory lock on an empty file (`flock` on Unix). It ends with its process,
//! however that ends, so a lock file that is left over is harmless. In a stranger's folder the name of a lock file may
//! be a link to another file; a link is refused, and no lock file is ever truncated.
//!
//! Some network file systems have no locks: NFS without its lock service, Lustre mounted without `flock`. There the
//! work goes on after a warning. The lock only protects against a second process in the same folder, which is rare, and
//! a user of a cluster cannot change how its disks are mounted, so a refusal would rule out the whole disk.

use crate::{Error, Result, tell};
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

/// Time between two attempts, and the number of attempts before a message says that the process waits.
const PAUSE: Duration = Duration::from_millis(10);
const SILENT: usize = 100;

/// A lock that is held until the value is dropped.
#[derive(Debug)]
pub struct Lock {
    /// `None` where the file system has no locks, and for a shared lock without a lock file.
    _file: Option<File>,
}

impl Lock {
    /// Locks a file against all other processes; `None` if another process has locked it. A missing file is created.
    ///
    /// # Errors
    /// [`Error::Io`] of the file system; [`Error::Run`] if `path` is a link or no regular file.
    pub fn try_exclusive(path: &Path) -> Result<Option<Lock>> {
        let file = open(path, true)?;
        let outcome = retried(|| file.try_lock());
        settle(path, file, outcome)
    }

    /// As [`Lock::try_exclusive`], but waits until no other process has locked the file.
    ///
    /// # Errors
    /// As [`Lock::try_exclusive`].
    pub fn exclusive(path: &Path) -> Result<Lock> {
        wait(path, open(path, true)?, File::try_lock, File::lock)
    }

    /// Locks a file against processes that write: any number of processes may hold a shared lock. Waits for a process
    /// with an exclusive lock. Nothing is written; without a lock file there is no lock, because every writer makes
    /// one.
    ///
    /// # Errors
    /// As [`Lock::try_exclusive`].
    pub fn shared(path: &Path) -> Result<Lock> {
        match open(path, false) {
            Ok(file) => wait(path, file, File::try_lock_shared, File::lock_shared),
            Err(e) if e.is_missing_file() => Ok(Lock { _file: None }),
            Err(e) => Err(e),
        }
    }
}

/// Whether a process has locked the file against all others. Nothing is written.
pub fn is_locked(path: &Path) -> bool {
    open(path, false).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn wait(
    path: &Path,
    file: File,
    attempt: fn(&File) -> std::result::Result<(), TryLockError>,
    lock: fn(&File) -> io::Result<()>,
) -> Result<Lock> {
    let mut outcome = retried(|| attempt(&file));
    for _ in 0..SILENT {
        if !matches!(outcome, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(PAUSE);
        outcome = retried(|| attempt(&file));
    }
    if let Err(TryLockError::WouldBlock) = outcome {
        tell!("{}: waiting for another process that works in this folder", path.display());
        outcome = retried(|| lock(&file).map_err(TryLockError::Error));
    }
    let lock = settle(path, file, outcome)?;
    lock.ok_or_else(|| Error::io(path)(ErrorKind::WouldBlock.into()))
}

/// Calls again after a signal.
fn retried(
    mut call: impl FnMut() -> std::result::Result<(), TryLockError>,
) -> std::result::Result<(), TryLockError> {
    loop {
        match call() {
            Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// The lock; `None` if another process has it. Warns once in a process about a file system without locks.
fn settle(path: &Path, file: File, outcome: std::result::Result<(), TryLockError>) -> Result<Option<Lock>> {
    static WARNED: Once = Once::new();
    match outcome {
        Ok(()) => Ok(Some(Lock { _file: Some(file) })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) if has_no_locks(&e) => {
            WARNED.call_once(|| {
                tell!(
                    "warning: {}: this file system has no locks ({e}), so nothing keeps a second process out of the \
                     folder; start no other one on it until this one ends, or put the folder on a local disk",
                    path.display()
                );
            });
            Ok(Some(Lock { _file: None }))
        }
        Err(TryLockError::Error(e)) => Err(Error::io(path)(e)),
    }
}

/// True for the errors of a file system without locks.
fn has_no_locks(error: &io::Error) -> bool {
    #[cfg(unix)]
    if let Some(libc::ENOLCK | libc::EOPNOTSUPP | libc::ENOSYS) = error.raw_os_error() {
        return true;
    }
    error.kind() == ErrorKind::Unsupported
}

/// Opens a lock file, never through a link. `write` opens it for writing and creates a missing one.
fn open(path: &Path, write: bool) -> Result<File> {
    let refused =
        |what: &str| Error::Run(format!("{}: {what}, where a lock file belongs; remove it", path.display()));
    let mut options = File::options();
    options.read(true).write(write).create(write).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Without O_NONBLOCK the call would wait for a writer if the file is a pipe.
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    if cfg!(not(unix)) && path.is_symlink() {
        return Err(refused("a symbolic link"));
    }
    let file = match options.open(path) {
        Err(_) if path.is_symlink() => return Err(refused("a symbolic link")),
        Err(_) if path.is_dir() => return Err(refused("a folder")),
        opened => opened.map_err(Error::io(path))?,
    };
    match file.metadata().map_err(Error::io(path))?.is_file() {
        true => Ok(file),
        false => Err(refused("a folder, a pipe or a device")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_excludes_others_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let none = Lock::shared(&path).unwrap();
        assert!(!path.exists(), "a reader writes nothing");
        drop(none);
        let lock = Lock::try_exclusive(&path).unwrap().expect("it is free");
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        drop(lock);
        let (one, two) = (Lock::shared(&path).unwrap(), Lock::shared(&path).unwrap());
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        drop((one, two));
        // A waiting writer gets the lock when the reader is done.
        let reader = Lock::shared(&path).unwrap();
        let writer = std::thread::spawn({
            let path = path.clone();
            move || Lock::exclusive(&path).map(drop)
        });
        std::thread::sleep(5 * PAUSE);
        assert!(!writer.is_finished());
        drop(reader);
        writer.join().unwrap().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn links_folders_and_pipes_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, path) = (folder.path().join("victim"), folder.path().join("lock"));
        let every = |word: &str| {
            let all = [
                Lock::try_exclusive(&path).map(drop),
                Lock::exclusive(&path).map(drop),
                Lock::shared(&path).map(drop),
            ];
            for error in all.map(|result| result.unwrap_err().to_string()) {
                assert!(error.contains(word) && error.contains("remove it"), "{error}");
            }
        };
        std::fs::write(&victim, "dear").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        every("a symbolic link");
        assert_eq!(std::fs::read(&victim).unwrap(), b"dear");
        std::fs::remove_file(&victim).unwrap();
        every("a symbolic link");
        assert!(!victim.exists(), "nothing is created at the end of a link");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        every("a folder");
        std::fs::remove_dir(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        if made.is_ok_and(|status| status.success()) {
            every("a pipe");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_system_without_locks_is_a_warning_and_other_errors_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let outcome = |code: i32| {
            let error = io::Error::from_raw_os_error(code);
            settle(&path, open(&path, true).unwrap(), Err(TryLockError::Error(error)))
        };
        for code in [libc::ENOLCK, libc::EOPNOTSUPP, libc::ENOSYS] {
            assert!(outcome(code).unwrap().expect("work goes on")._file.is_none(), "{code}");
        }
        assert!(outcome(libc::EIO).unwrap_err().to_string().contains("lock: "));
    }
}

//! Ranks on CPUs through MPI, whose library is opened at run time: MPICH, Open MPI, or another one with the ABI of one of
//! them or of the MPI 5.0 standard.
//!
//! Three of its collectives are used, in their non-blocking forms, so that a wait has an end. MPI is called from one
//! thread, that of the command (`MPI_THREAD_FUNNELED`).
//!
//! Book: [chapter 20](../../../../../docs/book/src/20-many-ranks.md).

mod api;
mod library;

pub use library::{Found, find};

use super::engine::Engine;
use super::{Group, Launcher, Place, Share, host_name};
use crate::console::{self, Verbosity};
use crate::{Error, Result};
use api::Calls;
use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The ranks of this process's job; MPI can be started once in a process.
static WORLD: OnceLock<Arc<World>> = OnceLock::new();

/// All ranks of a job (`MPI_COMM_WORLD`).
pub struct World {
    share: Share,
    calls: Box<dyn Calls>,
    /// The library's name and version, and its file.
    version: String,
    file: String,
    timeout: Duration,
    /// The collective that runs; it is locked as long as MPI reads or writes the buffers.
    running: Mutex<()>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("share", &self.share).field("library", &self.version).finish()
    }
}

/// Starts MPI and returns the group of all ranks. Call it once, from the thread that will call the group's functions.
///
/// # Errors
/// No library of MPI; one that does not belong to the launcher of `place`.
pub fn start(place: &Place, timeout: Duration) -> Result<Group> {
    let Found { library, description } = find(place.launcher)?;
    let calls = api::open(library)?;
    let watch = Watchdog::start(place, timeout);
    calls.init().map_err(|why| Error::Run(format!("MPI ({description}) cannot be started: {why}")))?;
    watch.stop();
    let (rank, ranks) = calls.place();
    let version = calls.version();
    if (rank, ranks) != (place.rank, place.ranks) {
        return Err(Error::Run(format!(
            "{} says that this is rank {} of {}, and MPI's library says rank {rank} of {ranks}: the library is not that of \
             the launcher ({version}; {description}); start with the mpirun of this library, or name the launcher's \
             library by BCREID_MPI=/path/of/libmpi.so",
            place.launcher.name(),
            place.rank,
            place.ranks
        )));
    }
    let (share, running) = (Share { rank, ranks }, Mutex::new(()));
    let world = Arc::new(World { share, calls, version, file: description, timeout, running });
    WORLD.set(world.clone()).map_err(|_| Error::Run("MPI is started twice in one process".into()))?;
    Ok(Group::Host(world))
}

/// The library that ranks of `launcher` would take, in words: its version and its file.
///
/// # Errors
/// As [`find`]; a library with an unknown ABI.
pub fn describe(launcher: Launcher) -> Result<String> {
    let Found { library, description } = find(launcher)?;
    Ok(format!("{} ({description})", api::open(library)?.version()))
}

/// Ends MPI at the end of a command that succeeded: all ranks call it, from the thread of [`start`]. Without a start it
/// does nothing.
pub fn finish() {
    if let Some(world) = WORLD.get() {
        world.calls.finalize();
    }
}

/// The ranks, if MPI was started in this process.
pub fn started() -> Option<&'static Arc<World>> {
    WORLD.get()
}

impl World {
    /// Ends all ranks of the job with a status that says failure. With some libraries (Open MPI) it does not return.
    pub fn end_all(&self) {
        self.calls.abort();
    }

    /// The file of the library.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Checks that all ranks are at the same collective with the same number of bytes: MPI itself would write past a
    /// buffer that is too small.
    fn meet(&self, what: &'static str, kind: Kind, bytes: usize) -> Result<()> {
        let ranks = self.share.ranks;
        let name =
            what.bytes().fold(kind as u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let own = [name, bytes as u64];
        let mut all = vec![[0u64; 2]; ranks];
        // SAFETY: every collective of every rank begins with this one of 16 bytes, and `all` has room for those of each.
        self.run(what, |calls| unsafe {
            calls.all_gather(own.as_ptr().cast(), size_of_val(&own) as i32, all.as_mut_ptr().cast())
        });
        match all.iter().position(|of_rank| *of_rank != own) {
            None => Ok(()),
            Some(rank) if all[rank][0] == name => Err(Error::Run(format!(
                "{what}: rank {rank} has {} bytes and this one has {bytes}; the ranks have come apart: give each host the \
                 same files",
                all[rank][1]
            ))),
            Some(rank) => Err(Error::Run(format!(
                "{what}: rank {rank} is at another place of the program; the ranks have come apart: give each host the same \
                 files"
            ))),
        }
    }

    /// Runs a collective that `begin` starts, and waits for its end.
    fn run(&self, what: &'static str, begin: impl FnOnce(&dyn Calls) -> api::Pending) {
        /// Polls without a pause: the others are a few microseconds behind at most in most collectives.
        const EAGER: u32 = 2_000;
        /// Polls that give the core to other threads, before it sleeps in between.
        const PATIENT: u32 = 20_000;
        const SLEEP: Duration = Duration::from_micros(100);
        let _running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pending = begin(&*self.calls);
        let end = Instant::now() + self.timeout;
        for poll in 0u32.. {
            if self.calls.is_done(&mut pending) {
                return;
            }
            match poll {
                0..EAGER => std::hint::spin_loop(),
                EAGER..PATIENT => std::thread::yield_now(),
                _ => std::thread::sleep(SLEEP),
            }
            if poll > PATIENT && Instant::now() > end {
                break;
            }
        }
        // MPI may still write to the buffers of this collective.
        let Share { rank, ranks } = self.share;
        console::set_verbosity(Verbosity::Quiet);
        crate::tell!(
            "bcreid: rank {rank} of {ranks} on {}: {what}: the other ranks do not answer within {} seconds; one of them hangs \
             or is far slower than this one (--rank-timeout sets the time)",
            host_name(),
            self.timeout.as_secs()
        );
        crate::files::remove_temporaries();
        self.calls.abort();
        std::process::exit(1)
    }
}

/// The kinds of collectives.
#[derive(Clone, Copy)]
enum Kind {
    AllGather,
    AllToAll,
    Broadcast,
}

/// Ends this process if MPI is not started in time, because a rank ended or hangs before: MPI waits for it without end.
struct Watchdog {
    stop: Sender<()>,
}

impl Watchdog {
    fn start(place: &Place, timeout: Duration) -> Self {
        let (stop, stopped) = channel();
        let Place { rank, ranks, .. } = *place;
        let watch = move || {
            if stopped.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout) {
                console::set_verbosity(Verbosity::Quiet);
                crate::tell!(
                    "bcreid: rank {rank} of {ranks} on {}: MPI does not start within {} seconds; another rank has ended or \
                     hangs before its start (--rank-timeout sets the time)",
                    host_name(),
                    timeout.as_secs()
                );
                crate::files::remove_temporaries();
                std::process::exit(1);
            }
        };
        // Without the thread MPI is started all the same.
        let _ = std::thread::Builder::new().name("start of MPI".into()).spawn(watch);
        Watchdog { stop }
    }

    fn stop(self) {
        let _ = self.stop.send(());
    }
}

/// A count of bytes as MPI takes it.
fn count(what: &'static str, bytes: usize) -> Result<i32> {
    i32::try_from(bytes).map_err(|_| {
        Error::Run(format!("{what}: {bytes} bytes are too many for one message between ranks (2 GiB)"))
    })
}

impl Engine for World {
    fn share(&self) -> Share {
        self.share
    }

    fn library(&self) -> String {
        self.version.clone()
    }

    fn all_gather(&self, what: &'static str, own: &[u8], all: &mut [u8]) -> Result<()> {
        assert_eq!(all.len(), own.len() * self.share.ranks, "the bytes of all ranks");
        let n = count(what, own.len())?;
        self.meet(what, Kind::AllGather, own.len())?;
        // SAFETY: `all` has room for n bytes of each rank, `own` has n bytes, and every rank sends n; `run` returns when
        // MPI has ended the collective, and ends the process otherwise, so that both outlive it.
        self.run(what, |calls| unsafe { calls.all_gather(own.as_ptr(), n, all.as_mut_ptr()) });
        Ok(())
    }

    fn all_to_all(&self, what: &'static str, from: &[u8], to: &mut [u8]) -> Result<()> {
        assert_eq!(from.len(), to.len(), "as many bytes are sent as come");
        assert!(from.len().is_multiple_of(self.share.ranks), "parts of one size");
        let n = count(what, from.len() / self.share.ranks)?;
        self.meet(what, Kind::AllToAll, from.len())?;
        // SAFETY: as above: both have n bytes for each rank.
        self.run(what, |calls| unsafe { calls.all_to_all(from.as_ptr(), n, to.as_mut_ptr()) });
        Ok(())
    }

    fn broadcast(&self, what: &'static str, values: &mut [u8]) -> Result<()> {
        /// Bytes of a message.
        const PIECE: usize = 1 << 30;
        self.meet(what, Kind::Broadcast, values.len())?;
        for piece in values.chunks_mut(PIECE) {
            let n = count(what, piece.len())?;
            // SAFETY: as above: `piece` has n bytes.
            self.run(what, |calls| unsafe { calls.broadcast(piece.as_mut_ptr(), n) });
        }
        Ok(())
    }

    fn abort(&self) {
        self.calls.abort();
    }
}

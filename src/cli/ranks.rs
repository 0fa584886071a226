//! Commands that several ranks run together: they join a group at the start, and end together.

use super::explain;
use crate::console::{self, Verbosity};
use crate::device::cpu;
use crate::files::remove_temporaries;
use crate::ranks::{Group, Launcher, Place, host_name, mpi};
use crate::{Error, Result, detail, tell};
use clap::Args;
use std::time::Duration;

/// The options of commands that several ranks run together.
#[derive(Clone, Copy, Debug, Args)]
pub struct Ranks {
    /// With several ranks (mpirun -n 4 bcreid train --device cpu ...): seconds that a rank waits for the others before it
    /// ends all of them; at most a week.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    rank_timeout: u64,
}

impl Ranks {
    /// Joins the ranks of this process's launcher; alone without one.
    ///
    /// # Errors
    /// No library of MPI, or one that is not that of the launcher; torchrun.
    pub fn join(self) -> Result<Group> {
        let place = Place::from_environment()?;
        if place.is_alone() {
            return Ok(Group::Alone);
        }
        if place.launcher == Launcher::Torchrun {
            return Err(Error::Run(
                "torchrun starts ranks on GPUs, and this version trains several ranks on CPUs only; start them by: mpirun -n \
                 N bcreid train --device cpu ..."
                    .into(),
            ));
        }
        let group = mpi::start(&place, Duration::from_secs(self.rank_timeout))?;
        if let Some(world) = mpi::started() {
            detail!("ranks: {}, {} ({})", place.ranks, group.library(), world.file());
        }
        Ok(group)
    }
}

/// Prepares this process as one of several ranks: its share of the cores if `threads` is not given, and messages of rank 0
/// alone. `is_shared` says whether the command can be run by several ranks.
///
/// # Errors
/// Variables of a launcher without sense; a command for one process, in several.
pub fn prepare(is_shared: bool, threads: Option<usize>) -> Result<()> {
    let place = Place::from_environment()?;
    if place.is_alone() {
        return Ok(());
    }
    if !is_shared {
        return Err(Error::Run(format!(
            "{} starts this command {} times, and it is one for a single process: start it without a launcher (ranks share \
             bcreid train, extract and eval)",
            place.launcher.name(),
            place.ranks
        )));
    }
    if threads.is_none() {
        cpu::threads::start_share(place.local_ranks)?;
    }
    if place.rank > 0 {
        console::set_verbosity(Verbosity::Silent);
    }
    Ok(())
}

/// Ends a command that succeeded, on each rank.
pub fn finish() {
    mpi::finish();
}

/// Prints the error of this rank, ends the other ranks and this process. Returns the error if there are no others.
pub fn fail(error: Error) -> Error {
    /// Time after which another rank than 0 prints its error. Where all ranks fail alike, rank 0 has ended them before.
    const BEHIND: Duration = Duration::from_secs(1);
    /// Time in which a launcher forwards a line.
    const FORWARDED: Duration = Duration::from_millis(300);
    let place = Place::from_environment().unwrap_or_default();
    if place.is_alone() {
        return error;
    }
    if place.rank > 0 {
        std::thread::sleep(BEHIND);
    }
    console::set_verbosity(Verbosity::Quiet);
    tell!("bcreid: rank {} of {} on {}: {}", place.rank, place.ranks, host_name(), explain(&error));
    remove_temporaries();
    // A launcher that is told to end all ranks may drop a line that it has not forwarded yet.
    std::thread::sleep(FORWARDED);
    // Where the ranks have not met, the launcher ends them when this process ends.
    if let Some(world) = mpi::started() {
        world.end_all();
    }
    std::process::exit(1)
}

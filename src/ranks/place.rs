//! The place of this process among the ranks, as its launcher's variables state it.
//!
//! Book: [chapter 20](../../../../../docs/book/src/20-many-ranks.md).

use crate::{Error, Result};
use std::ffi::OsString;

/// The program that started the ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launcher {
    /// None: one process.
    None,
    /// `mpirun` or `mpiexec` of MPICH, or of a program with its variables (Intel MPI, MVAPICH; Slurm with PMI-2).
    Mpich,
    /// `mpirun` or `mpiexec` of Open MPI.
    OpenMpi,
    /// `srun` of Slurm.
    Slurm,
    /// `torchrun` of PyTorch.
    Torchrun,
}

impl Launcher {
    /// The name of its program.
    pub fn name(self) -> &'static str {
        match self {
            Launcher::None => "no launcher",
            Launcher::Mpich => "mpirun (MPICH)",
            Launcher::OpenMpi => "mpirun (Open MPI)",
            Launcher::Slurm => "srun",
            Launcher::Torchrun => "torchrun",
        }
    }
}

/// The place of this process: its number, the number of all, and those on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The launcher.
    pub launcher: Launcher,
    /// The number of this rank, from 0.
    pub rank: usize,
    /// The number of ranks.
    pub ranks: usize,
    /// The number of this rank among those of its host, from 0.
    pub local_rank: usize,
    /// The number of ranks of this host.
    pub local_ranks: usize,
}

/// The variables of a launcher: rank, number of ranks, rank and number of ranks on the host. The last may be absent.
struct Variables {
    launcher: Launcher,
    rank: &'static str,
    ranks: &'static str,
    local_rank: &'static str,
    local_ranks: &'static str,
}

/// The launchers by their variables, the innermost first: torchrun may run below srun, mpirun below srun too.
/// `SLURM_PROCID` is set in a batch script as well, where it is 0: there `SLURM_STEP_NUM_TASKS` is absent.
const LAUNCHERS: [Variables; 4] = [
    Variables {
        launcher: Launcher::Torchrun,
        rank: "RANK",
        ranks: "WORLD_SIZE",
        local_rank: "LOCAL_RANK",
        local_ranks: "LOCAL_WORLD_SIZE",
    },
    Variables {
        launcher: Launcher::OpenMpi,
        rank: "OMPI_COMM_WORLD_RANK",
        ranks: "OMPI_COMM_WORLD_SIZE",
        local_rank: "OMPI_COMM_WORLD_LOCAL_RANK",
        local_ranks: "OMPI_COMM_WORLD_LOCAL_SIZE",
    },
    Variables {
        launcher: Launcher::Mpich,
        rank: "PMI_RANK",
        ranks: "PMI_SIZE",
        local_rank: "MPI_LOCALRANKID",
        local_ranks: "MPI_LOCALNRANKS",
    },
    Variables {
        launcher: Launcher::Slurm,
        rank: "SLURM_PROCID",
        ranks: SLURM_TASKS,
        local_rank: "SLURM_LOCALID",
        local_ranks: "SLURM_STEP_TASKS_PER_NODE",
    },
];

/// The number of tasks of a step of Slurm.
const SLURM_TASKS: &str = "SLURM_STEP_NUM_TASKS";

/// torchrun's variables have names that other programs use too; this one is torchrun's alone.
const TORCHRUN: &str = "TORCHELASTIC_RUN_ID";

impl Default for Place {
    fn default() -> Self {
        Place { launcher: Launcher::None, rank: 0, ranks: 1, local_rank: 0, local_ranks: 1 }
    }
}

impl Place {
    /// The place by the environment of this process.
    ///
    /// # Errors
    /// A variable of a launcher that is no number, or a rank that is not below the number of ranks.
    pub fn from_environment() -> Result<Self> {
        Place::new(|name| std::env::var_os(name))
    }

    /// The place by the variables of `variable`.
    fn new(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let number = |name: &str| -> Result<Option<usize>> {
            let Some(value) = variable(name) else { return Ok(None) };
            let text = value.to_string_lossy();
            // SLURM_STEP_TASKS_PER_NODE is a list of all nodes: 2(x3),1.
            let digits = text.split(['(', ',']).next().unwrap_or_default();
            digits.parse().map(Some).map_err(|_| {
                Error::Run(format!(
                    "{name} is {text:?}, and a launcher sets a whole number; start the program by mpirun or srun, or unset it"
                ))
            })
        };
        for of in &LAUNCHERS {
            if of.launcher == Launcher::Torchrun && variable(TORCHRUN).is_none() {
                continue;
            }
            let (Some(rank), Some(ranks)) = (number(of.rank)?, number(of.ranks)?) else { continue };
            if rank >= ranks {
                return Err(Error::Run(format!(
                    "{} is {rank} and {} is {ranks}, and ranks count from 0; start the program by mpirun or srun, or unset both",
                    of.rank, of.ranks
                )));
            }
            if ranks == 1 {
                // A process alone needs no engine, whoever started it.
                return Ok(Place::default());
            }
            let local_rank = number(of.local_rank)?.unwrap_or(0);
            let local_ranks = number(of.local_ranks)?.unwrap_or(1).max(1);
            // Slurm sets the variables of PMI-2 for any library that asks for it.
            let is_slurms = of.launcher == Launcher::Mpich && number(SLURM_TASKS)? == Some(ranks);
            let launcher = if is_slurms { Launcher::Slurm } else { of.launcher };
            return Ok(Place { launcher, rank, ranks, local_rank, local_ranks });
        }
        Ok(Place::default())
    }

    /// Whether there are other ranks.
    pub fn is_alone(&self) -> bool {
        self.ranks == 1
    }
}

/// The name of this host.
pub fn host_name() -> String {
    #[cfg(unix)]
    {
        let mut name = [0u8; 256];
        // SAFETY: the system writes at most the given number of bytes into the array.
        let status = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) };
        let length = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        if status == 0 {
            return String::from_utf8_lossy(&name[..length]).into_owned();
        }
    }
    "an unnamed host".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(variables: &[(&str, &str)]) -> Result<Place> {
        Place::new(|name| {
            variables.iter().find(|(own, _)| *own == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn launchers_are_known_by_their_variables() {
        let of = |launcher, rank, ranks, local_rank, local_ranks| Place {
            launcher,
            rank,
            ranks,
            local_rank,
            local_ranks,
        };
        let mpich =
            [("PMI_RANK", "3"), ("PMI_SIZE", "4"), ("MPI_LOCALRANKID", "1"), ("MPI_LOCALNRANKS", "2")];
        assert_eq!(place(&mpich).unwrap(), of(Launcher::Mpich, 3, 4, 1, 2));
        let open = [("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "2")];
        assert_eq!(place(&open).unwrap(), of(Launcher::OpenMpi, 1, 2, 0, 1));
        let slurm = [
            ("SLURM_PROCID", "5"),
            ("SLURM_STEP_NUM_TASKS", "7"),
            ("SLURM_LOCALID", "1"),
            ("SLURM_STEP_TASKS_PER_NODE", "2(x3),1"),
        ];
        assert_eq!(place(&slurm).unwrap(), of(Launcher::Slurm, 5, 7, 1, 2));
        let pmi2 = [&mpich[..], &[("SLURM_STEP_NUM_TASKS", "4")]].concat();
        assert_eq!(place(&pmi2).unwrap().launcher, Launcher::Slurm);
        let torchrun = [("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "1"), ("LOCAL_WORLD_SIZE", "2")];
        assert_eq!(place(&torchrun).unwrap(), Place::default(), "names that others use too");
        let below_slurm = [&torchrun[..], &[(TORCHRUN, "none")], &slurm[..]].concat();
        assert_eq!(place(&below_slurm).unwrap(), of(Launcher::Torchrun, 1, 2, 1, 2));
    }

    #[test]
    fn one_process_is_alone_whoever_started_it() {
        assert_eq!(place(&[]).unwrap(), Place::default());
        assert_eq!(place(&[("PMI_RANK", "0"), ("PMI_SIZE", "1")]).unwrap(), Place::default());
        // A batch script of Slurm.
        assert_eq!(place(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "8")]).unwrap(), Place::default());
    }

    #[test]
    fn variables_without_sense_are_errors() {
        let error = place(&[("PMI_RANK", "x"), ("PMI_SIZE", "2")]).unwrap_err().to_string();
        assert!(error.contains("PMI_RANK is \"x\""), "{error}");
        let error = place(&[("PMI_RANK", "2"), ("PMI_SIZE", "2")]).unwrap_err().to_string();
        assert!(error.contains("PMI_RANK is 2 and PMI_SIZE is 2"), "{error}");
    }
}

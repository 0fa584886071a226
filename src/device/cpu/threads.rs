//! The number of computing threads, and where it comes from.
//!
//! Without `--threads` and `RAYON_NUM_THREADS` it is the number of cores that the process may use: those of its CPU
//! affinity (`taskset`, a cpuset), and no more than the CPU quota of its control group, rounded down. The standard
//! library reads both, so that a container gets no more threads than its share of the machine.
//!
//! Book: [chapter 2](../../../../../../docs/book/src/02-memory.md).

use crate::console::counted;
use crate::{Error, Result};
use std::fs::read_to_string;
use std::num::NonZero;
use std::sync::OnceLock;

/// The environment variable that sets the number of threads.
const VARIABLE: &str = "RAYON_NUM_THREADS";
/// The most threads that can be asked for.
const MOST: usize = 1024;

/// The number that [`start`] was called with.
static GIVEN: OnceLock<usize> = OnceLock::new();

/// Starts `threads` computing threads, as `--threads` asks for. Call it once, before any work.
///
/// # Errors
/// A number of 0 or above 1024; threads that cannot be started.
pub fn start(threads: usize) -> Result<()> {
    if !(1..=MOST).contains(&threads) {
        return Err(Error::Device(format!("--threads {threads}: give 1 to {MOST}")));
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|e| Error::Device(format!("--threads {threads}: {e}")))?;
    GIVEN.get_or_init(|| threads);
    Ok(())
}

/// Starts the computing threads of one of `processes` processes that share this host, where neither `--threads` nor
/// `RAYON_NUM_THREADS` says how many: its share of the usable cores. A launcher that binds each process to cores of its own
/// has shared them already. Call it once, before any work.
///
/// # Errors
/// Threads that cannot be started.
pub fn start_share(processes: usize) -> Result<()> {
    match Cores::here().share(processes, std::env::var_os(VARIABLE).is_some()) {
        Some(threads) => rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .map_err(|e| Error::Device(format!("{}: {e}", counted(threads, "thread")))),
        None => Ok(()),
    }
}

/// The number of computing threads and where it comes from, in words.
pub fn describe() -> String {
    let asked = match (GIVEN.get(), std::env::var(VARIABLE)) {
        (Some(_), _) => Some("--threads"),
        // As rayon reads it: another value counts as none.
        (None, Ok(value)) if value.parse::<usize>().is_ok_and(|threads| threads > 0) => Some(VARIABLE),
        _ => None,
    };
    Cores::here().describe(rayon::current_num_threads(), asked)
}

/// Cores of the machine and of this process.
#[derive(Clone, Copy, Debug)]
struct Cores {
    /// The cores that the process may use, by its affinity and the quota of its control group.
    usable: usize,
    /// The cores of its affinity; none if the system does not report them.
    allowed: Option<usize>,
    /// The cores of the machine; none if the system does not report them.
    online: Option<usize>,
}

impl Cores {
    fn here() -> Self {
        let online = read_to_string("/sys/devices/system/cpu/online").ok().and_then(|list| numbers(&list));
        let status = read_to_string("/proc/thread-self/status").unwrap_or_default();
        let allowed =
            status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).and_then(numbers);
        // The list of allowed cores may name cores that are switched off.
        let allowed = allowed.map(|mut cores| {
            cores.retain(|core| online.as_ref().is_none_or(|online| online.contains(core)));
            cores.len()
        });
        Cores {
            usable: std::thread::available_parallelism().map_or(1, NonZero::get),
            allowed,
            online: online.map(|cores| cores.len()),
        }
    }

    /// The threads of one of `processes` processes; none if the cores are shared already, or the number `is_given`.
    fn share(self, processes: usize, is_given: bool) -> Option<usize> {
        let is_bound =
            matches!((self.allowed, self.online), (Some(allowed), Some(online)) if allowed < online);
        (processes > 1 && !is_given && !is_bound).then(|| (self.usable / processes).max(1))
    }

    /// The words for a number of threads that the option or the variable `asked` set.
    fn describe(self, threads: usize, asked: Option<&str>) -> String {
        let Cores { usable, allowed, online } = self;
        if let Some(asked) = asked {
            let note = match threads > usable {
                true => {
                    format!(
                        "; this process may use {}, so that threads wait for others",
                        counted(usable, "core")
                    )
                }
                false => String::new(),
            };
            return format!("{threads}, by {asked}{note}");
        }
        let of = |cores: usize| format!("{threads} for {}", counted(cores, "core"));
        match (allowed, online) {
            (Some(allowed), _) if usable < allowed => {
                format!("{}, by the CPU quota of its control group (cgroup)", of(allowed))
            }
            (Some(allowed), Some(online)) if allowed < online => {
                format!("{}, by the CPU affinity of this process (taskset, cpuset)", of(online))
            }
            _ => format!("{threads}, one for each core"),
        }
    }
}

/// The numbers of a list such as `0-2,5`; none if it is not such a list.
fn numbers(list: &str) -> Option<Vec<usize>> {
    let mut numbers = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        numbers.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_read() {
        assert_eq!(numbers("0-2,5\n"), Some(vec![0, 1, 2, 5]));
        assert_eq!(numbers("\t3\n"), Some(vec![3]));
        assert_eq!(numbers(""), None);
        assert_eq!(numbers("0-x"), None);
    }

    #[test]
    fn each_origin_is_named() {
        let cores = |usable, allowed, online| Cores { usable, allowed: Some(allowed), online: Some(online) };
        assert_eq!(cores(8, 8, 8).describe(8, None), "8, one for each core");
        assert!(cores(3, 3, 8).describe(3, None).starts_with("3 for 8 cores, by the CPU affinity"));
        assert!(cores(2, 8, 8).describe(2, None).starts_with("2 for 8 cores, by the CPU quota"));
        // Both hold: the quota is the narrower one.
        assert!(cores(1, 3, 8).describe(1, None).starts_with("1 for 3 cores, by the CPU quota"));
        assert_eq!(cores(2, 2, 2).describe(2, Some("--threads")), "2, by --threads");
        assert!(cores(2, 2, 2).describe(3, Some(VARIABLE)).contains("may use 2 cores"));
        assert_eq!(cores(8, 8, 8).share(4, false), Some(2));
        assert_eq!(cores(2, 2, 2).share(4, false), Some(1));
        assert_eq!([cores(8, 8, 8).share(4, true), cores(2, 2, 8).share(4, false)], [None, None]);
        assert_eq!(cores(8, 8, 8).share(1, false), None);
        let unknown = Cores { usable: 4, allowed: None, online: None };
        assert_eq!(unknown.describe(4, None), "4, one for each core");
    }
}

//! The launchers of two implementations of MPI.
//!
//! `tools/get-peers.sh` fetches both from PyPI. Without them the tests that need them say so and pass; with
//! `BCREID_REQUIRE_PEERS=1`, as in `.ci/run`, they fail instead.

use crate::peers::skip;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A launcher, by its folder and the arguments that it needs on a machine of a few cores.
pub struct Launcher {
    pub name: &'static str,
    mpirun: PathBuf,
    before: &'static [&'static str],
}

impl Launcher {
    /// `program` with `arguments` in `ranks` processes.
    pub fn command(&self, ranks: usize, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.mpirun);
        command.args(["-n", &ranks.to_string()]).args(self.before).arg(program).args(arguments);
        // Open MPI refuses to run as root, and binds ranks to cores of their own, without these.
        for (name, value) in [
            ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
            ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
            ("RAYON_NUM_THREADS", "1"),
        ] {
            command.env(name, value);
        }
        command
    }
}

/// The launchers that were fetched.
pub fn launchers() -> Vec<Launcher> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/peers");
    let of = |name: &'static str, before| {
        let mpirun = folder.join(name).join("bin/mpirun");
        mpirun.exists().then_some(Launcher { name, mpirun, before })
    };
    let found: Vec<Launcher> =
        [of("mpich", &[][..]), of("openmpi", &["--oversubscribe", "--bind-to", "none"])]
            .into_iter()
            .flatten()
            .collect();
    if found.len() < 2 {
        let required = std::env::var_os("BCREID_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(
            !required,
            "BCREID_REQUIRE_PEERS=1, but tools/peers has not both MPICH and Open MPI; run tools/get-peers.sh"
        );
        skip("an mpirun is missing (tools/get-peers.sh)");
    }
    found
}

//! `bcreid completions`: completion of the command line by a shell.

use super::Arguments;
use crate::{Error, Result};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// Print the completion script of a shell.
///
/// bash: bcreid completions bash > ~/.local/share/bash-completion/completions/bcreid;
/// zsh: bcreid completions zsh > a folder of $fpath, as _bcreid;
/// fish: bcreid completions fish > ~/.config/fish/completions/bcreid.fish
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub fn run(self) -> Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "bcreid", &mut script);
        match std::io::stdout().write_all(&script) {
            Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::io("standard output")(e)),
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}

//! `bcreid completions`: completion of the command line by a shell.

use super::Arguments;
use crate::Result;
use crate::command_help::{Shell, print_completions};
use clap::{Args, CommandFactory};
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
        print_completions(Arguments::command(), self.shell)?;
        Ok(ExitCode::SUCCESS)
    }
}

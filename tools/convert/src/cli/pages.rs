//! Completions and manual pages of `bcreid-convert`.

use crate::Result;
use bcreid::command_help::{Shell, print_completions, write_pages};
use bcreid::console::say;
use clap::Subcommand;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the completion script of a shell.
    ///
    /// bash: bcreid-convert completions bash > ~/.local/share/bash-completion/completions/bcreid-convert;
    /// zsh: bcreid-convert completions zsh > a folder of $fpath, as _bcreid-convert;
    /// fish: bcreid-convert completions fish > ~/.config/fish/completions/bcreid-convert.fish
    Completions {
        /// The shell.
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Write the manual pages: bcreid-convert.1, and one for each command.
    Man {
        /// The folder of the pages.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Overwrite pages that exist.
        #[arg(long)]
        force: bool,
    },
}

impl Command {
    pub fn run(self, program: clap::Command) -> Result<()> {
        match self {
            Command::Completions { shell } => print_completions(program, shell),
            Command::Man { out, force } => {
                let pages = write_pages(program, &out, force)?;
                say(format_args!("{}: {pages} pages", out.display()))
            }
        }
    }
}

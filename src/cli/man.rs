//! `bcreid man`: manual pages of the program and its commands.

use super::Arguments;
use crate::Result;
use crate::command_help::write_pages;
use crate::console::counted;
use clap::{Args, CommandFactory};
use std::path::PathBuf;
use std::process::ExitCode;

/// Write the manual pages: bcreid.1, and bcreid-COMMAND.1 for each command.
///
/// For all users of a machine: bcreid man --out /usr/local/share/man/man1; then `man bcreid-train` shows a page.
#[derive(Debug, Args)]
pub struct Man {
    /// The folder of the pages.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Overwrite pages that exist.
    #[arg(long)]
    force: bool,
}

impl Man {
    pub fn run(self) -> Result<ExitCode> {
        let pages = write_pages(Arguments::command(), &self.out, self.force)?;
        super::say(format_args!("{}: {}", self.out.display(), counted(pages, "page")))?;
        Ok(ExitCode::SUCCESS)
    }
}

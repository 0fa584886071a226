//! `bcreid man`: manual pages of the program and its commands.

use super::{Arguments, output};
use crate::console::counted;
use crate::files::{inside, write_atomically};
use crate::{Error, Result};
use clap::{Args, Command, CommandFactory};
use std::path::PathBuf;
use std::process::ExitCode;

/// Write the manual pages: bcreid.1, and bcreid-COMMAND.1 for each command.
///
/// For all users of a machine: bcreid man --out /usr/local/share/man/man1; then `man bcreid-train` shows a page.
#[derive(Debug, Args)]
pub struct Man {
    /// The folder of the pages; it must exist.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Overwrite pages that exist.
    #[arg(long)]
    force: bool,
}

impl Man {
    pub fn run(self) -> Result<ExitCode> {
        let mut program = Arguments::command().disable_help_subcommand(true);
        // Adds the options of all commands, such as --threads, to each.
        program.build();
        let mut pages = Vec::new();
        render(&program, &mut pages).map_err(Error::io(&self.out))?;
        output::require_folder(&self.out)?;
        let files =
            pages.iter().map(|(name, _)| inside(&self.out, name)).collect::<Result<Vec<PathBuf>>>()?;
        files.iter().try_for_each(|file| output::require_new(file, self.force))?;
        for (file, (_, page)) in files.iter().zip(&pages) {
            write_atomically(file, |writer| writer.write_all(page))?;
        }
        super::say(format_args!("{}: {}", self.out.display(), counted(pages.len(), "page")))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Adds the page of a command and those of its own commands.
fn render(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> std::io::Result<()> {
    let man = clap_mangen::Man::new(command.clone());
    let mut page = Vec::new();
    man.render(&mut page)?;
    pages.push((man.get_filename(), page));
    command.get_subcommands().try_for_each(|own| render(own, pages))
}

//! Completion scripts of shells and manual pages of a program. Needs the feature `command-help`.

use crate::files::{inside, write_atomically};
use crate::{Error, Result};
use clap::Command;
pub use clap_complete::Shell;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Prints the completion script of a shell for a program.
///
/// # Errors
/// [`Error::Io`] if standard output cannot be written; a closed pipe is no error.
pub fn print_completions(mut program: Command, shell: Shell) -> Result<()> {
    let (name, mut script) = (program.get_name().to_string(), Vec::new());
    clap_complete::generate(shell, &mut program, name, &mut script);
    match std::io::stdout().write_all(&script) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::io("standard output")(e)),
        _ => Ok(()),
    }
}

/// Writes the manual pages of a program, `NAME.1`, and of its commands, `NAME-COMMAND.1`, into the folder `out`, which is
/// created if it is missing. Returns the number of pages.
///
/// # Errors
/// A folder that cannot be created; an existing page without `force`; a symbolic link in the place of a page; an error of
/// the file system.
pub fn write_pages(program: Command, out: &Path, force: bool) -> Result<usize> {
    let mut program = program.disable_help_subcommand(true);
    // Adds the options of all commands, such as --threads, to each.
    program.build();
    let mut pages = Vec::new();
    render(&program, &mut pages).map_err(Error::io(out))?;
    std::fs::create_dir_all(out).map_err(Error::io(out))?;
    let files = pages.iter().map(|(name, _)| inside(out, name)).collect::<Result<Vec<PathBuf>>>()?;
    files.iter().try_for_each(|file| require_new(file, force))?;
    for (file, (_, page)) in files.iter().zip(&pages) {
        write_atomically(file, |writer| writer.write_all(page))?;
    }
    Ok(pages.len())
}

/// Adds the page of a command and those of its own commands.
fn render(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> std::io::Result<()> {
    let man = clap_mangen::Man::new(command.clone());
    let mut page = Vec::new();
    man.render(&mut page)?;
    pages.push((man.get_filename(), page));
    command.get_subcommands().try_for_each(|own| render(own, pages))
}

/// Checks that an output file is none of the files that the command reads: --force must not destroy an input.
///
/// # Errors
/// [`Error::Data`] if it is one of them, under whatever path.
pub fn require_other<'a>(out: &Path, inputs: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    let Ok(own) = out.canonicalize() else { return Ok(()) };
    match inputs.into_iter().find(|input| input.canonicalize().is_ok_and(|input| input == own)) {
        Some(_) => Err(Error::Data(format!("{} is the input itself; give another name", out.display()))),
        None => Ok(()),
    }
}

/// Checks that an output of --out is not written between the images of an input folder, where it would be found as a
/// part of the data set. Each folder comes with the option that names it; if the option names one image, nothing is
/// checked.
///
/// # Errors
/// [`Error::Data`] if it is in one of the folders, under whatever path.
pub fn require_outside<'a>(
    out: &Path,
    folders: impl IntoIterator<Item = (&'static str, &'a Path)>,
) -> Result<()> {
    // The output may not exist yet; the nearest folder above it does. A relative path has the working folder above it.
    let there = out.ancestors().find(|above| above.exists()).unwrap_or(Path::new("."));
    let Ok(there) = there.canonicalize() else { return Ok(()) };
    let is_around = |(_, folder): &(&'static str, &Path)| {
        folder.is_dir() && folder.canonicalize().is_ok_and(|folder| there.starts_with(folder))
    };
    match folders.into_iter().find(is_around) {
        Some((option, folder)) => Err(Error::Data(format!(
            "--out {}: in the folder of {option}, {}, where it would be taken for a part of the data set; give a folder \
             outside",
            out.display(),
            folder.display()
        ))),
        None => Ok(()),
    }
}

/// Checks that an output file does not exist, unless it may be overwritten. A device such as `/dev/stdout` has nothing
/// to lose.
///
/// # Errors
/// [`Error::Data`] if it exists.
pub fn require_new(file: &Path, force: bool) -> Result<()> {
    match std::fs::metadata(file) {
        Ok(meta) if !force && (meta.is_file() || meta.is_dir()) => Err(Error::Data(format!(
            "{} exists; give another name, or --force to overwrite it",
            file.display()
        ))),
        _ => Ok(()),
    }
}

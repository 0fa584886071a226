//! The runs in a folder, and the error about a folder that is no run.

use super::Layout;
use crate::error::excerpt;
use crate::{Error, Result};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Most folders below a given one that are searched for runs.
pub const MOST_FOLDERS: usize = 10_000;
/// Depth of the search: `runs/market`, `reproduce/runs/full-1`.
pub const DEPTH: usize = 3;
/// Most folders that are searched for an error message.
const FEW_FOLDERS: usize = 200;
/// Number of runs that a message names, and of characters of their names.
const NAMED: usize = 5;
const LONGEST: usize = 60;

/// The runs that a search found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Run folders, in the order of their names.
    pub runs: Vec<PathBuf>,
    /// Whether all folders were searched.
    pub is_complete: bool,
}

/// The runs in `folder`: itself, or those in up to [`DEPTH`] levels below. Links and hidden folders are left out, so
/// that the search ends.
///
/// # Errors
/// `folder` cannot be read.
pub fn below(folder: &Path) -> Result<Found> {
    let mut search = Search::of(MOST_FOLDERS);
    search.visit(folder, DEPTH).map_err(Error::io(folder))?;
    Ok(search.found)
}

/// The error about `folder` in the place of a run folder: it names the runs in it, or the run that it is a part of.
pub(crate) fn not_a_run(folder: &Path) -> Error {
    let shown = folder.display();
    let what = match std::fs::metadata(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            "no such folder; give the folder of a run that bcreid train made".to_string()
        }
        Err(e) => format!("{e}; give the folder of a run that bcreid train made"),
        Ok(meta) if !meta.is_dir() => {
            "it is a file; give the folder of a run that bcreid train made".to_string()
        }
        Ok(_) => {
            let mut search = Search::of(FEW_FOLDERS);
            let _ = search.visit(folder, DEPTH);
            let Found { runs, is_complete } = search.found;
            match (&runs[..], run_above(folder)) {
                ([], None) => {
                    "it has no config.toml; give the folder of a run that bcreid train made".to_string()
                }
                ([], Some(run)) => format!("it is inside of one; give {}", run.display()),
                ([run], _) => format!("it holds one; give {}", run.display()),
                (runs, _) => several(runs, !is_complete),
            }
        }
    };
    Error::Run(format!("{shown}: not a run folder: {what}"))
}

/// The advice for a folder that holds several runs; `more` says that not all are known.
fn several(runs: &[PathBuf], more: bool) -> String {
    let names: Vec<String> =
        runs.iter().take(NAMED).map(|run| excerpt(&run.display().to_string(), LONGEST)).collect();
    let dots = if more || runs.len() > NAMED { ", ..." } else { "" };
    let at_least = if more { "at least " } else { "" };
    format!(
        "it holds {at_least}{} runs; give one of them: {}{dots} (bcreid runs lists them with their results)",
        runs.len(),
        names.join(", ")
    )
}

/// The run that `folder` is inside of, at most as deep as an evaluation is.
fn run_above(folder: &Path) -> Option<PathBuf> {
    let whole = folder.canonicalize().ok()?;
    whole.ancestors().skip(1).take(2).find(|above| is_run(above)).map(Path::to_path_buf)
}

/// A search for runs that looks into a limited number of folders.
struct Search {
    left: usize,
    found: Found,
}

impl Search {
    fn of(folders: usize) -> Self {
        Search { left: folders, found: Found { runs: Vec::new(), is_complete: true } }
    }

    /// Looks into a folder and up to `depth` levels below it.
    fn visit(&mut self, folder: &Path, depth: usize) -> std::io::Result<()> {
        if is_run(folder) {
            self.found.runs.push(folder.to_path_buf());
            return Ok(());
        }
        if depth == 0 {
            return Ok(());
        }
        let mut inner = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if entry.file_type()?.is_dir() && !hidden {
                inner.push(entry.path());
            }
        }
        inner.sort_unstable();
        for folder in inner {
            if self.left == 0 {
                self.found.is_complete = false;
                break;
            }
            self.left -= 1;
            // A folder that may not be read below a given one holds no run of this user.
            let _ = self.visit(&folder, depth - 1);
        }
        Ok(())
    }
}

fn is_run(folder: &Path) -> bool {
    let layout = Layout::of(folder);
    layout.config().is_file() && layout.checkpoints().is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_folder_that_is_no_run_names_the_runs_around_it() {
        let home = tempfile::tempdir().unwrap();
        let run = |name: &str| {
            let run = home.path().join(name);
            fs::create_dir_all(run.join("checkpoints")).unwrap();
            fs::write(run.join("config.toml"), "").unwrap();
        };
        let said = |name: &str| not_a_run(&home.path().join(name)).to_string();
        assert!(said("nowhere").contains("nowhere: not a run folder: no such folder"));
        run("one/a");
        assert!(
            said("one").contains("not a run folder: it holds one; give ") && said("one").ends_with("one/a")
        );
        assert!(said("one/a/checkpoints").contains("it is inside of one; give "));
        assert!(said("one/a/config.toml").contains("it is a file"));
        for name in ["b", "c", "deep/d", "e", "f", "g"] {
            run(&format!("many/{name}"));
        }
        let many = said("many");
        for part in ["it holds 6 runs; give one of them: ", "many/b, ", "many/deep/d, ", ", ... (bcreid runs"]
        {
            assert!(many.contains(part), "{part}: {many}");
        }
        fs::create_dir(home.path().join("empty")).unwrap();
        assert!(said("empty").contains("it has no config.toml"));
    }

    #[test]
    fn a_search_knows_whether_it_saw_all_folders() {
        let home = tempfile::tempdir().unwrap();
        ["a", "b", "c"].iter().for_each(|name| fs::create_dir(home.path().join(name)).unwrap());
        for (folders, is_complete) in [(4, true), (3, true), (2, false)] {
            let mut search = Search::of(folders);
            search.visit(home.path(), DEPTH).unwrap();
            assert_eq!(search.found.is_complete, is_complete, "{folders}");
        }
    }
}

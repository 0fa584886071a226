//! The weight file that a command takes where it is given a run folder.

use super::{Layout, checkpoint, search, validation};
use crate::{Error, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The weight file of a run's folder, or the file itself, and a note about it.
///
/// # Errors
/// A run folder without weights or checkpoint.
pub fn weight_file(path: &Path) -> Result<(PathBuf, Option<String>)> {
    match fs::metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(Error::Run(format!(
                "{}: no such file or folder; give the folder of a run, or a weight file (.safetensors)",
                path.display()
            )));
        }
        Ok(meta) if meta.is_dir() => {}
        _ => return Ok((path.to_path_buf(), None)),
    }
    let result = Layout::of(path).weights();
    if result.is_file() {
        let best = validation::read_best(&Layout::of(path)).ok().flatten();
        let note = best.filter(|_| Layout::of(path).best().is_file()).map(|best| {
            format!(
                "{}: its final weights are taken; best.safetensors in it has those of its best evaluation, after {} \
                 iterations",
                path.display(),
                best.iterations
            )
        });
        return Ok((result, note));
    }
    let Some(newest) = checkpoint::newest(&Layout::of(path).checkpoints()).ok().flatten() else {
        if !Layout::of(path).config().is_file() {
            return Err(search::not_a_run(path));
        }
        return Err(Error::Run(format!(
            "{}: no weights and no checkpoint in this run folder yet; train it first",
            path.display()
        )));
    };
    let note = format!(
        "{}: this run is not finished; its newest checkpoint is taken: {}",
        path.display(),
        newest.file_name().unwrap_or_default().to_string_lossy()
    );
    Ok((newest, Some(note)))
}

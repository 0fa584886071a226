//! Old names of settings: files, checkpoints and `--set` may still use them.

use super::keys;
use crate::{Error, Result};

/// Old key, current key.
pub(super) const OLD: [(&str, &str); 10] = [
    ("solver.rate", "solver.lr"),
    ("solver.rate_drops", "solver.lr_milestones"),
    ("solver.rate_factor", "solver.lr_gamma"),
    ("solver.rate_warmup", "solver.lr_warmup"),
    ("loss.lambda", "loss.batch_contrastive.weight"),
    ("loss.lambda_warmup", "loss.batch_contrastive.warmup"),
    ("loss.tau", "loss.batch_contrastive.tau"),
    ("loss.gradient", "loss.batch_contrastive.gradient"),
    ("loss.reduction", "loss.batch_contrastive.reduction"),
    ("loss.center_rate", "loss.batch_contrastive.center_rate"),
];

/// The current name of a setting `section.key`.
pub fn current(key: &str) -> String {
    let renamed = OLD.iter().find(|(old, _)| key == *old);
    renamed.map_or(key, |(_, new)| new).to_string()
}

/// Renames old settings of a TOML file to their current names.
///
/// # Errors
/// A setting that is given under both of its names.
pub fn rename(table: &mut toml::Table) -> Result<()> {
    for (old, new) in OLD {
        let Some(value) = keys::remove(table, old) else { continue };
        // A value in the place of a section of the new name is an error of its own, which is found later.
        let section = new.rsplit_once('.').and_then(|(section, _)| keys::get(table, section));
        if section.is_some_and(|section| !section.is_table()) {
            continue;
        }
        if keys::get(table, new).is_some() {
            return Err(Error::Config(format!(
                "{old} is the old name of {new}, and both are given; leave {old} out"
            )));
        }
        keys::insert(table, new, value);
    }
    Ok(())
}

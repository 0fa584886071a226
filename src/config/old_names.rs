//! Old names of settings: files, checkpoints and `--set` may still use them.

use crate::{Error, Result};

/// Section, old name, current name.
const OLD: [(&str, &str, &str); 4] = [
    ("solver", "rate", "lr"),
    ("solver", "rate_drops", "lr_milestones"),
    ("solver", "rate_factor", "lr_gamma"),
    ("solver", "rate_warmup", "lr_warmup"),
];

/// The current name of a setting `section.key`.
pub fn current(key: &str) -> String {
    let renamed = OLD.iter().find(|(section, old, _)| key.split_once('.') == Some((section, old)));
    renamed.map_or_else(|| key.to_string(), |(section, _, new)| format!("{section}.{new}"))
}

/// Renames old settings of a TOML file to their current names.
///
/// # Errors
/// A setting that is given under both of its names.
pub fn rename(table: &mut toml::Table) -> Result<()> {
    for (section, old, new) in OLD {
        let Some(own) = table.get_mut(section).and_then(toml::Value::as_table_mut) else { continue };
        let Some(value) = own.remove(old) else { continue };
        if own.insert(new.into(), value).is_some() {
            return Err(Error::Config(format!(
                "{section}.{old} is the old name of {section}.{new}, and both are given; leave {section}.{old} out"
            )));
        }
    }
    Ok(())
}

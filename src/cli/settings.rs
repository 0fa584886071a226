//! The options `--config` and `--set` of commands that take settings.

use crate::Result;
use crate::config::Config;
use clap::Args;
use std::path::PathBuf;

/// Settings from files and from the command line.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// Settings in a TOML file, or a recipe by its name (bcreid config --recipes); may be repeated, later values win.
    #[arg(long = "config", value_name = "FILE.toml|RECIPE")]
    pub files: Vec<PathBuf>,
    /// One setting that replaces those of files, e.g. loss.batch_contrastive.weight=0; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_hint = clap::ValueHint::Other)]
    pub settings: Vec<String>,
}

impl Settings {
    /// The settings; those of the network come from the settings `weights` of a weight file, if there is one.
    pub fn resolve(&self, weights: Option<&Config>) -> Result<Config> {
        Config::resolve_for(weights, &self.files, &self.settings)
    }
}

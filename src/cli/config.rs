//! `bcreid config`: every setting with its meaning, unit, default and source.

use crate::Result;
use crate::config;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print every setting as a commented TOML file.
#[derive(Debug, Args)]
pub struct Config {
    /// TOML file whose values replace the defaults.
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// One setting that replaces the file's; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_hint = clap::ValueHint::Other)]
    settings: Vec<String>,
}

impl Config {
    pub fn run(self) -> Result<ExitCode> {
        let resolved = config::Config::resolve(self.config.as_deref(), &self.settings)?;
        super::say_lines(resolved.to_commented_toml().trim_end())?;
        Ok(ExitCode::SUCCESS)
    }
}

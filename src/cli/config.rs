//! `bcreid config`: every setting with its meaning, unit, default and source.

use super::settings::Settings;
use crate::Result;
use crate::config::RECIPES;
use clap::Args;
use std::process::ExitCode;

/// Print every setting as a commented TOML file.
#[derive(Debug, Args)]
pub struct Config {
    #[command(flatten)]
    settings: Settings,
    /// List the recipes that --config knows by name, and nothing else.
    #[arg(long, conflicts_with_all = ["files", "settings"])]
    recipes: bool,
}

impl Config {
    pub fn run(self) -> Result<ExitCode> {
        if self.recipes {
            let width = RECIPES.iter().map(|recipe| recipe.name.len()).max().unwrap_or(0);
            for recipe in RECIPES {
                super::say(format_args!("{:width$}  {}", recipe.name, recipe.title()))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let resolved = self.settings.resolve(None)?;
        super::say_lines(resolved.to_commented_toml().trim_end())?;
        Ok(ExitCode::SUCCESS)
    }
}

//! The recipes in `configs/`, as parts of the program: `--config bot` needs no file.

use super::resolve::Layer;
use crate::error::printable;
use crate::files::{MIB, read_argument};
use crate::{Error, Result};
use std::path::Path;

/// Settings that are part of the program, with a name.
#[derive(Clone, Copy, Debug)]
pub struct BuiltInRecipe {
    /// The name: that of the file in `configs/` without its ending.
    pub name: &'static str,
    /// The settings as TOML. Comments give the source, and the known results.
    pub text: &'static str,
}

macro_rules! recipes {
    ($($name:literal),* $(,)?) => {
        [$(BuiltInRecipe { name: $name, text: include_str!(concat!("../../configs/", $name, ".toml")) }),*]
    };
}

/// All recipes.
pub const RECIPES: [BuiltInRecipe; 14] = recipes![
    "paper",
    "baseline",
    "bot",
    "agw",
    "circle",
    "trinet",
    "svdnet",
    "verif-identif",
    "lsro",
    "apr",
    "batch-contrastive-bot",
    "random-weights",
    "demo",
    "omniglot",
];

impl BuiltInRecipe {
    /// The recipe of this name.
    pub fn named(name: &str) -> Option<&'static BuiltInRecipe> {
        RECIPES.iter().find(|recipe| recipe.name == name)
    }

    /// Its title: the method and the source.
    ///
    /// # Panics
    /// Never: a test holds that each recipe has a title.
    pub fn title(&self) -> String {
        title_of(self.text).expect("every recipe has a title")
    }

    /// The names of all recipes in words.
    pub fn names() -> String {
        RECIPES.map(|recipe| recipe.name).join(", ")
    }
}

/// The title of a recipe's text: what stands before the first colon of the comment that begins it.
pub fn title_of(text: &str) -> Option<String> {
    let comment = text.lines().map_while(|line| line.strip_prefix('#')).map(str::trim);
    let comment = comment.collect::<Vec<_>>().join(" ");
    comment.split_once(':').map(|(title, _)| title.trim().to_string()).filter(|title| !title.is_empty())
}

/// The settings of a file, or of the recipe of this name if there is no such file.
///
/// # Errors
/// An unreadable file; neither a file nor a recipe.
pub(super) fn layer(file: &Path) -> Result<Layer> {
    let recipe = file.to_str().and_then(BuiltInRecipe::named);
    match (read_argument(file, MIB), recipe) {
        (Ok(text), _) => Ok(Layer { text, place: Some(file.display().to_string()) }),
        (Err(error), Some(recipe)) if error.is_missing_file() => {
            Ok(Layer { text: recipe.text.into(), place: Some(format!("recipe {}", recipe.name)) })
        }
        (Err(error), None) if error.is_missing_file() => Err(Error::Config(format!(
            "there is no file {}; give a TOML file, or the name of a recipe: {}",
            printable(&file.display().to_string()),
            BuiltInRecipe::names()
        ))),
        (Err(error), _) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn every_recipe_is_valid_and_has_a_title() {
        for recipe in RECIPES {
            let config = Config::resolve_for(None, &[PathBuf::from(recipe.name)], &[]).unwrap();
            assert_eq!(config, Config::resolve_text(recipe.text, &[]).unwrap());
            assert_eq!(config.unused(), Vec::<String>::new(), "{}", recipe.name);
            let title = recipe.title();
            assert!((10..100).contains(&title.len()), "{}: {title}", recipe.name);
        }
        let mut files: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/configs"))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_string())
            .collect();
        files.sort();
        let mut names = RECIPES.map(|recipe| recipe.name);
        names.sort();
        assert_eq!(files, names);
    }

    #[test]
    fn later_files_replace_earlier_ones_and_files_come_before_recipes() {
        let folder = tempfile::tempdir().unwrap();
        let small = folder.path().join("small.toml");
        std::fs::write(&small, "[solver]\nbatch = 8\nlr_milestones = [3]\n").unwrap();
        let both = |files: &[PathBuf]| Config::resolve_for(None, files, &["solver.iterations=9".into()]);
        let config = both(&["bot".into(), small.clone()]).unwrap();
        let bot = Config::resolve_text(BuiltInRecipe::named("bot").unwrap().text, &[]).unwrap();
        assert_eq!((config.solver.batch, config.solver.iterations), (8, 9));
        assert_eq!(config.solver.lr_milestones, [3]);
        assert_eq!((config.model.neck, config.loss.triplet), (bot.model.neck, bot.loss.triplet));
        assert_eq!(both(&[small, "bot".into()]).unwrap().solver.batch, bot.solver.batch);
        let error = both(&["bto".into()]).unwrap_err().to_string();
        assert!(error.contains("no file bto") && error.contains("bot, agw, circle"), "{error}");
    }
}

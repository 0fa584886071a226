//! Comparison of methods: each is a recipe of settings, trained from the same starts with several seeds, beside the
//! figures that the paper quotes.

use super::names::{fault_of_name, folder_part, name_and_file};
use super::published::{Benchmark, Published};
use super::recipes::Recipes;
use super::reproduce::is_published;
use super::{Achieved, Figure, Gains, Start, Study, Summary, gain};
use crate::config::{BuiltInRecipe, Config, title_of};
use crate::error::printable;
use crate::files::{MIB, read_argument};
use crate::{Error, Result};
use comfy_table::{CellAlignment, Table, TableStyle, presets};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// The method whose row the others are compared with.
pub const BASELINE: &str = "baseline";

/// A method: the file of its recipe, with the names that folders and tables have for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// Name of its folder.
    pub name: String,
    /// Name in tables.
    pub title: String,
    /// File of its settings, or the name of a built-in recipe.
    pub file: PathBuf,
}

impl Method {
    /// Reads methods from texts: the name of a built-in recipe, a TOML file, or `NAME=FILE`.
    ///
    /// # Errors
    /// An empty text, a missing file, a name that folders cannot have, two methods of one name.
    pub fn several(texts: &[String]) -> Result<Vec<Self>> {
        let mut methods: Vec<Method> = Vec::new();
        for text in texts {
            let method = Method::of(text.trim())?;
            // Some file systems do not distinguish upper and lower case.
            if methods.iter().any(|known| known.name.eq_ignore_ascii_case(&method.name)) {
                return Err(Error::Config(format!(
                    "--methods: two methods have the name {}; give it once, or give one another name: NAME=FILE",
                    method.name
                )));
            }
            methods.push(method);
        }
        Ok(methods)
    }

    /// An error about settings with the name of the method.
    pub fn named(&self, error: Error) -> Error {
        match error {
            Error::Config(what) => Error::Config(format!("method {}: {what}", self.name)),
            other => other,
        }
    }

    fn of(text: &str) -> Result<Self> {
        let fault = |what: String| Error::Config(format!("--methods {text}: {what}"));
        if text.is_empty() {
            return Err(Error::Config(
                "--methods: an item is empty; give a method before and after every comma".into(),
            ));
        }
        let (name, path) = name_and_file(text);
        if let Some(what) = name.and_then(|name| fault_of_name(name, "method")) {
            return Err(fault(what));
        }
        let recipe = path.to_str().and_then(BuiltInRecipe::named);
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let (own, title) = match (recipe, read_argument(path, MIB)) {
            (_, Ok(text)) => {
                (folder_part(&stem), title_of(&text).unwrap_or_else(|| stem.clone().into_owned()))
            }
            (Some(recipe), Err(error)) if error.is_missing_file() => (recipe.name.into(), recipe.title()),
            (None, Err(error)) if error.is_missing_file() => {
                return Err(fault(format!(
                    "neither a file nor a recipe; the recipes are {}",
                    BuiltInRecipe::names()
                )));
            }
            (_, Err(error)) => return Err(error),
        };
        Ok(Method { name: name.map_or(own, String::from), title, file: path.to_path_buf() })
    }
}

/// Result of a comparison of methods.
#[derive(Clone, Debug, Serialize)]
pub struct Methods {
    /// Folder of the data set.
    pub data: String,
    /// Number of runs of each recipe.
    pub runs: usize,
    /// Results of every method from every start.
    pub recipes: Vec<Achieved>,
    /// The rows of the table.
    pub comparisons: Vec<Row>,
    /// True if the data set is the paper's, so that the quoted figures are comparable.
    pub comparable: bool,
    /// Notes on the settings of each method.
    pub notes: Vec<String>,
    #[serde(skip)]
    benchmark: Benchmark,
}

/// A method that was run here, from one start.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Name of the method in the table.
    pub title: String,
    /// Name of the recipe.
    pub recipe: String,
    /// Name of the recipe of the baseline from the same start; `None` without one, and for the baseline itself.
    pub baseline: Option<String>,
    /// Gains over the baseline.
    pub gains: Option<Gains>,
}

/// A row before the runs: title, and the indices of recipe and baseline.
type Planned = (String, usize, Option<usize>);

/// The recipes of all methods from all starts. `configs` holds the settings of each method, for each start.
fn plan(methods: &[Method], starts: &[Start], configs: Vec<Vec<Config>>) -> (Recipes, Vec<Planned>) {
    let mut recipes = Recipes::default();
    let mut rows: Vec<Planned> = Vec::new();
    for (place, (start, of_start)) in starts.iter().zip(configs).enumerate() {
        let first = rows.len();
        for (method, config) in methods.iter().zip(of_start) {
            let parts = std::iter::once(method.name.clone()).chain(start.folder_part());
            let name = parts.collect::<Vec<_>>().join("+");
            let recipe = recipes.find_or_add(place, config, || name);
            let of_start = start.name.as_ref().map_or(String::new(), |name| format!(", start {name}"));
            rows.push((format!("{}{of_start}", method.title), recipe, None));
        }
        let baseline = methods.iter().position(|method| method.name == BASELINE);
        if let Some(baseline) = baseline.map(|at| rows[first + at].1) {
            rows[first..].iter_mut().filter(|row| row.1 != baseline).for_each(|row| row.2 = Some(baseline));
        }
    }
    (recipes, rows)
}

/// Trains and evaluates every method from every start, and writes the result into the study's folder; `None` if the
/// study was stopped. The settings of a method are those of its recipe, then those of `files` and `settings`.
///
/// # Errors
/// Settings that are wrong for a method, with the method's name; a [`Study`] that cannot begin; errors of training and
/// evaluation.
pub fn run(
    study: &Study<'_>,
    methods: &[Method],
    files: &[PathBuf],
    settings: &[String],
    benchmark: &Benchmark,
    say: &dyn Fn(&str),
) -> Result<Option<Methods>> {
    let config = |start: &Start, method: &Method| {
        let layers: Vec<PathBuf> = std::iter::once(&method.file).chain(files).cloned().collect();
        start.with_settings(&layers, settings).map_err(|error| method.named(error))
    };
    let of_start = |start: &Start| methods.iter().map(|method| config(start, method)).collect();
    let configs = study.starts.iter().map(of_start).collect::<Result<Vec<Vec<Config>>>>()?;
    let notes = notes_on_settings(methods, study.starts, &configs);
    let (mut recipes, rows) = plan(methods, study.starts, configs);
    let _folder = study.begin(&mut recipes.0)?;
    let Some(recipes) = study.run(&recipes.0, say)? else { return Ok(None) };
    let row = |(title, recipe, baseline): Planned| {
        let baseline = baseline.map(|at| &recipes[at]);
        let recipe = &recipes[recipe];
        Row {
            title,
            recipe: recipe.name.clone(),
            baseline: baseline.map(|baseline| baseline.name.clone()),
            gains: baseline.map(|baseline| Gains::of(&baseline.summary, &recipe.summary, study.runs)),
        }
    };
    let result = Methods {
        data: study.dataset.root.display().to_string(),
        runs: study.runs,
        comparisons: rows.into_iter().map(row).collect(),
        recipes,
        comparable: is_published(study.dataset, benchmark).is_ok(),
        notes,
        benchmark: *benchmark,
    };
    study.write(&result, &result.table(presets::ASCII_MARKDOWN), &result.notes(), say)?;
    Ok(Some(result))
}

/// Notes on the starts, and on the settings of each method that are not the defaults; those that all methods share are
/// in one note.
fn notes_on_settings(methods: &[Method], starts: &[Start], configs: &[Vec<Config>]) -> Vec<String> {
    let mut notes = Vec::new();
    for (start, configs) in starts.iter().zip(configs) {
        let name = start.name.as_ref().map_or(String::new(), |name| format!(" {name}"));
        notes.push(format!("Start{name}: {}.", start.describe()));
        let changes: Vec<Vec<String>> = configs.iter().map(|config| config.changes(&[])).collect();
        let is_common = |change: &String| changes.iter().all(|own| own.contains(change));
        let common: Vec<String> =
            changes.first().into_iter().flatten().filter(|change| is_common(change)).cloned().collect();
        if methods.len() > 1 && !common.is_empty() {
            notes.push(format!("All methods{name}: {}.", common.join(", ")));
        }
        for (method, changes) in methods.iter().zip(&changes) {
            let is_own = |change: &&String| methods.len() == 1 || !is_common(change);
            let own: Vec<&str> = changes.iter().filter(is_own).map(String::as_str).collect();
            let own = if own.is_empty() { "no setting of its own".into() } else { own.join(", ") };
            notes.push(format!("{}{name}: {own}.", method.title));
        }
    }
    notes.push(
        "All other settings: the defaults, which are the paper's where it states them (bcreid config)."
            .into(),
    );
    notes
}

impl Methods {
    fn table(&self, style: TableStyle) -> Table {
        let mut table = Table::new();
        table.load_style(style);
        let gains = ["rank-1 gain", "mAP gain"];
        let figures = ["batch", "iterations", "rank-1", "rank-5", "rank-10", "mAP"];
        table.set_header(std::iter::once("method").chain(figures).chain(gains));
        if self.comparable {
            let Benchmark { others, baseline, full, .. } = &self.benchmark;
            for Published { method, figures } in others.iter().chain([baseline, full]) {
                let name = format!("{method} [quoted]");
                let start = [name.as_str(), "-", "-"].into_iter();
                table.add_row(start.chain(*figures).chain(["", ""]));
            }
        }
        for row in &self.comparisons {
            table.add_row(self.row(row));
        }
        table.column_iter_mut().skip(1).for_each(|c| c.set_cell_alignment(CellAlignment::Right));
        table
    }

    fn row(&self, Row { title, recipe, gains, .. }: &Row) -> Vec<String> {
        let found =
            self.recipes.iter().find(|own| own.name == *recipe).expect("rows name recipes that were run");
        let Summary { rank1, rank5, rank10, map_market, .. } = &found.summary;
        let solver = &found.settings.solver;
        let gains = gains.as_ref().map(|gains| [gains.rank1, gains.map_market].map(|gain| gain.with_error()));
        [format!("{title} [run here]"), solver.batch.to_string(), solver.iterations.to_string()]
            .into_iter()
            .chain([rank1, rank5, rank10, map_market].map(Figure::to_string))
            .chain(gains.unwrap_or_default())
            .collect()
    }

    /// Notes below the table.
    fn notes(&self) -> Vec<String> {
        let mut notes = vec![match self.runs {
            1 => "[run here]: percent; one run each, so the spread between seeds is unknown.".to_string(),
            n => format!(
                "[run here]: percent; mean ± sample standard deviation of {n} runs each, which differ in their seed."
            ),
        }];
        if self.comparable {
            notes.push(self.benchmark.note());
        }
        let with_gain = self.comparisons.iter().filter_map(|row| Some((row, row.gains.as_ref()?)));
        let mut any = false;
        for (row, gains) in with_gain {
            any = true;
            notes.push(format!(
                "{} over the baseline: {}; {}.",
                row.title,
                gains.rank1.sentence("rank-1"),
                gains.map_market.sentence("mAP")
            ));
        }
        if !any {
            notes.push(format!("No gains: the method {BASELINE} was not run."));
        } else if self.runs > 1 {
            notes.push(gain::about_intervals(self.runs));
        }
        notes.extend(self.notes.iter().cloned());
        if let Some(report) = self.recipes.first().and_then(|recipe| recipe.reports.first()) {
            notes.extend(report.lines());
        }
        notes
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.table(presets::UTF8_HORIZONTAL_ONLY))?;
        let notes: Vec<String> = self.notes().iter().map(|note| printable(note)).collect();
        write!(f, "{}", notes.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_recipes_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
            folder.path().join(name).display().to_string()
        };
        let own = file("own.toml", "# Ours, Someone (2026): a test.\n[solver]\nbatch = 8\n");
        let bare = file("bare one.toml", "[solver]\nbatch = 8\n");
        let texts = ["baseline".to_string(), " bot ".into(), own.clone(), format!("x={bare}"), bare.clone()];
        let methods = Method::several(&texts).unwrap();
        let names: Vec<(&str, &str)> = methods.iter().map(|m| (m.name.as_str(), m.title.as_str())).collect();
        assert_eq!(
            names[..2],
            [("baseline", "Baseline, Zhang & Xu (2018)"), ("bot", "Bag of tricks, Luo et al. (2019)"),]
        );
        assert_eq!(names[2..4], [("own", "Ours, Someone (2026)"), ("x", "bare one")]);
        assert!(names[4].0.starts_with("bareone-"), "{names:?}");
        for (texts, words) in [
            (&["bot", "bot"][..], "two methods have the name bot"),
            (&["bot", ""], "an item is empty"),
            (&["nowhere.toml"], "--methods nowhere.toml: neither a file nor a recipe; the recipes are paper"),
            (&["a b=bot"], "instead of a b"),
            (&["=bot"], "no name before the ="),
        ] {
            let texts: Vec<String> = texts.iter().map(|text| text.to_string()).collect();
            let error = Method::several(&texts).unwrap_err().to_string();
            assert!(error.contains(words), "{words}: {error}");
        }
    }

    #[test]
    fn each_start_has_its_own_baseline_and_equal_settings_one_recipe() {
        let method = |name: &str| Method { name: name.into(), title: name.to_uppercase(), file: name.into() };
        let methods = ["full", "baseline", "again"].map(method);
        let start = |name: Option<&str>| Start {
            name: name.map(String::from),
            ..Start::only(None, &[], &[]).unwrap()
        };
        let full = Config::default();
        let mut baseline = full.clone();
        baseline.loss.batch_contrastive.weight = 0.0;
        let configs = vec![full.clone(), baseline, full];
        let (recipes, rows) =
            plan(&methods, &[start(Some("a")), start(Some("b"))], vec![configs.clone(), configs]);
        let names: Vec<&str> = recipes.0.iter().map(|recipe| recipe.name.as_str()).collect();
        assert_eq!(names, ["full+start-a", "baseline+start-a", "full+start-b", "baseline+start-b"]);
        assert_eq!(
            rows,
            [
                ("FULL, start a".to_string(), 0, Some(1)),
                ("BASELINE, start a".into(), 1, None),
                ("AGAIN, start a".into(), 0, Some(1)),
                ("FULL, start b".into(), 2, Some(3)),
                ("BASELINE, start b".into(), 3, None),
                ("AGAIN, start b".into(), 2, Some(3)),
            ]
        );
        let without = plan(&methods[..1], &[start(None)], vec![vec![Config::default()]]);
        assert_eq!(without.1, [("FULL".to_string(), 0, None)]);
    }
}

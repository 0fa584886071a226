//! Studies: several recipes, each trained with several seeds and evaluated, summarised in one table.
//!
//! [`reproduce`] is the paper's comparison of its loss with the baseline, [`methods`] one of several methods, [`sweep`]
//! the choice of lambda.
//! Needs the feature `cli`.
//!
//! ```text
//! OUT/RECIPE/seed-0/   a run folder, with its evaluation
//! OUT/lock             locked while a process works here
//! OUT/study.json       manifest: checksums of the images and fingerprints of the starts
//! OUT/result.json      all figures of the last call
//! OUT/table.md         table of these figures
//! OUT/sweep.svg, .png  plot of a sweep
//! OUT/earlier/N/       result, table and plot of an earlier call that has figures which the last call lacks
//! ```
//!
//! A study that was stopped resumes: runs that are finished and evaluated are only read. A recipe is identified by its
//! settings and its start, so another call finds it under any name.

mod about;
mod earlier;
mod folder;
pub mod gain;
pub mod methods;
pub mod names;
pub mod published;
pub mod recipes;
pub mod reproduce;
pub mod start;
mod summary;
pub mod sweep;

pub use gain::{Gain, Gains};
pub use start::Start;
pub use summary::{Figure, Summary};

use crate::config::Config;
use crate::data::{Dataset, Sample};
use crate::device::Device;
use crate::error::printable;
use crate::eval::extract::Extractor;
use crate::eval::stored_evaluation::{self, StoredEvaluation};
use crate::eval::{self, Protocol, Report};
use crate::files::{inside, write_atomically};
use crate::run::checkpoint;
use crate::run::folder::read_config;
use crate::run::{Layout, RunFolder};
use crate::train::{self, Observe, Outcome, Trainer};
use crate::weights::{Features, NetworkFile, Origin};
use crate::{Error, Result};
use about::{StudyManifest, crc32_of_names};
use comfy_table::Table;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use sweep::HeldOut;

/// Largest number of runs (seeds) of a recipe.
pub const MOST_RUNS: usize = 100;

/// A varied setting, or the start, with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Key of the setting.
    pub key: String,
    /// Value, as written on the command line.
    pub value: String,
}

/// A recipe: settings with a name and a start. Its runs have consecutive seeds.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Name of the recipe's folder.
    pub name: String,
    /// Index of the start in [`Study::starts`].
    pub start: usize,
    /// Settings of the first run.
    pub config: Config,
}

/// Results of a recipe.
#[derive(Clone, Debug, Serialize)]
pub struct Achieved {
    /// Name of the recipe's folder.
    pub name: String,
    /// Name of the start.
    pub start: String,
    /// Settings of the first run, as given.
    pub settings: Config,
    /// Means and deviations over the seeds.
    pub summary: Summary,
    /// Figures of each run, by seed.
    pub reports: Vec<Report>,
}

/// A study: folder, data set, starts and device of its runs.
#[derive(Clone, Copy)]
pub struct Study<'a> {
    /// Folder of the study.
    pub out: &'a Path,
    /// Data set for training and evaluation.
    pub dataset: &'a Dataset,
    /// Name under which evaluations are stored in the run folders.
    pub name: &'a str,
    /// Rule that chose the held-out persons, if the data set's test part consists of held-out persons.
    pub held_out: Option<HeldOut>,
    /// Starts of the recipes, at least one.
    pub starts: &'a [Start],
    /// Number of runs (seeds) of each recipe.
    pub runs: usize,
    /// Device that computes.
    pub device: &'a Device,
    /// Stop request; the study ends after the current step.
    pub stop: &'a AtomicBool,
    /// Creates the observers of each run.
    pub observe: Observe<'a>,
}

impl Study<'_> {
    /// Checks the study, locks its folder and writes the manifest. Recipes that are in the folder already get their
    /// names from there.
    ///
    /// # Errors
    /// Too many or too large seeds; a data set without training or test part; weights that do not fit a recipe; a
    /// folder that another process uses, that is no folder of this study, or that has another recipe of the same name.
    fn begin(&self, recipes: &mut [Recipe]) -> Result<RunFolder> {
        if !(1..=MOST_RUNS).contains(&self.runs) {
            return Err(Error::Config(format!(
                "--runs {}: give 1 to {MOST_RUNS} runs of each recipe",
                self.runs
            )));
        }
        let first = recipes.iter().map(|recipe| recipe.config.run.seed).max().unwrap_or(0);
        if first > i64::MAX as u64 - (self.runs - 1) as u64 {
            return Err(Error::Config(format!(
                "run.seed={first}: {} runs count up from it, and the largest seed is {}",
                self.runs,
                i64::MAX
            )));
        }
        self.dataset.require_train()?;
        self.dataset.require_test()?;
        self.check_starts(recipes)?;
        folder::require_study_or_vacant(self.out)?;
        std::fs::create_dir_all(self.out).map_err(Error::io(self.out))?;
        let lock = RunFolder::lock(self.out)?;
        let about = StudyManifest::open(self)?;
        folder::reuse(self.out, &about.start_names(), self.starts, recipes)?;
        about.write(self.out)?;
        Ok(lock)
    }

    /// Checks that the weights of each start fit the networks of its recipes; each network is checked once.
    fn check_starts(&self, recipes: &[Recipe]) -> Result<()> {
        let mut checked: Vec<(usize, String)> = Vec::new();
        for Recipe { start, config, .. } in recipes {
            let network = (*start, config.network_toml());
            if !checked.contains(&network) {
                self.starts[*start].check(config)?;
                checked.push(network);
            }
        }
        Ok(())
    }

    /// Trains and evaluates all recipes, one seed of each in turn; `None` if the study was stopped. `say` gets a
    /// message about every run.
    ///
    /// # Errors
    /// A folder with runs of other settings; errors of training and evaluation.
    fn run(&self, recipes: &[Recipe], say: &dyn Fn(&str)) -> Result<Option<Vec<Achieved>>> {
        let mut reports: Vec<Vec<Report>> = vec![Vec::new(); recipes.len()];
        let (mut number_of_run, all) = (0, recipes.len() * self.runs);
        for number in 0..self.runs {
            for (recipe, reports) in recipes.iter().zip(&mut reports) {
                let mut config = recipe.config.clone();
                config.run.seed += number as u64;
                number_of_run += 1;
                let folder = Path::new(&recipe.name).join(format!("seed-{}", config.run.seed));
                let folder = inside(self.out, folder)?;
                let label = format!("[{number_of_run}/{all}] {}, seed {}", recipe.name, config.run.seed);
                let start = &self.starts[recipe.start];
                let Some(report) = self.run_one(&folder, &label, &config, start, say)? else {
                    return Ok(None);
                };
                say(&format!(
                    "{label}: rank-1 {:.2}, mAP {:.2}",
                    100.0 * report.rank1,
                    100.0 * report.map_market
                ));
                reports.push(report);
            }
        }
        let achieved = recipes.iter().zip(reports).map(|(recipe, reports)| Achieved {
            name: recipe.name.clone(),
            start: self.starts[recipe.start].label().to_string(),
            settings: recipe.config.clone(),
            summary: Summary::of(&reports),
            reports,
        });
        Ok(Some(achieved.collect()))
    }

    /// Trains and evaluates one run, or its unfinished part; `None` if the study was stopped.
    fn run_one(
        &self,
        folder: &Path,
        label: &str,
        config: &Config,
        start: &Start,
        say: &dyn Fn(&str),
    ) -> Result<Option<Report>> {
        let name = self.name.to_string();
        let check = |what: &Path, there: &Config| match recipes::difference(there, config) {
            Some(why) => Err(folder::other_settings(what, &why)),
            None => Ok(()),
        };
        let files = Layout::of(folder);
        let there = files.config().is_file();
        if there {
            check(folder, &read_config(folder)?)?;
        }
        let begun = there && checkpoint::has_one(&files.checkpoints());
        let result = files.weights();
        let trained = result.is_file();
        if trained {
            let network = NetworkFile::open(&result).map_err(|e| {
                Error::Run(format!(
                    "{e}; if the file is damaged, delete it, and the study trains the run again"
                ))
            })?;
            check(&result, network.config())?;
            if let Some(stored) = self.own_evaluation(folder, network.fingerprint()) {
                return Ok(Some(stored.report));
            }
        }
        if !trained
            && (self.stop.load(Ordering::Relaxed) || !self.train(folder, label, config, start, begun)?)
        {
            return Ok(None);
        }
        say(&format!("{label}: evaluating"));
        let extractor = Extractor::load(folder, self.device)?;
        let mut extractor = extractor.with_bad_images(config.data.bad_images);
        let (query, gallery) = extractor.extract_test(self.dataset, |_, _| ())?;
        let report = eval::evaluate(&query, &gallery, &Protocol::default(), self.device)?;
        let report = report.with_skipped(extractor.take_skipped());
        let images = vec![stored_evaluation::whole_path(&self.dataset.root)];
        StoredEvaluation::new(name, images, query, gallery, report.clone()).write(folder)?;
        Ok(Some(report))
    }

    /// The stored evaluation of a run that equals the evaluation of this study: of the run's result, on this test part,
    /// with the plain protocol. Other evaluations may have the same name.
    fn own_evaluation(&self, run: &Path, network: String) -> Option<StoredEvaluation> {
        let images = [stored_evaluation::whole_path(&self.dataset.root)];
        let origin = Origin { network: Some(network), mirrored: Some(false), pooled: None, layer: None };
        // The network's fingerprint decides its layer, which evaluations of earlier versions do not state.
        let is_of_network = |own: &Origin| Origin { layer: None, ..own.clone() } == origin;
        let of_dataset = |features: &Features, samples: &[Sample]| {
            let own = (0..features.len()).map(|row| Sample {
                path: features.paths().get(row).map(PathBuf::from).unwrap_or_default(),
                pid: features.pids()[row],
                camid: Some(features.camids()[row]).filter(|&camid| camid != -1),
            });
            crc32_of_names(own) == crc32_of_names(samples.iter().cloned())
        };
        let is_own = |stored: &StoredEvaluation| {
            stored.report.protocol == Protocol::default()
                && stored.images == images
                && [stored.query.origin(), stored.gallery.origin()].into_iter().all(is_of_network)
                && of_dataset(&stored.query, &self.dataset.query)
                && of_dataset(&stored.gallery, &self.dataset.gallery)
        };
        // A damaged evaluation is made again and replaced.
        stored_evaluation::read_called(run, self.name).unwrap_or_default().into_iter().find(is_own)
    }

    /// Trains a run to the end; false if training was stopped, with a checkpoint saved.
    fn train(&self, folder: &Path, label: &str, config: &Config, start: &Start, begun: bool) -> Result<bool> {
        let ready =
            |config: &Config, start| Trainer::new(config, self.dataset, start, self.device, &|_, _| ());
        let (run, trainer) = if begun {
            let (run, config) = RunFolder::open(folder)?;
            let trainer = ready(&config, train::Start::Resume(&run))?;
            (run, trainer)
        } else {
            let start = start.weights.as_ref().map_or(train::Start::Random, train::Start::Weights);
            let trainer = ready(config, start)?;
            (RunFolder::create(folder, config)?, trainer)
        };
        let observers = (self.observe)(label, &trainer);
        let outcome = trainer.run(&run, self.stop, observers)?;
        Ok(matches!(outcome, Outcome::Finished(_)))
    }

    /// Writes `OUT/result.json` and `OUT/table.md`, the table in Markdown with its notes as a list. The result of an
    /// earlier call with other figures is moved to `OUT/earlier`.
    fn write(
        &self,
        result: &impl Serialize,
        table: &Table,
        notes: &[String],
        say: &dyn Fn(&str),
    ) -> Result<()> {
        let path = self.out.join(earlier::RESULT);
        let json = serde_json::to_string_pretty(result).map_err(|e| Error::io(&path)(e.into()))? + "\n";
        if let Some(earlier) = earlier::set_aside(self.out, &json)? {
            say(&format!(
                "the result of an earlier call, which has figures that this one lacks, is in {}",
                earlier.display()
            ));
        }
        write_atomically(&path, |w| w.write_all(json.as_bytes()))?;
        let notes: Vec<String> = notes.iter().map(|note| printable(note)).collect();
        let page = format!("{table}\n\n- {}\n", notes.join("\n- "));
        write_atomically(&self.out.join(earlier::TABLE), |w| w.write_all(page.as_bytes()))
    }
}

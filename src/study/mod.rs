//! Studies: several recipes, each trained with several seeds and evaluated, summed up in one table.
//!
//! [`reproduce`] is the paper's comparison of its loss with the baseline, [`sweep`] its choice of lambda.
//! Needs the feature `cli`.
//!
//! ```text
//! OUT/RECIPE/seed-0/   a run's folder, with its evaluation
//! OUT/lock             held while a process works here
//! OUT/study.json       its images and the fingerprints of its starts, so that no other study goes on in its place
//! OUT/result.json      all figures of the last call
//! OUT/table.md         their table
//! OUT/sweep.svg, .png  the plot of a sweep
//! OUT/earlier/N/       the same of an earlier call, where the last one does not hold all of it
//! ```
//!
//! A study that was stopped goes on where it was: runs that are finished and evaluated are only read. A recipe is known
//! by its settings and its start, so that another call finds it whatever it calls it.

mod about;
mod earlier;
mod folder;
pub mod gain;
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
use crate::eval::extract::Extractor;
use crate::eval::stored_evaluation::{self, StoredEvaluation};
use crate::eval::{self, Protocol, Report};
use crate::files::write_atomically;
use crate::run::checkpoint;
use crate::run::folder::read_config;
use crate::run::{Layout, RunFolder};
use crate::train::{self, Observe, Outcome, Trainer};
use crate::weights::{Features, NetworkFile, Origin};
use crate::{Error, Result};
use about::{About, crc32_of_names};
use comfy_table::Table;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use sweep::HeldOut;

/// Seeds of a recipe, at most.
pub const MOST_RUNS: usize = 100;

/// A setting, or what stands for one in a study's table, and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its key.
    pub key: String,
    /// Its value, as a person writes it.
    pub value: String,
}

/// Settings with a name and a start; the seed counts up from theirs.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The name of its folder.
    pub name: String,
    /// What it starts from: the place in [`Study::starts`].
    pub start: usize,
    /// The settings of its first run.
    pub config: Config,
}

/// What one recipe achieved.
#[derive(Clone, Debug, Serialize)]
pub struct Achieved {
    /// The name of its folder.
    pub name: String,
    /// What it started from.
    pub start: String,
    /// The settings of its first run, as they were asked for.
    pub settings: Config,
    /// Means and deviations over the seeds.
    pub summary: Summary,
    /// The figures of each run, by seed.
    pub reports: Vec<Report>,
}

/// Where and on what the runs of a study are made.
#[derive(Clone, Copy)]
pub struct Study<'a> {
    /// Its folder.
    pub out: &'a Path,
    /// What is trained and evaluated on.
    pub dataset: &'a Dataset,
    /// The name under which runs keep their evaluations.
    pub name: &'a str,
    /// The rule that chose the persons who are held out, if the data set's test part was made so.
    pub held_out: Option<HeldOut>,
    /// What its recipes start from, at least one.
    pub starts: &'a [Start],
    /// How many seeds.
    pub runs: usize,
    /// Where it is computed.
    pub device: &'a Device,
    /// Set by whoever wants it to stop; it ends after the step that is running.
    pub stop: &'a AtomicBool,
    /// Makes the observers of each run.
    pub observe: Observe<'a>,
}

impl Study<'_> {
    /// Takes hold of the study's folder, in which its runs are made and its result is written. Recipes that are in it
    /// already get the names that they have there.
    ///
    /// # Errors
    /// Too many or too large seeds; a data set with a part missing; weights that do not fit a recipe; a folder in which
    /// another process is at work, that is another study's or none's, or has another recipe under the name of one.
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
        let about = About::begin_or_go_on(self)?;
        folder::reuse(self.out, &about.start_names(), self.starts, recipes)?;
        about.write(self.out)?;
        Ok(lock)
    }

    /// Whether the weights of each start fit the networks of its recipes; each network once.
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

    /// Trains and evaluates all recipes, a seed of each in turn; none if it was stopped. `say` hears of every run.
    ///
    /// # Errors
    /// A folder with runs of other settings, and whatever training and evaluation report.
    fn run(&self, recipes: &[Recipe], say: &dyn Fn(&str)) -> Result<Option<Vec<Achieved>>> {
        let mut reports: Vec<Vec<Report>> = vec![Vec::new(); recipes.len()];
        let (mut number_of_run, all) = (0, recipes.len() * self.runs);
        for number in 0..self.runs {
            for (recipe, reports) in recipes.iter().zip(&mut reports) {
                let mut config = recipe.config.clone();
                config.run.seed += number as u64;
                number_of_run += 1;
                let folder = self.out.join(&recipe.name).join(format!("seed-{}", config.run.seed));
                let label = format!("[{number_of_run}/{all}] {}, seed {}", recipe.name, config.run.seed);
                let start = &self.starts[recipe.start];
                let Some(report) = self.one(&folder, &label, &config, start, say)? else { return Ok(None) };
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

    /// Makes one run, or what is left of it to be made.
    fn one(
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
                Error::Run(format!("{e}; if it is damaged, delete it, and the study makes it again"))
            })?;
            check(&result, network.config())?;
            if let Some(kept) = self.own_evaluation(folder, network.fingerprint()) {
                return Ok(Some(kept.report));
            }
        }
        if !trained
            && (self.stop.load(Ordering::Relaxed) || !self.train(folder, label, config, start, begun)?)
        {
            return Ok(None);
        }
        say(&format!("{label}: evaluating"));
        let mut extractor = Extractor::load(folder, self.device)?;
        let (query, gallery) = extractor.extract_test(self.dataset, |_, _| ())?;
        let report = eval::evaluate(&query, &gallery, &Protocol::default(), self.device)?;
        let images = vec![stored_evaluation::whole_path(&self.dataset.root)];
        StoredEvaluation::new(name, images, query, gallery, report.clone()).write(folder)?;
        Ok(Some(report))
    }

    /// The evaluation of a run that this study would make: of the run's result, of this test part, plain. Another one
    /// may have its name, if somebody evaluated the run meanwhile.
    fn own_evaluation(&self, run: &Path, network: String) -> Option<StoredEvaluation> {
        let images = [stored_evaluation::whole_path(&self.dataset.root)];
        let origin = Origin { network: Some(network), mirrored: Some(false), pooled: None };
        let of_dataset = |features: &Features, samples: &[Sample]| {
            let own = (0..features.len()).map(|row| Sample {
                path: features.paths().get(row).map(PathBuf::from).unwrap_or_default(),
                pid: features.pids()[row],
                camid: Some(features.camids()[row]).filter(|&camid| camid != -1),
            });
            crc32_of_names(own) == crc32_of_names(samples.iter().cloned())
        };
        let is_own = |kept: &StoredEvaluation| {
            kept.report.protocol == Protocol::default()
                && kept.images == images
                && [kept.query.origin(), kept.gallery.origin()].into_iter().all(|own| *own == origin)
                && of_dataset(&kept.query, &self.dataset.query)
                && of_dataset(&kept.gallery, &self.dataset.gallery)
        };
        // A damaged one is made again, in its place.
        stored_evaluation::read_called(run, self.name).unwrap_or_default().into_iter().find(is_own)
    }

    /// Trains to the end; false if it was stopped, with all saved.
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

    /// Writes `OUT/result.json` and `OUT/table.md`, the table (of Markdown) with its notes as a list. Those of an
    /// earlier call that had more are kept beside it.
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
                "the result of an earlier call, which had other figures too, is in {}",
                earlier.display()
            ));
        }
        write_atomically(&path, |w| w.write_all(json.as_bytes()))?;
        let page = format!("{table}\n\n- {}\n", notes.join("\n- "));
        write_atomically(&self.out.join(earlier::TABLE), |w| w.write_all(page.as_bytes()))
    }
}

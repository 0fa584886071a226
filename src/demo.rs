//! The demonstration: draws the synthetic data set, trains on it without and with the batch-contrastive loss, and
//! evaluates both networks and colour histograms. Needs the feature `cli`.

use crate::config::Config;
use crate::data::synth::Synth;
use crate::data::{Dataset, Sample, decode};
use crate::device::Device;
use crate::error::Remedy;
use crate::eval::extract::Extractor;
use crate::eval::histogram::histogram;
use crate::eval::stored_evaluation::{self, StoredEvaluation};
use crate::eval::{self, Protocol, Report, Table};
use crate::files::{write_atomically, write_json};
use crate::report::page::{self, Options};
use crate::run::folder::{RunFolder, require_vacant};
use crate::train::{Observe, Outcome, Start, Trainer};
use crate::weights::Features;
use crate::{Error, Result, note};
use rayon::prelude::*;
use serde::Serialize;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// The demo's settings. The demo starts from random weights where the paper starts from ImageNet weights, so a few
/// settings differ; the file says which and why.
const RECIPE: &str = include_str!("../configs/demo.toml");

/// The page that compares the two runs, in the folder of the demo.
pub const REPORT: &str = "report.html";

/// One row of the result.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Name of the method.
    pub name: String,
    /// Result of its evaluation.
    pub report: Report,
}

/// Comparison of colour histograms, the baseline and the full loss.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The rows, in this order.
    pub rows: Vec<Row>,
}

/// Resolves the demo's settings, overridden by each `section.key=value` of `settings`.
///
/// # Errors
/// As [`Config::resolve`].
pub fn config(settings: &[String]) -> Result<Config> {
    Config::resolve_text(RECIPE, settings)
}

/// Checks that the demo may write into the folder `out`, before any work.
///
/// # Errors
/// If `out` exists and is not empty.
pub fn require_room(out: &Path) -> Result<()> {
    require_vacant(out, Remedy::RemoveFolder)
}

/// Runs the whole pipeline in the folder `out`; `None` if `stop` was set before the end. `observe` creates the
/// observers of a training run from its name.
///
/// # Errors
/// If `out` exists and is not empty; any error of the pipeline.
pub fn run(
    out: &Path,
    set: &Synth,
    config: &Config,
    device: &Device,
    stop: &AtomicBool,
    observe: Observe<'_>,
) -> Result<Option<Comparison>> {
    require_room(out)?;
    if config.loss.batch_contrastive.weight == 0.0 {
        return Err(Error::Config(
            "the demo compares loss.batch_contrastive.weight with 0; give one above 0".into(),
        ));
    }
    std::fs::create_dir_all(out).map_err(Error::io(out))?;
    let data = out.join("data");
    let summary = set.write(&data, |_, _| ())?;
    note!("data set: {} ({summary})", data.display());
    let dataset = Dataset::open(&data)?;

    let mut rows =
        vec![Row { name: "colour histogram".into(), report: evaluate_histograms(&dataset, device)? }];
    for (name, label, lambda) in [
        ("baseline", "softmax loss alone", 0.0),
        ("full", "+ batch-contrastive", config.loss.batch_contrastive.weight),
    ] {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut config = config.clone();
        config.loss.batch_contrastive.weight = lambda;
        let trainer = Trainer::new(&config, &dataset, Start::Random, device, &|_, _| ())?;
        let run = RunFolder::create(&out.join(name), &config)?;
        let observers = observe(name, &trainer);
        let Outcome::Finished(weights) = trainer.run(&run, stop, observers)? else { return Ok(None) };
        let (query, gallery) = Extractor::load(&weights, device)?.extract_test(&dataset, |_, _| ())?;
        let report = eval::evaluate(&query, &gallery, &Protocol::default(), device)?;
        let (name, images) = (stored_evaluation::name_of(&data), vec![stored_evaluation::whole_path(&data)]);
        StoredEvaluation::new(name, images, query, gallery, report.clone()).write(run.path())?;
        rows.push(Row { name: label.into(), report });
    }
    let comparison = Comparison { rows };
    write_json(&out.join("result.json"), &comparison)?;
    let runs = ["baseline", "full"].map(|name| out.join(name));
    let page = page::page(&runs, &Options::default(), device)?;
    write_atomically(&out.join(REPORT), |w| w.write_all(page.html.as_bytes()))?;
    Ok(Some(comparison))
}

/// Evaluates colour histograms: a network must beat them to have learned more than colours.
fn evaluate_histograms(dataset: &Dataset, device: &Device) -> Result<Report> {
    let features = |samples: &[Sample]| -> Result<Features> {
        let histograms: Vec<Vec<f32>> = samples
            .par_iter()
            .map(|s| decode::read(&s.path).map(|image| histogram(&image.pixels, image.height, image.width)))
            .collect::<Result<_>>()?;
        let dim = histograms.first().map_or(0, Vec::len);
        Features::new(
            histograms.concat(),
            dim,
            samples.iter().map(|s| s.pid).collect(),
            samples.iter().map(|s| s.camid.unwrap_or(-1)).collect(),
            samples.iter().map(|s| s.path.display().to_string()).collect(),
        )
    };
    eval::evaluate(&features(&dataset.query)?, &features(&dataset.gallery)?, &Protocol::default(), device)
}

/// Writes the table of `bcreid eval`.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<(String, Report)> =
            self.rows.iter().map(|row| (row.name.clone(), row.report.clone())).collect();
        write!(f, "{}Persons never seen in training.", Table(&rows))
    }
}

//! The paper's comparison: the softmax loss alone and with the batch-contrastive loss, several seeds each, beside
//! what the paper states.

use super::published::{Benchmark, Published};
use super::{Achieved, Figure, Recipe, Study, Summary};
use crate::config::Config;
use crate::data::Dataset;
use crate::{Error, Result};
use comfy_table::{CellAlignment, Table, TableStyle, presets};
use serde::Serialize;
use std::fmt;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Reproduction {
    /// The data set's folder.
    pub data: String,
    /// Runs of each recipe.
    pub runs: usize,
    /// Baseline and full loss.
    pub recipes: Vec<Achieved>,
    /// Their means and deviations.
    pub summaries: Vec<Summary>,
    /// Whether the data set is the paper's, so that its figures may stand beside ours.
    pub comparable: bool,
    /// What the runs start from, and which of their settings are not the paper's.
    pub recipe: Vec<String>,
    #[serde(skip)]
    benchmark: Benchmark,
}

/// Baseline and full loss, which differ in lambda alone.
///
/// # Errors
/// Settings without the batch-contrastive loss: there would be nothing to compare.
pub fn recipes(config: &Config) -> Result<[Recipe; 2]> {
    if config.loss.lambda == 0.0 {
        return Err(Error::Config(
            "the full loss is compared with lambda 0; give a loss.lambda above 0".into(),
        ));
    }
    let mut baseline = config.clone();
    baseline.loss.lambda = 0.0;
    Ok([
        Recipe { name: "baseline".into(), config: baseline },
        Recipe { name: "full".into(), config: config.clone() },
    ])
}

/// Whether `dataset` is the one whose results were published, by its names and numbers of images; else what is
/// different.
pub fn is_published(dataset: &Dataset, benchmark: &Benchmark) -> std::result::Result<(), String> {
    let found = [&dataset.train, &dataset.query, &dataset.gallery].map(Vec::len);
    if dataset.name == benchmark.id && found == benchmark.images {
        return Ok(());
    }
    let [train, query, gallery] = found;
    let [their_train, their_query, their_gallery] = benchmark.images;
    Err(format!(
        "{}: not {} ({train}, {query} and {gallery} images to train on, to ask and in the gallery, not {their_train}, \
         {their_query} and {their_gallery}), so the paper's figures are left out",
        dataset.root.display(),
        benchmark.name
    ))
}

/// Runs the comparison and writes it into the study's folder; none if it was stopped.
///
/// # Errors
/// As [`recipes`]; what [`Study`] refuses, and what training and evaluation report.
pub fn run(
    study: &Study<'_>,
    config: &Config,
    benchmark: &Benchmark,
    say: &dyn Fn(&str),
) -> Result<Option<Reproduction>> {
    let recipes = recipes(config)?;
    let _folder = study.begin(&recipes)?;
    let Some(recipes) = study.run(&recipes, say)? else { return Ok(None) };
    let reproduction = Reproduction {
        data: study.dataset.root.display().to_string(),
        runs: study.runs,
        summaries: recipes.iter().map(|r| Summary::of(&r.reports)).collect(),
        recipes,
        comparable: is_published(study.dataset, benchmark).is_ok(),
        recipe: study.recipe_notes(config, &[]),
        benchmark: *benchmark,
    };
    study.write(&reproduction, &reproduction.table(presets::ASCII_MARKDOWN), &reproduction.notes())?;
    Ok(Some(reproduction))
}

impl Reproduction {
    fn table(&self, style: TableStyle) -> Table {
        let mut table = Table::new();
        table.load_style(style);
        table.set_header(["", "rank-1", "rank-5", "rank-10", "mAP"]);
        if self.comparable {
            for row in self.benchmark.others {
                table.add_row(published(&format!("{} [quoted]", row.method), row));
            }
        }
        let names = ["baseline", "batch-contrastive"];
        let papers = [&self.benchmark.baseline, &self.benchmark.full];
        for ((summary, name), paper) in self.summaries.iter().zip(names).zip(papers) {
            if self.comparable {
                table.add_row(published(&format!("{} [quoted]", paper.method), paper));
            }
            let Summary { rank1, rank5, rank10, map_market, .. } = summary;
            let figures = [rank1, rank5, rank10, map_market].map(Figure::to_string);
            table.add_row(std::iter::once(format!("{name}, here")).chain(figures));
        }
        table.column_iter_mut().skip(1).for_each(|c| c.set_cell_alignment(CellAlignment::Right));
        table
    }

    /// What must be known to read the table.
    fn notes(&self) -> Vec<String> {
        let mut notes = vec![match self.runs {
            1 => "Percent; one run each, so nothing is known of the spread between seeds.".to_string(),
            n => format!(
                "Percent; mean ± sample standard deviation of {n} runs each, which differ in their seed."
            ),
        }];
        if self.comparable {
            notes.push(format!(
                "[quoted]: as stated in table {} of Zhang & Xu (2018), not measured here; - is not stated.",
                self.benchmark.table
            ));
        }
        let [baseline, full] = [0, 1].map(|i| &self.summaries[i]);
        notes.push(format!(
            "The batch-contrastive loss changes {} and {}.",
            difference("rank-1", &baseline.rank1, &full.rank1, self.runs),
            difference("mAP", &baseline.map_market, &full.map_market, self.runs)
        ));
        notes.extend(self.recipe.iter().cloned());
        if let Some(report) = self.recipes.first().and_then(|recipe| recipe.reports.first()) {
            notes.extend(report.lines());
        }
        notes
    }
}

fn published(name: &str, row: &Published) -> Vec<String> {
    std::iter::once(name).chain(row.figures).map(String::from).collect()
}

/// What the loss changes, and whether seeds alone could have done it.
fn difference(what: &str, baseline: &Figure, full: &Figure, runs: usize) -> String {
    let gain = full.mean - baseline.mean;
    let mut text = format!("{what} by {:+.2}", 100.0 * gain);
    if let (Some(a), Some(b)) = (baseline.deviation, full.deviation) {
        // The standard error of a difference of two means.
        let error = ((a * a + b * b) / runs as f64).sqrt();
        let alone =
            if gain.abs() < 2.0 * error { ", and below twice that seeds alone can do it" } else { "" };
        text += &format!(" (standard error of the difference {:.2}{alone})", 100.0 * error);
    }
    text
}

impl fmt::Display for Reproduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.table(presets::UTF8_HORIZONTAL_ONLY))?;
        write!(f, "{}", self.notes().join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::published::{DUKEMTMC, MARKET1501};
    use super::*;
    use crate::data::Sample;
    use crate::device::Device;
    use crate::eval::{Protocol, Report, evaluate};
    use crate::weights::Features;

    /// A report of one query whose match is at `rank` 1 or 2.
    fn report(rank: usize) -> Report {
        let line = |places: &[f32], pids: &[i64], camid: i64| {
            let camids = vec![camid; pids.len()];
            Features::new(places.to_vec(), 1, pids.to_vec(), camids, Vec::new()).unwrap()
        };
        let gallery = line(&[1.0, 2.0], if rank == 1 { &[7, 8] } else { &[8, 7] }, 2);
        evaluate(&line(&[0.0], &[7], 1), &gallery, &Protocol::default(), &Device::cpu()).unwrap()
    }

    fn reproduction(comparable: bool, benchmark: Benchmark, ranks: [&[usize]; 2]) -> Reproduction {
        let recipes = ["baseline", "full"].into_iter().zip(ranks).map(|(name, ranks)| Achieved {
            name: name.into(),
            reports: ranks.iter().map(|&rank| report(rank)).collect(),
        });
        let recipes: Vec<Achieved> = recipes.collect();
        let summaries = recipes.iter().map(|r| Summary::of(&r.reports)).collect();
        let (data, runs, recipe) = ("set".into(), ranks[0].len(), vec!["Start: random weights.".into()]);
        Reproduction { data, runs, recipes, summaries, comparable, recipe, benchmark }
    }

    #[test]
    fn the_paper_s_rows_stand_beside_ours_and_are_marked() {
        let text = reproduction(true, MARKET1501, [&[2, 2], &[1, 2]]).to_string();
        let row = |name: &str| {
            text.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}\n{text}"))
        };
        for (name, figures) in [
            ("SpindleNet, Zhao et al. (2017) [quoted]", &["76.90", "91.50", "94.60", "-"][..]),
            ("SVDNet, Sun et al. (2017) [quoted]", &[" 82.3 ", " - ", " 62.1 "]),
            ("baseline, the paper's [quoted]", &["83.34", "93.79", "95.93", "63.20"]),
            ("batch-contrastive, the paper's [quoted]", &["86.40", "94.45", "96.48", "67.64"]),
            ("baseline, here", &["0.00 ± 0.00", "25.00 ± 0.00"]),
            ("batch-contrastive, here", &["50.00 ± 70.71", "62.50 ± 53.03"]),
        ] {
            assert!(figures.iter().all(|figure| row(name).contains(figure)), "{}", row(name));
        }
        assert!(text.contains("as stated in table 1 of Zhang & Xu (2018), not measured here"), "{text}");
        assert!(text.contains("rank-1 by +50.00 (standard error of the difference 50.00, and below twice that seeds alone can do it)"), "{text}");
        let duke = reproduction(true, DUKEMTMC, [&[2], &[1]]).to_string();
        assert!(duke.contains("ACRN") && duke.contains("58.64") && duke.contains("table 2"), "{duke}");
        assert!(!reproduction(false, DUKEMTMC, [&[2], &[1]]).to_string().contains("quoted"));
    }

    #[test]
    fn a_data_set_is_known_by_its_names_and_numbers() {
        let sample = Sample { path: "0001_c1s1_0_0.jpg".into(), pid: 1, camid: Some(1) };
        let [train, query, gallery] = MARKET1501.images.map(|images| vec![sample.clone(); images]);
        let name = MARKET1501.id.to_string();
        let mut dataset = Dataset { name, root: "set".into(), train, query, gallery, notes: Vec::new() };
        assert_eq!(is_published(&dataset, &MARKET1501), Ok(()));
        assert!(is_published(&dataset, &DUKEMTMC).unwrap_err().contains("not DukeMTMC-reID"));
        dataset.query.pop();
        assert!(is_published(&dataset, &MARKET1501).unwrap_err().contains("3367"));
    }
}

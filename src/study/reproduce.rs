//! Reproduction of the paper's comparison: the softmax loss alone and with the batch-contrastive loss, several seeds
//! each, beside the published figures.

use super::names::START;
use super::published::{Benchmark, Published};
use super::recipes::{Recipes, in_words, name_of, without_loss};
use super::{Achieved, Figure, Gains, Recipe, Setting, Start, Study, Summary, gain, start};
use crate::config::Config;
use crate::data::Dataset;
use crate::error::printable;
use crate::{Error, Result};
use comfy_table::{CellAlignment, Table, TableStyle, presets};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// The key of the loss's reduction.
const REDUCTION: &str = "loss.batch_contrastive.reduction";

/// Result of a reproduction.
#[derive(Clone, Debug, Serialize)]
pub struct Reproduction {
    /// Folder of the data set.
    pub data: String,
    /// Number of runs of each recipe.
    pub runs: usize,
    /// Results of every recipe, baselines first.
    pub recipes: Vec<Achieved>,
    /// Comparisons of recipes.
    pub comparisons: Vec<Comparison>,
    /// True if the data set is the paper's, so that the published figures are comparable.
    pub comparable: bool,
    /// Notes on the starts, the settings that are not the paper's, and the reading of the loss.
    pub recipe: Vec<String>,
    #[serde(skip)]
    benchmark: Benchmark,
}

/// Comparison of the full loss with the softmax loss alone; all other settings are equal.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Reduction and start, where these are varied.
    pub settings: Vec<Setting>,
    /// Name of the recipe without the batch-contrastive loss.
    pub baseline: String,
    /// Name of the recipe with the full loss.
    pub full: String,
    /// Gains of the full loss over the baseline.
    pub gains: Gains,
}

/// Recipes, and for each comparison its varied settings and the indices of baseline and full loss.
#[derive(Debug)]
struct Plan {
    recipes: Vec<Recipe>,
    comparisons: Vec<(Vec<Setting>, [usize; 2])>,
}

/// Plans baseline and full loss, which differ only in lambda, for every start and every reduction. A baseline does not
/// depend on the reduction, so each start has one.
///
/// # Errors
/// Settings without the batch-contrastive loss; an unknown reduction, or the same reduction twice.
fn plan(starts: &[Start], reductions: &[String]) -> Result<Plan> {
    let mut recipes = Recipes::default();
    let mut baselines = Vec::new();
    for (place, start) in starts.iter().enumerate() {
        if start.config.loss.batch_contrastive.weight == 0.0 {
            return Err(Error::Config(
                "the full loss is compared with lambda 0; give a loss.batch_contrastive.weight above 0"
                    .into(),
            ));
        }
        let config = without_loss(&start.config, &start.config);
        baselines.push(recipes.find_or_add(place, config, || named("baseline", &[], start)));
    }
    if reductions.iter().any(String::is_empty) {
        return Err(Error::Config(format!(
            "{REDUCTION}: a value is empty; give a value before and after every comma"
        )));
    }
    let reductions: Vec<Option<&String>> = match reductions {
        [] => vec![None],
        given => given.iter().map(Some).collect(),
    };
    let mut comparisons: Vec<(Vec<Setting>, [usize; 2])> = Vec::new();
    for ((place, start), baseline) in starts.iter().enumerate().zip(baselines) {
        for reduction in &reductions {
            let of_loss = reduction.map(|value| Setting { key: REDUCTION.into(), value: value.clone() });
            let of_loss: Vec<Setting> = of_loss.into_iter().collect();
            let settings = of_loss.iter().map(|Setting { key, value }| format!("{key}={value}"));
            let config = Config::resolve_text(&start.config.to_toml(), &settings.collect::<Vec<_>>())?;
            let full = recipes.find_or_add(place, config, || named("full", &of_loss, start));
            if comparisons.iter().any(|(_, [_, known])| *known == full) {
                return Err(Error::Config(format!(
                    "{REDUCTION}: {} is given twice; give it once",
                    reduction.map_or("", String::as_str)
                )));
            }
            let of_start = start.name.as_ref().map(|name| Setting { key: START.into(), value: name.clone() });
            comparisons.push((of_loss.into_iter().chain(of_start).collect(), [baseline, full]));
        }
    }
    Ok(Plan { recipes: recipes.0, comparisons })
}

/// Name of a recipe's folder.
fn named(what: &str, settings: &[Setting], start: &Start) -> String {
    let rest = name_of(settings, start);
    if rest.is_empty() { what.into() } else { format!("{what}+{rest}") }
}

/// Checks that `dataset` is the one of the published results, by its layout and numbers of images.
///
/// # Errors
/// A sentence that says what differs.
pub fn is_published(dataset: &Dataset, benchmark: &Benchmark) -> std::result::Result<(), String> {
    let found = [&dataset.train, &dataset.query, &dataset.gallery].map(Vec::len);
    if dataset.name == benchmark.id && found == benchmark.images {
        return Ok(());
    }
    let [train, query, gallery] = found;
    let [their_train, their_query, their_gallery] = benchmark.images;
    Err(format!(
        "{}: not {} ({train} training, {query} query and {gallery} gallery images, not {their_train}, {their_query} \
         and {their_gallery}), so the paper's figures are left out",
        dataset.root.display(),
        benchmark.name
    ))
}

/// Runs the comparisons and writes the result into the study's folder; `None` if the study was stopped. The full loss
/// is run with each of `reductions`, or with the reduction of the settings if `reductions` is empty.
///
/// # Errors
/// Settings without the batch-contrastive loss; an unknown reduction, or the same reduction twice; a [`Study`] that
/// cannot begin; errors of training and evaluation.
pub fn run(
    study: &Study<'_>,
    reductions: &[String],
    benchmark: &Benchmark,
    say: &dyn Fn(&str),
) -> Result<Option<Reproduction>> {
    let mut plan = plan(study.starts, reductions)?;
    let _folder = study.begin(&mut plan.recipes)?;
    let Some(recipes) = study.run(&plan.recipes, say)? else { return Ok(None) };
    let comparison = |(settings, [baseline, full]): (Vec<Setting>, [usize; 2])| {
        let [baseline, full] = [baseline, full].map(|place| &recipes[place]);
        Comparison {
            settings,
            baseline: baseline.name.clone(),
            full: full.name.clone(),
            gains: Gains::of(&baseline.summary, &full.summary, study.runs),
        }
    };
    let varied: Vec<String> = if reductions.is_empty() { Vec::new() } else { vec![REDUCTION.into()] };
    let reproduction = Reproduction {
        data: study.dataset.root.display().to_string(),
        runs: study.runs,
        comparisons: plan.comparisons.into_iter().map(comparison).collect(),
        recipes,
        comparable: is_published(study.dataset, benchmark).is_ok(),
        recipe: start::notes(study.starts, &varied),
        benchmark: *benchmark,
    };
    study.write(&reproduction, &reproduction.table(presets::ASCII_MARKDOWN), &reproduction.notes(), say)?;
    Ok(Some(reproduction))
}

impl Reproduction {
    fn table(&self, style: TableStyle) -> Table {
        let mut table = Table::new();
        table.load_style(style);
        table.set_header(["", "rank-1", "rank-5", "rank-10", "mAP", "rank-1 gain", "mAP gain"]);
        if self.comparable {
            for row in self.benchmark.others {
                table.add_row(published(&format!("{} [quoted]", row.method), row));
            }
            let paper = &self.benchmark.baseline;
            table.add_row(published(&format!("{} [quoted]", paper.method), paper));
        }
        let mut shown = BTreeSet::new();
        for Comparison { settings, baseline, .. } in &self.comparisons {
            if shown.insert(baseline) {
                let own: Vec<Setting> = settings.iter().filter(|s| s.key == START).cloned().collect();
                table.add_row(self.row("baseline", &own, baseline, ["", ""].map(String::from)));
            }
        }
        if self.comparable {
            let paper = &self.benchmark.full;
            table.add_row(published(&format!("{} [quoted]", paper.method), paper));
        }
        for Comparison { settings, full, gains, .. } in &self.comparisons {
            let gains = [gains.rank1, gains.map_market].map(|gain| gain.with_error());
            table.add_row(self.row("batch-contrastive", settings, full, gains));
        }
        table.column_iter_mut().skip(1).for_each(|c| c.set_cell_alignment(CellAlignment::Right));
        table
    }

    /// Row with the figures of a recipe.
    fn row(&self, what: &str, settings: &[Setting], name: &str, gains: [String; 2]) -> Vec<String> {
        let found = self.recipes.iter().find(|recipe| recipe.name == name);
        let Summary { rank1, rank5, rank10, map_market, .. } =
            &found.expect("comparisons name recipes that were run").summary;
        let figures = [rank1, rank5, rank10, map_market].map(Figure::to_string);
        let words = in_words(settings);
        let comma = if words.is_empty() { "" } else { ", " };
        std::iter::once(format!("{what}{comma}{words}, here")).chain(figures).chain(gains).collect()
    }

    /// Notes below the table.
    fn notes(&self) -> Vec<String> {
        let mut notes = vec![match self.runs {
            1 => "Percent; one run each, so the spread between seeds is unknown.".to_string(),
            n => format!(
                "Percent; mean ± sample standard deviation of {n} runs each, which differ in their seed. Gain: over \
                 the baseline, with its standard error in brackets."
            ),
        }];
        if self.comparable {
            notes.push(self.benchmark.note());
        }
        for Comparison { settings, gains, .. } in &self.comparisons {
            let words = in_words(settings);
            let of = if words.is_empty() { String::new() } else { format!(" ({words})") };
            notes.push(format!(
                "The batch-contrastive loss{of} over the baseline: {}; {}.",
                gains.rank1.sentence("rank-1"),
                gains.map_market.sentence("mAP")
            ));
        }
        if self.runs > 1 {
            notes.push(gain::about_intervals(self.runs));
        }
        notes.extend(self.recipe.iter().cloned());
        if let Some(report) = self.recipes.first().and_then(|recipe| recipe.reports.first()) {
            notes.extend(report.lines());
        }
        notes
    }
}

/// Row of the paper's table, with empty gains.
fn published(name: &str, row: &Published) -> Vec<String> {
    std::iter::once(name).chain(row.figures).chain(["", ""]).map(String::from).collect()
}

impl fmt::Display for Reproduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.table(presets::UTF8_HORIZONTAL_ONLY))?;
        let notes: Vec<String> = self.notes().iter().map(|note| printable(note)).collect();
        write!(f, "{}", notes.join("\n"))
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
        let recipes = ["baseline", "full"].into_iter().zip(ranks).map(|(name, ranks)| {
            let reports: Vec<Report> = ranks.iter().map(|&rank| report(rank)).collect();
            Achieved {
                name: name.into(),
                start: "random".into(),
                settings: Config::default(),
                summary: Summary::of(&reports),
                reports,
            }
        });
        let recipes: Vec<Achieved> = recipes.collect();
        let runs = ranks[0].len();
        let gains = Gains::of(&recipes[0].summary, &recipes[1].summary, runs);
        let (baseline, full) = ("baseline".into(), "full".into());
        let comparisons = vec![Comparison { settings: Vec::new(), baseline, full, gains }];
        let (data, recipe) = ("set".into(), vec!["Start: random weights.".into()]);
        Reproduction { data, runs, recipes, comparisons, comparable, recipe, benchmark }
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
        assert!(row("batch-contrastive, here").contains("+50.00 (50.00)"), "{text}");
        let gain = "over the baseline: rank-1 +50.00 (95 % interval -165.13 to +265.13, standard error 50.00; not \
                    distinguishable from the seeds' noise)";
        assert!(text.contains(gain), "{text}");
        let duke = reproduction(true, DUKEMTMC, [&[2], &[1]]).to_string();
        assert!(duke.contains("ACRN") && duke.contains("58.64") && duke.contains("table 2"), "{duke}");
        assert!(!reproduction(false, DUKEMTMC, [&[2], &[1]]).to_string().contains("quoted"));
    }

    #[test]
    fn a_data_set_is_known_by_its_names_and_numbers() {
        let sample = Sample { path: "0001_c1s1_0_0.jpg".into(), pid: 1, camid: Some(1) };
        let [train, query, gallery] = MARKET1501.images.map(|images| vec![sample.clone(); images]);
        let name = MARKET1501.id.to_string();
        let mut dataset = Dataset { name, root: "set".into(), train, query, gallery, ..Dataset::default() };
        assert_eq!(is_published(&dataset, &MARKET1501), Ok(()));
        assert!(is_published(&dataset, &DUKEMTMC).unwrap_err().contains("not DukeMTMC-reID"));
        dataset.query.pop();
        assert!(is_published(&dataset, &MARKET1501).unwrap_err().contains("3367"));
    }
}

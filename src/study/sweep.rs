//! Sweep: comparison of values of hyper-parameters on held-out persons, as the paper chose lambda (section 3.2).
//!
//! The paper used 100 images of the training data and does not say if the network had been trained on them. Here the
//! network has not: whole persons are held out ([`hold_out`]), one image of each under each camera is a query, and the
//! other images are the gallery. The test part is not used.

mod held_out;
mod plan;
mod plot;

pub use held_out::{HeldOut, hold_out};
pub use plan::Swept;

use super::earlier::PLOTS;
use super::names::{LAMBDA, START};
use super::recipes::value_of;
use super::{Achieved, Gains, Setting, Study, Summary, gain, start};
use crate::error::printable;
use crate::{Error, Result};
use comfy_table::{CellAlignment, Table, TableStyle, presets};
use plan::{Plan, Planned};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::io::ErrorKind;

/// Options of a sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Hyper-parameters and their values.
    pub swept: Vec<Swept>,
    /// True for all combinations; false for each value with the other settings unchanged.
    pub grid: bool,
    /// True to run the recipe without the loss (lambda 0) for each point.
    pub baselines: bool,
}

/// Result of a sweep.
#[derive(Clone, Debug, Serialize)]
pub struct Sweep {
    /// Hyper-parameters, in the order of the points.
    pub swept: Vec<Swept>,
    /// True if the points are all combinations.
    pub grid: bool,
    /// Points of the sweep, baselines included.
    pub points: Vec<Point>,
    /// Results of every recipe; several points may share one.
    pub recipes: Vec<Achieved>,
    /// Number of runs of each recipe.
    pub runs: usize,
    /// Numbers of training persons and of held-out persons.
    pub persons: [usize; 2],
    /// Notes on the starts, the settings that are not the paper's, and the reading of the loss.
    pub recipe: Vec<String>,
}

/// A point of a sweep: a value, or a combination of values.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// Varied settings.
    pub values: Vec<Setting>,
    /// Name of the recipe.
    pub recipe: String,
    /// True if other points are compared with this one.
    pub is_baseline: bool,
    /// Name of the recipe with the same settings and lambda 0.
    pub baseline: Option<String>,
    /// Gains over the baseline.
    pub gains: Option<Gains>,
}

/// Checks keys and values of a sweep, before a data set is read.
///
/// # Errors
/// Invalid keys and values.
pub fn check(starts: &[start::Start], asked: &Asked) -> Result<()> {
    Plan::new(starts, &asked.swept, asked.grid, asked.baselines).map(|_| ())
}

/// Trains and evaluates every point, and writes the table, the plot and all figures into the study's folder; `None`
/// if the study was stopped. The study's data set must come from [`hold_out`].
///
/// # Errors
/// Invalid keys and values; a [`Study`] that cannot begin; errors of training and evaluation.
pub fn run(study: &Study<'_>, asked: &Asked, say: &dyn Fn(&str)) -> Result<Option<Sweep>> {
    let Asked { swept, grid, baselines } = asked;
    let mut plan = Plan::new(study.starts, swept, *grid, *baselines)?;
    let _folder = study.begin(&mut plan.recipes)?;
    let Some(recipes) = study.run(&plan.recipes, say)? else { return Ok(None) };
    let compared: BTreeSet<usize> = plan.points.iter().filter_map(|point| point.baseline).collect();
    let points = plan.points.iter().map(|point| point_of(point, &recipes, &compared, study.runs)).collect();
    let keys: Vec<String> = swept.iter().map(|swept| swept.key.clone()).collect();
    let persons = [&study.dataset.train, &study.dataset.query]
        .map(|samples| samples.iter().map(|sample| sample.pid).collect::<BTreeSet<_>>().len());
    let sweep = Sweep {
        swept: swept.clone(),
        grid: *grid,
        points,
        recipes,
        runs: study.runs,
        persons,
        recipe: start::notes(study.starts, &keys),
    };
    study.write(&sweep, &sweep.table(presets::ASCII_MARKDOWN), &sweep.notes(), say)?;
    for file in PLOTS.map(|name| study.out.join(name)) {
        match plot::drawing(&sweep) {
            Ok(drawing) => crate::report::write_figure(&drawing, &file).map(|_| ())?,
            // A plot of an earlier call would be mistaken for the plot of this one.
            Err(_) => match std::fs::remove_file(&file) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io(&file)(e)),
                _ => {}
            },
        }
    }
    Ok(Some(sweep))
}

/// Result of a planned point; `compared` are the recipes that are baselines of other points.
fn point_of(planned: &Planned, recipes: &[Achieved], compared: &BTreeSet<usize>, runs: usize) -> Point {
    let own = &recipes[planned.recipe];
    let baseline = planned.baseline.map(|place| &recipes[place]);
    Point {
        values: planned.values.clone(),
        recipe: own.name.clone(),
        is_baseline: compared.contains(&planned.recipe),
        baseline: baseline.map(|baseline| baseline.name.clone()),
        gains: baseline.map(|baseline| Gains::of(&baseline.summary, &own.summary, runs)),
    }
}

impl Sweep {
    /// Reason why there is no plot, if there is none.
    pub fn without_plot(&self) -> Option<String> {
        plot::drawing(self).err()
    }

    /// Results of the recipe `name`.
    fn achieved(&self, name: &str) -> &Achieved {
        let found = self.recipes.iter().find(|recipe| recipe.name == name);
        found.expect("points name recipes that were run")
    }

    fn table(&self, style: TableStyle) -> Table {
        let mut table = Table::new();
        table.load_style(style);
        let names = match self.grid {
            true => self.columns(),
            false => ["setting", "value"].map(String::from).to_vec(),
        };
        let with_gains = self.points.iter().any(|point| point.gains.is_some());
        let gains = if with_gains { &["rank-1 gain", "mAP gain"][..] } else { &[] };
        let figures = ["rank-1", "rank-5", "rank-10", "mAP"].iter().chain(gains).map(ToString::to_string);
        table.set_header(names.iter().cloned().chain(figures));
        for point in &self.points {
            let Summary { rank1, rank5, rank10, map_market, .. } = &self.achieved(&point.recipe).summary;
            let figures = [rank1, rank5, rank10, map_market].map(ToString::to_string);
            let gains = point.gains.iter().flat_map(|gains| [gains.rank1, gains.map_market]);
            let cells = if self.grid { self.cells(point, &names) } else { label(point).to_vec() };
            let mut row: Vec<String> =
                cells.into_iter().chain(figures).chain(gains.map(|gain| gain.with_interval())).collect();
            row.resize(table.column_count(), String::new());
            table.add_row(row);
        }
        table.column_iter_mut().skip(1).for_each(|c| c.set_cell_alignment(CellAlignment::Right));
        table
    }

    /// Columns of a grid's table before the figures; lambda has one also if it differs only between points and
    /// baselines.
    fn columns(&self) -> Vec<String> {
        let keys = self.swept.iter().map(|swept| swept.key.clone());
        let is_implied = self.points.iter().any(|point| point.is_baseline)
            && self.swept.iter().all(|swept| swept.key != LAMBDA);
        is_implied.then(|| LAMBDA.to_string()).into_iter().chain(keys).collect()
    }

    /// Values of a point in the columns of a grid; a hyphen for a setting without effect.
    fn cells(&self, point: &Point, columns: &[String]) -> Vec<String> {
        let cell = |key: &String| {
            let own = point.values.iter().find(|setting| setting.key == *key);
            match own {
                Some(setting) => printable(&setting.value),
                None if key == LAMBDA => {
                    value_of(&self.achieved(&point.recipe).settings, LAMBDA).unwrap_or_default()
                }
                None => "-".into(),
            }
        };
        columns.iter().map(cell).collect()
    }

    /// Description of the figures.
    fn about(&self) -> String {
        let spread = match self.runs {
            1 => "one run each, so the spread between seeds is unknown".to_string(),
            n => format!("mean ± sample standard deviation of {n} runs each, which differ in their seed"),
        };
        let [trained, held] = self.persons;
        format!(
            "Percent; {spread}. On {held} persons of the training part that were held out; {trained} were trained on."
        )
    }

    /// Notes below the table.
    fn notes(&self) -> Vec<String> {
        let mut notes = vec![self.about()];
        if !self.grid && self.swept.len() > 1 {
            let start = self.swept.iter().find(|swept| swept.key == START);
            let start = start.and_then(|swept| swept.values.first());
            let start = start.map_or(String::new(), |first| format!(" and start {}", printable(first)));
            notes.push(format!("Each value is tried with the other settings as they are{start}."));
        }
        if self.points.iter().any(|point| point.gains.is_some()) {
            let brackets = if self.runs > 1 { "; its 95 % interval is in brackets" } else { "" };
            notes.push(format!(
                "Gain: over the baseline, which has the same settings and lambda 0{brackets}."
            ));
            if self.runs > 1 {
                notes.push(gain::about_intervals(self.runs));
                notes.push(
                    "One of twenty such intervals misses by chance, and the best of many values looks better than it \
                     is: confirm a choice with other seeds."
                        .into(),
                );
            }
        }
        notes.extend(self.recipe.iter().cloned());
        let first = self.recipes.first().and_then(|recipe| recipe.reports.first());
        notes.extend(first.into_iter().flat_map(|report| report.lines()));
        notes.extend(self.without_plot());
        notes
    }
}

/// First cells of a point's row where each value is tried alone: setting and value.
fn label(point: &Point) -> [String; 2] {
    let own = point.values.iter().find(|setting| setting.key != LAMBDA).or(point.values.first());
    let (key, value) = own.map_or(("", String::new()), |s| (s.key.as_str(), printable(&s.value)));
    let mark = if point.is_baseline { " (baseline)" } else { "" };
    [key.to_string(), format!("{value}{mark}")]
}

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.table(presets::UTF8_HORIZONTAL_ONLY))?;
        let notes: Vec<String> = self.notes().iter().map(|note| printable(note)).collect();
        write!(f, "{}", notes.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Figure;
    use super::super::start::Start;
    use super::*;

    pub fn swept(key: &str, values: &[&str]) -> Swept {
        Swept { key: key.into(), values: values.iter().map(|value| value.to_string()).collect() }
    }

    /// A sweep with synthetic figures: they increase with lambda, tau and batch.
    pub fn made_up(swept: &[Swept], grid: bool, runs: usize) -> Sweep {
        let starts = [Start::only(None, &[], &["loss.batch_contrastive.tau=1".into()]).unwrap()];
        let plan = Plan::new(&starts, swept, grid, true).unwrap();
        let figure = |mean: f64| Figure { mean, deviation: (runs > 1).then_some(0.02) };
        let achieved = plan.recipes.iter().map(|recipe| {
            let config = &recipe.config;
            let gain = f64::from(
                (1.0 + config.loss.batch_contrastive.weight).ln() * config.loss.batch_contrastive.tau,
            );
            let rank1 = 0.5 + 0.1 * gain + 0.002 * config.solver.batch as f64;
            let [rank1, mean] = [rank1, rank1 - 0.2].map(figure);
            let (rank5, rank10, map_market, map_sum, minp) = (rank1, rank1, mean, mean, mean);
            Achieved {
                name: recipe.name.clone(),
                start: "random".into(),
                settings: config.clone(),
                summary: Summary { rank1, rank5, rank10, map_market, map_sum, minp },
                reports: Vec::new(),
            }
        });
        let achieved: Vec<Achieved> = achieved.collect();
        let compared: BTreeSet<usize> = plan.points.iter().filter_map(|point| point.baseline).collect();
        let points = plan.points.iter().map(|point| point_of(point, &achieved, &compared, runs)).collect();
        let keys: Vec<String> = swept.iter().map(|swept| swept.key.clone()).collect();
        let recipe = start::notes(&starts, &keys);
        Sweep { swept: swept.to_vec(), grid, points, recipes: achieved, runs, persons: [20, 10], recipe }
    }

    fn row<'a>(text: &'a str, words: &[&str]) -> &'a str {
        let found = text.lines().find(|line| words.iter().all(|word| line.contains(word)));
        found.unwrap_or_else(|| panic!("{words:?}\n{text}"))
    }

    #[test]
    fn each_value_stands_beside_its_gain_over_the_baseline() {
        let sweep = made_up(
            &[swept("loss.batch_contrastive.weight", &["1"]), swept("solver.batch", &["8"])],
            false,
            3,
        );
        let text = sweep.to_string();
        row(&text, &["loss.batch_contrastive.weight", "0 (baseline)", "53.20 ± 2.00"]);
        // 0.1 ln 2 over the baseline; Student's 2.776 times 0.02 sqrt(2/3) to both sides.
        row(&text, &["loss.batch_contrastive.weight", " 1 ", "60.13 ± 2.00", "+6.93 (+2.40 to +11.47)"]);
        row(&text, &["solver.batch", "8 (baseline)", "51.60"]);
        row(&text, &["solver.batch", "8 ", "+6.93"]);
        for words in [
            "Each value is tried with the other settings as they are.",
            "2 x 3 - 2 = 4 degrees of freedom",
            "One of twenty",
            "margin tau 1, gradient of equation (8), centers at rate 0.5",
        ] {
            assert!(text.contains(words), "{words}\n{text}");
        }
        let one = made_up(&[swept("loss.batch_contrastive.weight", &["1"])], false, 1).to_string();
        assert!(
            row(&one, &["loss.batch_contrastive.weight", " 1 "]).contains("+6.93")
                && !one.contains("degrees"),
            "{one}"
        );
        assert!(text.contains("in brackets") && !one.contains("in brackets"), "{one}");
    }

    #[test]
    fn a_grid_has_a_column_a_key() {
        let text = made_up(
            &[swept("loss.batch_contrastive.tau", &["0.5", "1"]), swept("solver.batch", &["8", "16"])],
            true,
            1,
        );
        let text = text.to_string();
        // Lambda too: the baselines differ in it.
        row(
            &text,
            &["loss.batch_contrastive.weight", "loss.batch_contrastive.tau", "solver.batch", "rank-1"],
        );
        row(&text, &[" 0 ", " - ", " 16 ", "53.20"]);
        row(&text, &[" 1.0 ", " 0.5 ", " 16 ", "+3.47"]);
        assert!(text.contains("tau as in the table"), "{text}");
    }
}

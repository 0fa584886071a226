//! How well values of a hyper-parameter do, as the paper chose lambda (section 3.2).
//!
//! The paper looked at 100 images of the training data. What it does not say is whether the network had been
//! trained on them; here it has not: as many persons as it takes are held out whole, one image of each under each of
//! their cameras asks, and their other images are the gallery. The test part is not looked at.

use super::{Achieved, Recipe, Study, Summary};
use crate::config::Config;
use crate::data::{Dataset, Sample};
use crate::report::figure::{Axis, Figure as Drawing, Key, Mark, Panel, Scale, Series};
use crate::report::palette::Colour;
use crate::tensor::philox::{Philox, Purpose};
use crate::{Error, Result};
use comfy_table::{CellAlignment, Table, TableStyle, presets};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A hyper-parameter and the values to try.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Swept {
    /// The setting's key.
    pub key: &'static str,
    /// The values, as they are written in a setting.
    pub values: Vec<String>,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Sweep {
    /// The hyper-parameters, in the order of the points.
    pub swept: Vec<Swept>,
    /// Every value of every hyper-parameter.
    pub points: Vec<Point>,
    /// Runs of each.
    pub runs: usize,
    /// Persons who are trained on and who are held out.
    pub persons: [usize; 2],
    /// What the runs start from, and which of their settings are not the paper's.
    pub recipe: Vec<String>,
}

/// What one value achieved.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// The setting's key.
    pub key: &'static str,
    /// Its value.
    pub value: String,
    /// Means and deviations.
    pub summary: Summary,
    /// Its runs.
    pub achieved: Achieved,
}

/// Holds out as many persons as it takes for `queries` queries: a data set whose test part is made of them. Which
/// persons and images is a function of `seed`.
///
/// # Errors
/// If that takes more than half of the persons.
pub fn hold_out(dataset: &Dataset, queries: usize, seed: u64) -> Result<Dataset> {
    dataset.require_train()?;
    let mut images_of: BTreeMap<i64, Vec<&Sample>> = BTreeMap::new();
    dataset.train.iter().for_each(|sample| images_of.entry(sample.pid).or_default().push(sample));
    let mut persons: Vec<i64> = images_of.keys().copied().collect();
    let draws = |image: u64| Philox::new(seed, 0, image, Purpose::Validation);
    let order = |pid: &i64| (draws(0).word(images_of.range(..pid).count() as u32), *pid);
    persons.sort_by_cached_key(order);

    let (mut held, mut asking, mut others) = (BTreeSet::new(), Vec::new(), Vec::new());
    for pid in persons.iter().take(persons.len() / 2) {
        if asking.len() >= queries {
            break;
        }
        let mut by_camera: BTreeMap<Option<i64>, Vec<&Sample>> = BTreeMap::new();
        images_of[pid].iter().for_each(|&sample| by_camera.entry(sample.camid).or_default().push(sample));
        // A person under one camera finds nobody, and a single image even less.
        if images_of[pid].len() < 2 || (by_camera.len() < 2 && !by_camera.contains_key(&None)) {
            continue;
        }
        held.insert(*pid);
        for images in by_camera.values() {
            let chosen = draws(1 + *pid as u64).word(asking.len() as u32) as usize % images.len();
            for (i, &sample) in images.iter().enumerate() {
                if i == chosen { asking.push(sample.clone()) } else { others.push(sample.clone()) }
            }
        }
    }
    if asking.len() < queries || others.is_empty() {
        return Err(Error::Data(format!(
            "{}: half of its {} persons give {} images that can ask, not {queries}; give a smaller --validation",
            dataset.root.display(),
            persons.len(),
            asking.len()
        )));
    }
    asking.truncate(queries);
    let train = dataset.train.iter().filter(|sample| !held.contains(&sample.pid)).cloned().collect();
    Ok(Dataset { train, query: asking, gallery: others, ..dataset.clone() })
}

/// Trains and evaluates every value, and writes the table, the plot and all figures into the study's folder; none if
/// it was stopped. The study's data set is one that [`hold_out`] made.
///
/// # Errors
/// Values that the settings do not take, what [`Study`] refuses, and what training and evaluation report.
pub fn run(study: &Study<'_>, config: &Config, swept: &[Swept], say: &dyn Fn(&str)) -> Result<Option<Sweep>> {
    // A recipe that two settings come to, such as the one that all have in common, is run once.
    let mut recipes: Vec<Recipe> = Vec::new();
    let mut values: Vec<(&'static str, &String, usize)> = Vec::new();
    for Swept { key, values: of_key } in swept {
        for value in of_key {
            let config = Config::resolve_text(&config.to_toml(), &[format!("{key}={value}")])?;
            let recipe = match recipes.iter().position(|known| known.config == config) {
                Some(recipe) => recipe,
                None => {
                    let short = key.rsplit('.').next().unwrap_or(key);
                    recipes.push(Recipe { name: format!("{short}-{value}"), config });
                    recipes.len() - 1
                }
            };
            if let Some((_, twin, _)) = values.iter().find(|known| (known.0, known.2) == (*key, recipe)) {
                return Err(Error::Config(format!("{key}: {twin} and {value} are the same; give it once")));
            }
            values.push((key, value, recipe));
        }
    }
    let _folder = study.begin(&recipes)?;
    let Some(results) = study.run(&recipes, say)? else { return Ok(None) };
    let point = |(key, value, recipe): (&'static str, &String, usize)| {
        let achieved = results[recipe].clone();
        Point { key, value: value.clone(), summary: Summary::of(&achieved.reports), achieved }
    };
    let keys: Vec<&str> = swept.iter().map(|swept| swept.key).collect();
    let persons = [&study.dataset.train, &study.dataset.query]
        .map(|samples| samples.iter().map(|sample| sample.pid).collect::<BTreeSet<_>>().len());
    let sweep = Sweep {
        swept: swept.to_vec(),
        points: values.into_iter().map(point).collect(),
        runs: study.runs,
        persons,
        recipe: study.recipe_notes(config, &keys),
    };
    study.write(&sweep, &sweep.table(presets::ASCII_MARKDOWN), &sweep.notes())?;
    for name in ["sweep.svg", "sweep.png"] {
        crate::report::write_figure(&sweep.drawing(), &study.out.join(name))?;
    }
    Ok(Some(sweep))
}

impl Sweep {
    fn table(&self, style: TableStyle) -> Table {
        let mut table = Table::new();
        table.load_style(style);
        table.set_header(["setting", "value", "rank-1", "rank-5", "rank-10", "mAP"]);
        for Point { key, value, summary, .. } in &self.points {
            let Summary { rank1, rank5, rank10, map_market, .. } = summary;
            let figures = [rank1, rank5, rank10, map_market].map(ToString::to_string);
            table.add_row([key.to_string(), value.clone()].into_iter().chain(figures));
        }
        table.column_iter_mut().skip(1).for_each(|c| c.set_cell_alignment(CellAlignment::Right));
        table
    }

    /// What the figures are of.
    fn about(&self) -> String {
        let spread = match self.runs {
            1 => "one run each, so nothing is known of the spread between seeds".to_string(),
            n => format!("mean ± sample standard deviation of {n} runs each, which differ in their seed"),
        };
        let [trained, held] = self.persons;
        format!(
            "Percent; {spread}. On {held} persons of the training part that were held out; {trained} were trained on."
        )
    }

    /// What must be known to read the table.
    fn notes(&self) -> Vec<String> {
        let mut notes = vec![self.about()];
        notes.extend(self.recipe.iter().cloned());
        let first = self.points.first().and_then(|point| point.achieved.reports.first());
        notes.extend(first.into_iter().flat_map(|report| report.lines()));
        notes
    }

    /// One panel a hyper-parameter.
    fn drawing(&self) -> Drawing {
        const MEASURES: [&str; 2] = ["rank-1", "mAP (trapezoid)"];
        let measured = |summary: &Summary| [summary.rank1, summary.map_market];
        let panel = |swept: &Swept| {
            let points: Vec<&Point> = self.points.iter().filter(|point| point.key == swept.key).collect();
            let numbers = points.iter().map(|point| point.value.parse().unwrap_or(0.0));
            let Places { x, axis } = Places::of(swept.key, &numbers.collect::<Vec<f64>>());
            let mut series = Vec::new();
            for run in 0..MEASURES.len() {
                let colour = Colour::Run(run);
                let mut line: Vec<(f64, f64)> = Vec::new();
                for (&x, point) in x.iter().zip(&points) {
                    let figure = measured(&point.summary)[run];
                    line.push((x, 100.0 * figure.mean));
                    if let Some(d) = figure.deviation {
                        let ends = [figure.mean - d, figure.mean + d];
                        let points = ends.map(|share| (x, 100.0 * share.clamp(0.0, 1.0))).to_vec();
                        series.push(Series { colour, mark: Mark::Faint, points });
                    }
                }
                series.push(Series { colour, mark: Mark::Dots, points: line.clone() });
                line.sort_by(|a, b| a.0.total_cmp(&b.0));
                series.push(Series { colour, mark: Mark::Line, points: line });
            }
            Panel { title: swept.key.to_string(), x: axis, y: Axis::between("[%]", 0.0, 100.0), series }
        };
        let key = |(run, name): (usize, &&str)| Key {
            name: name.to_string(),
            colour: Colour::Run(run),
            mark: Mark::Line,
        };
        Drawing {
            title: "Choice of hyper-parameters".into(),
            caption: format!(
                "{}{} On a logarithmic axis 0, and what is no number, stands at the left end.",
                self.about(),
                if self.runs > 1 { " Upright lines reach a standard deviation to both sides." } else { "" }
            ),
            legend: MEASURES.iter().enumerate().map(key).collect(),
            panels: self.swept.iter().map(panel).collect(),
            columns: self.swept.len().clamp(1, 3),
        }
    }
}

/// Where values stand across.
struct Places {
    x: Vec<f64>,
    axis: Axis,
}

impl Places {
    fn of(label: &str, values: &[f64]) -> Self {
        let positive: Vec<f64> = values.iter().copied().filter(|v| *v > 0.0).collect();
        let mut axis = Axis::decades(label, positive.iter().copied());
        let wide = axis.to / axis.from > 10.0 * (1.0 + 1e-9);
        if positive.is_empty() || !(wide && axis.scale == Scale::Log) {
            let largest = values.iter().copied().fold(0.0, f64::max);
            return Places { x: values.to_vec(), axis: Axis::up_to(label, largest) };
        }
        if positive.len() < values.len() {
            axis.from /= 10.0;
        }
        let x = values.iter().map(|&v| if v > 0.0 { v } else { axis.from }).collect();
        Places { x, axis }
    }
}

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.table(presets::UTF8_HORIZONTAL_ONLY))?;
        write!(f, "{}", self.notes().join("\n"))
    }
}

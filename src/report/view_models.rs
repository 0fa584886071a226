//! View models of the page's template: values formatted as text. The template escapes all fields except those whose
//! comment says that they are markup.

use super::charts::cmc::Evaluated;
use super::draw;
use super::figure::Figure;
use super::palette::{self, Colour};
use super::run::{self, Run, Settings};
use crate::Result;
use crate::config::Config;
use crate::eval::Report;
use crate::eval::run_evaluations::Evaluation;
use crate::eval::stored_evaluation::StoredEvaluation;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// View of a figure.
#[derive(Debug)]
pub struct FigureView {
    pub legend: Vec<KeyView>,
    pub panels: Vec<PanelView>,
    pub caption: String,
}

#[derive(Debug)]
pub struct KeyView {
    pub colour: &'static str,
    /// Sample of the mark, as markup.
    pub swatch: &'static str,
    pub name: String,
}

#[derive(Debug)]
pub struct PanelView {
    pub title: String,
    /// Drawing, as markup.
    pub svg: String,
}

impl FigureView {
    pub fn new(figure: &Figure) -> Result<Self> {
        let key = |key: &super::figure::Key| KeyView {
            colour: class_of(key.colour),
            swatch: draw::swatch(key.mark),
            name: key.name.clone(),
        };
        let panel = |panel: &super::figure::Panel| {
            let label =
                format!("{}: {}. {} against {}.", figure.title, panel.title, panel.y.label, panel.x.label);
            Ok(PanelView {
                title: panel.title.clone(),
                svg: draw::panel(panel, figure.panels.len(), &label)?,
            })
        };
        Ok(FigureView {
            legend: figure.legend.iter().map(key).collect(),
            panels: figure.panels.iter().map(panel).collect::<Result<_>>()?,
            caption: figure.caption.clone(),
        })
    }
}

/// Suffix of the style class of a colour.
pub fn class_of(colour: Colour) -> &'static str {
    palette::ALL.iter().find(|(own, ..)| *own == colour).map_or("ink", |found| found.1)
}

/// A row of the table of runs.
#[derive(Debug)]
pub struct RunView {
    pub name: String,
    pub key: &'static str,
    pub losses: String,
    pub steps: String,
    pub network: String,
    pub input: String,
    pub batch: String,
}

impl RunView {
    pub fn new(index: usize, run: &Run) -> Self {
        let setting = |key: &str| run.settings.get(key).unwrap_or("?").trim_matches('"').to_string();
        let done = run.steps.last().map_or(0, |step| step.step.saturating_add(1));
        let steps = match run.planned() {
            Some(planned) if planned != done => format!("{done} of {planned}"),
            _ => done.to_string(),
        };
        let steps = if run.diverged().is_some() { steps + " (diverged)" } else { steps };
        RunView {
            name: run.name.clone(),
            key: class_of(Colour::Run(index)),
            losses: run.losses(),
            steps,
            network: run.settings.network(),
            input: format!("{} x {}", setting("input.height"), setting("input.width")),
            batch: setting("solver.batch"),
        }
    }
}

/// Table of the results on one data set.
#[derive(Debug)]
pub struct SetView {
    pub name: String,
    pub columns: Vec<&'static str>,
    pub rows: Vec<MetricsRow>,
    /// True if the best value of each column is bold.
    pub compared: bool,
    pub notes: Vec<Note>,
}

#[derive(Debug)]
pub struct MetricsRow {
    pub key: &'static str,
    pub name: String,
    pub values: Vec<Value>,
}

#[derive(Debug)]
pub struct Value {
    pub text: String,
    pub best: bool,
}

/// A remark; `whose` names its runs, and is empty if it holds for all runs.
#[derive(Debug)]
pub struct Note {
    pub whose: String,
    pub text: String,
}

/// A column of the table: name and value, a share.
type Metric = (&'static str, fn(&Report) -> f64);
/// The columns of the table.
const METRICS: [Metric; 7] = [
    ("rank-1", |r| r.rank1),
    ("rank-5", |r| r.rank5),
    ("rank-10", |r| r.rank10),
    ("rank-20", |r| r.rank20),
    ("mAP", |r| r.map_market),
    ("mAP (sum)", |r| r.map_sum),
    ("mINP", |r| r.minp),
];

/// Names of the folders of images: the shortest ends of their paths that differ, because a page is sent on.
pub struct FolderNames(BTreeMap<String, String>);

impl FolderNames {
    pub fn of(evaluations: &[&Evaluation]) -> Self {
        let all: BTreeSet<&String> = evaluations.iter().flat_map(|of| &of.kept.images).collect();
        let paths: Vec<PathBuf> = all.iter().map(PathBuf::from).collect();
        FolderNames(all.into_iter().cloned().zip(run::names(&paths)).collect())
    }

    fn list(&self, folders: &[String]) -> String {
        let names: Vec<&str> =
            folders.iter().filter_map(|folder| self.0.get(folder)).map(String::as_str).collect();
        names.join(", ")
    }
}

impl SetView {
    pub fn new(runs: &[Run], set: &Evaluated<'_>, folders: &FolderNames) -> Self {
        let texts = METRICS.map(|(_, value)| -> Vec<String> {
            set.all.iter().map(|of| format!("{:.2}", 100.0 * value(&of.kept.report))).collect()
        });
        // Results are comparable only on the same images.
        let compared = set.all.len() > 1 && set.all.iter().all(|of| of.kept.images == set.all[0].kept.images);
        let row = |(place, of): (usize, &&Evaluation)| MetricsRow {
            key: class_of(Colour::Run(of.run)),
            name: runs[of.run].name.clone(),
            values: METRICS
                .iter()
                .zip(&texts)
                .map(|((_, value), texts)| {
                    let best = set.all.iter().map(|of| value(&of.kept.report)).fold(f64::MIN, f64::max);
                    // Compared as shown, so that equal numbers look equal.
                    let best = format!("{:.2}", 100.0 * best);
                    Value { text: texts[place].clone(), best: compared && texts[place] == best }
                })
                .collect(),
        };
        let mut remarks: Vec<(usize, String)> = Vec::new();
        for Evaluation { run, kept: StoredEvaluation { images, report, .. }, note } in &set.all {
            remarks.extend(note.iter().map(|note| (*run, note.clone())));
            if !images.is_empty() {
                remarks.push((*run, format!("Folders: {}.", folders.list(images))));
            }
            remarks.extend(report.lines().into_iter().map(|line| (*run, line)));
        }
        let of_all = set.all.len();
        SetView {
            name: set.name.to_string(),
            columns: METRICS.iter().map(|(name, _)| *name).collect(),
            compared,
            rows: set.all.iter().enumerate().map(row).collect(),
            notes: merge_notes(runs, remarks, of_all),
        }
    }
}

/// Merges equal remarks; a remark names its runs unless it holds for all.
fn merge_notes(runs: &[Run], remarks: Vec<(usize, String)>, all: usize) -> Vec<Note> {
    let mut notes: Vec<(Vec<usize>, String)> = Vec::new();
    for (run, text) in remarks {
        match notes.iter_mut().find(|(_, own)| *own == text) {
            Some((who, _)) => who.push(run),
            None => notes.push((vec![run], text)),
        }
    }
    let name = |run: &usize| runs[*run].name.as_str();
    let note = |(who, text): (Vec<usize>, String)| Note {
        whose: if who.len() == all {
            String::new()
        } else {
            who.iter().map(name).collect::<Vec<_>>().join(", ")
        },
        text,
    };
    notes.into_iter().map(note).collect()
}

/// A setting with its value in every run.
#[derive(Debug)]
pub struct SettingView {
    pub key: String,
    pub values: Vec<String>,
    pub meaning: String,
}

/// All settings of all runs; the settings of this version come first, in its order.
pub fn settings(all: &[&Settings]) -> Vec<SettingView> {
    let known = Config::entries();
    let mut keys: Vec<(&str, String)> = known
        .iter()
        .map(|entry| {
            // A unit of 1 means a dimensionless number.
            let unit = if entry.unit == "1" { String::new() } else { format!(" [{}]", entry.unit) };
            (entry.key.as_str(), format!("{}{unit}", entry.text))
        })
        .filter(|(key, _)| all.iter().any(|own| own.get(key).is_some()))
        .collect();
    for key in all.iter().flat_map(|own| own.keys()) {
        if !keys.iter().any(|(known, _)| *known == key) {
            keys.push((key, "unknown to this version".into()));
        }
    }
    let value = |own: &&Settings, key: &str| own.get(key).unwrap_or("not set").to_string();
    keys.into_iter()
        .map(|(key, meaning)| SettingView {
            key: key.to_string(),
            values: all.iter().map(|own| value(own, key)).collect(),
            meaning,
        })
        .collect()
}

impl SettingView {
    pub fn differs(&self) -> bool {
        self.values.iter().any(|value| value != &self.values[0])
    }
}

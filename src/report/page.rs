//! HTML page that compares runs: one file that loads no other.
//!
//! The page's content security policy forbids every load and every script and style other than its own, which it allows
//! by hash. So a name that escaped the template's escaping could not run code.

use super::canvas::escape;
use super::charts::cmc::Evaluated;
use super::charts::pairs::Counted;
use super::charts::{self, cmc, curves};
use super::evaluations;
use super::maps::MAPS;
use super::palette;
use super::provenance;
use super::ranked::{self, GroupView, KindsOfImages, SHOWN, Views};
use super::run::{self, Run};
use super::summary::SummaryView;
use super::thresholds::PairsView;
use super::thumbnail::Thumbnails;
use super::view_models::{FigureView, FolderNames, RunView, SetView, SettingView, settings};
use crate::device::Device;
use crate::eval::extract::Extractor;
use crate::eval::image_folders::ImageFolders;
use crate::eval::scored::{Scored, by_queries};
use crate::{Error, Result};
use askama::Template;
use askama::filters::Escaper;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

const CSS: &str = include_str!("page.css");
const DARK: &str = include_str!("page_dark.css");
const JS: &str = include_str!("page.js");
/// Number of queries of each kind by default, if their thumbnails fit.
const QUERIES: usize = 8;
/// Largest number of queries of each kind.
const MOST_QUERIES: usize = 200;
/// Largest size of the thumbnails by default, in bytes; the rest of a page has up to a million bytes.
const THUMBNAILS: usize = 3_900_000;

/// Options of a page.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names of the evaluations to show; all if empty.
    pub only: Vec<String>,
    /// Number of queries of each kind; `None`: as many as fit into 5 MB, at most 8.
    pub queries: Option<usize>,
    /// Seed of the random choice of queries.
    pub seed: u64,
    /// Folders whose images may be embedded besides those of the evaluations' data sets, see [`ImageFolders`]. Images
    /// that are not at their path are searched in them.
    pub images: Vec<PathBuf>,
    /// Show activation maps in the ranked lists, computed by the runs' networks.
    pub maps: bool,
    /// Creation time that the page states.
    pub made: SystemTime,
}

/// All evaluations, without activation maps; made now.
impl Default for Options {
    fn default() -> Self {
        Options {
            only: Vec::new(),
            queries: None,
            seed: 1,
            images: Vec::new(),
            maps: false,
            made: SystemTime::now(),
        }
    }
}

/// Escaper of the template's fields: [`escape`], as in the drawings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TextEscaper;

impl Escaper for TextEscaper {
    fn write_escaped_str<W: fmt::Write>(&self, mut out: W, text: &str) -> fmt::Result {
        out.write_str(&escape(text))
    }
}

/// A page, and what its author should know before sending it on.
#[derive(Clone, Debug)]
pub struct Report {
    /// The page.
    pub html: String,
    /// Messages about the folders from which images are embedded, and about images that are left out.
    pub notes: Vec<String>,
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page {
    policy: String,
    css: String,
    js: &'static str,
    version: &'static str,
    title: String,
    made: String,
    made_iso: String,
    runs: Vec<RunView>,
    provenance: Vec<SettingView>,
    summary: Option<SummaryView>,
    sets: Vec<SetView>,
    unevaluated: Vec<String>,
    /// True if [`Options::only`] restricts the evaluations.
    chosen: bool,
    curves: FigureView,
    figure1: std::result::Result<FigureView, String>,
    cmc: Option<FigureView>,
    pairs: Option<PairsView>,
    map: Option<FigureView>,
    shown: usize,
    lists: Vec<GroupView>,
    kinds: KindsOfImages,
    list_notes: Vec<String>,
    /// Explanation of the activation maps.
    maps: Option<String>,
    differing: Vec<SettingView>,
    /// A sentence about runs with equal settings, starts and data sets.
    equality: &'static str,
    settings: Vec<SettingView>,
}

/// Creates the HTML page about the runs in `folders`. Distances are computed on `device`.
///
/// # Errors
/// A folder that is not a run folder, or a run without a step yet; damaged evaluations; more queries than a page shows;
/// an error of the device. An image that cannot be read is no error: the page says so in its place.
pub fn page(folders: &[PathBuf], options: &Options, device: &Device) -> Result<Report> {
    if let Some(n) = options.queries.filter(|n| !(1..=MOST_QUERIES).contains(n)) {
        return Err(Error::Run(format!("--queries {n}: give a number from 1 to {MOST_QUERIES}")));
    }
    let runs = run::read_all(folders)?;
    let stored = evaluations::read_all(&runs, &options.only)?;
    let scored = stored.into_iter().map(|one| Scored::new(one, device)).collect::<Result<Vec<_>>>()?;
    let (mut extractors, without) = extractors(&runs, &scored, options, device)?;
    let (lists, mut notes) = ranked_lists(&runs, &scored, options, &mut extractors, device)?;
    notes.extend(without);

    let counted: Vec<Counted<'_>> = scored.iter().map(|of| Counted::new(&of.evaluation, &of.pairs)).collect();
    let evaluations: Vec<_> = scored.iter().map(|of| &of.evaluation).collect();
    let sets = Evaluated::by_set(&evaluations);
    let folders = FolderNames::of(&evaluations);
    let has_evaluation = |run: usize| scored.iter().any(|of| of.evaluation.run == run);
    let all_settings: Vec<_> = runs.iter().map(|run| &run.settings).collect();
    let settings_of_all = settings(&all_settings);
    let differing_settings = settings(&all_settings).into_iter().filter(SettingView::differs);
    let differing = provenance::differing(&runs).into_iter().chain(differing_settings).collect();
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    let css = style();
    let figure1 = match charts::figure1::figure(&runs) {
        Ok(figure) => Ok(FigureView::new(&figure)?),
        Err(why) => Err(why.to_string()),
    };
    let (made, made_iso) = date(options.made);
    let page = Page {
        policy: policy(&css, Some(JS)),
        css,
        js: JS,
        version: env!("CARGO_PKG_VERSION"),
        title: format!("bcreid report: {}", names.join(", ")),
        made,
        made_iso,
        runs: runs.iter().enumerate().map(|(index, run)| RunView::new(index, run)).collect(),
        provenance: provenance::rows(&runs),
        summary: SummaryView::new(&runs, &sets),
        sets: sets.iter().map(|set| SetView::new(&runs, set, &folders)).collect(),
        unevaluated: (0..runs.len())
            .filter(|run| !has_evaluation(*run))
            .map(|run| evaluations::command(&runs[run].name))
            .collect(),
        chosen: !options.only.is_empty(),
        curves: FigureView::new(&curves::figure(&runs))?,
        figure1,
        cmc: if sets.is_empty() { None } else { Some(FigureView::new(&cmc::figure(&runs, &sets))?) },
        pairs: if counted.is_empty() { None } else { Some(PairsView::new(&runs, &counted)?) },
        map: match evaluations.is_empty() {
            true => None,
            false => Some(FigureView::new(&charts::map::figure(&runs, &evaluations))?),
        },
        shown: SHOWN,
        lists: lists.groups,
        maps: options.maps.then(|| MAPS.map(|(name, meaning)| format!("{name}: {meaning}")).join("; ")),
        kinds: lists.kinds,
        list_notes: notes.into_iter().chain(lists.page_notes).collect(),
        differing,
        equality: provenance::equality(&runs),
        settings: settings_of_all,
    };
    let html = page.render().map_err(|e| Error::Run(format!("the page cannot be rendered: {e}")))?;
    Ok(Report { html, notes: lists.notes })
}

/// The networks of the runs for activation maps, and notes about runs without maps: those whose evaluation is of other
/// weights than the run's result.
fn extractors(
    runs: &[Run],
    scored: &[Scored],
    options: &Options,
    device: &Device,
) -> Result<(Vec<Option<Extractor>>, Vec<String>)> {
    let (mut extractors, mut notes) = (Vec::new(), Vec::new());
    if !options.maps {
        return Ok((extractors, notes));
    }
    for (number, run) in runs.iter().enumerate() {
        let of_run: Vec<&Scored> = scored.iter().filter(|of| of.evaluation.run == number).collect();
        if of_run.is_empty() {
            extractors.push(None);
            continue;
        }
        let extractor = Extractor::load(&run.folder, device)?;
        let network = extractor.origin().network;
        let is_own = |of: &&Scored| of.evaluation.kept.query.origin().network == network;
        if of_run.iter().all(is_own) {
            extractors.push(Some(extractor));
        } else {
            notes.push(format!(
                "{}: no activation maps, because an evaluation is of other weights.",
                run.name
            ));
            extractors.push(None);
        }
    }
    Ok((extractors, notes))
}

/// The ranked lists, and notes about them.
fn ranked_lists(
    runs: &[Run],
    scored: &[Scored],
    options: &Options,
    extractors: &mut [Option<Extractor>],
    device: &Device,
) -> Result<(Views, Vec<String>)> {
    let groups = by_queries(scored);
    let stored = scored.iter().map(|of| &of.evaluation.kept);
    let mut thumbnails = Thumbnails::new(ImageFolders::new(&options.images, stored));
    let mut n = options.queries.unwrap_or(QUERIES);
    // Every image has a thumbnail and two maps.
    let most = if options.maps { THUMBNAILS / (1 + MAPS.len()) } else { THUMBNAILS };
    let mut lists = loop {
        let lists = ranked::views(runs, &groups, n, options.seed, &mut thumbnails, &mut [], device)?;
        if options.queries.is_some() || lists.bytes <= most || n == 1 {
            break lists;
        }
        // The size is nearly proportional to the number of queries.
        n = (n * most / lists.bytes).clamp(1, n - 1);
    };
    if options.maps {
        lists = ranked::views(runs, &groups, n, options.seed, &mut thumbnails, extractors, device)?;
    }
    let mut notes = vec![format!(
        "At most {n} {} of each kind, chosen by average precision (trapezoid).{}",
        if n == 1 { "query" } else { "queries" },
        if options.queries.is_none() { " --queries N shows more or fewer." } else { "" }
    )];
    for of in scored {
        let (own, tables) = (of.mean_ap(), of.evaluation.kept.report.map_market);
        let why = match of.is_reranked() {
            true => "is re-ranked; the lists use the distances before re-ranking, whose mAP is",
            false if (own - tables).abs() > 5e-5 => "differs from that of the stored features, which is",
            false => continue,
        };
        notes.push(format!(
            "{} on {}: the table's mAP of {:.2} % {why} {:.2} %.",
            runs[of.evaluation.run].name,
            of.evaluation.kept.name,
            100.0 * tables,
            100.0 * own
        ));
    }
    Ok((lists, notes))
}

/// The style sheet of a page, with the colours of both modes.
pub(super) fn style() -> String {
    format!(
        "\n{CSS}{}@media screen and (prefers-color-scheme: dark) {{\n{DARK}{}}}\n",
        palette::light_rules(),
        palette::dark_rules()
    )
}

/// Content security policy: the page loads nothing, and only its own script and style apply.
pub(super) fn policy(css: &str, js: Option<&str>) -> String {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text.as_bytes())));
    format!(
        "default-src 'none'; img-src data:; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
        hash(css),
        js.map_or_else(|| "'none'".into(), hash)
    )
}

/// A time in UTC for people and for programs, to the minute. A time beyond the calendar is 1970.
fn date(time: SystemTime) -> (String, String) {
    let time = Timestamp::try_from(time).unwrap_or_default();
    (time.strftime("%Y-%m-%d %H:%M UTC").to_string(), time.strftime("%Y-%m-%dT%H:%MZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn dates() {
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds)).0;
        assert_eq!(at(0), "1970-01-01 00:00 UTC");
        assert_eq!(at(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(at(1_735_689_599), "2024-12-31 23:59 UTC");
        assert_eq!(at(4_107_542_400), "2100-03-01 00:00 UTC");
        assert_eq!(date(UNIX_EPOCH + Duration::from_secs(1_732_000_000)).1, "2024-11-19T07:06Z");
    }
}

//! Ranked lists of the page: chosen queries, each with the nearest images of every run.

use super::maps::{self, MAPS};
use super::palette::Colour;
use super::run::Run;
use super::thumbnail::{self, Thumbnail, ThumbnailResult, Thumbnails};
use super::view_models::class_of;
use crate::data::decode::Rgb;
use crate::device::Device;
use crate::eval::extract::Extractor;
use crate::eval::lists::{self, Chosen, Entry, RankedList, Verdict};
use crate::eval::metrics::Score;
use crate::eval::scored::Scored;
use crate::weights::Features;
use crate::{Error, Result};
use rayon::prelude::*;
use std::path::Path;

/// Number of images in a list.
pub const SHOWN: usize = 10;

/// Chosen queries of a group of runs that have the same queries.
#[derive(Debug)]
pub struct GroupView {
    pub title: String,
    pub kinds: Vec<KindView>,
}

#[derive(Debug)]
pub struct KindView {
    pub title: String,
    pub queries: Vec<QueryView>,
}

#[derive(Debug)]
pub struct QueryView {
    pub pid: String,
    pub camera: String,
    /// The image's path in the folder of its data set.
    pub path: String,
    pub image: ThumbnailResult,
    /// The image in words.
    pub alt: String,
    pub strips: Vec<StripView>,
}

/// The ranked list of one run.
#[derive(Debug)]
pub struct StripView {
    pub key: &'static str,
    pub run: String,
    pub score: String,
    /// Activation maps of the query by this run's network; empty without --maps.
    pub query_maps: Vec<MapView>,
    pub entries: Vec<EntryView>,
}

/// An activation map.
#[derive(Clone, Debug)]
pub struct MapView {
    pub image: Thumbnail,
    /// The map in words.
    pub alt: String,
}

/// Maps of the images of a list, the query's first.
type MapsOfList = Vec<Vec<Thumbnail>>;

#[derive(Debug)]
pub struct EntryView {
    pub class: &'static str,
    pub mark: &'static str,
    pub rank: String,
    pub pid: String,
    pub camera: String,
    pub distance: String,
    pub image: ThumbnailResult,
    /// The image in words.
    pub alt: String,
    /// Activation maps by this run's network; empty without --maps.
    pub maps: Vec<MapView>,
}

/// Chosen queries of a group, and their ranked lists for each run.
struct Picked<'a> {
    group: &'a [&'a Scored],
    chosen: Chosen,
    /// Lists by run: the best, then the worst, then the random queries.
    lists: Vec<Vec<RankedList>>,
    /// Activation maps of the lists by run; no maps of a list without them.
    maps: Vec<Vec<MapsOfList>>,
}

/// The kinds of images in the lists of a page; its legend names no others.
#[derive(Clone, Copy, Debug, Default)]
pub struct KindsOfImages {
    pub distractors: bool,
    pub own_camera: bool,
    pub junk: bool,
    /// True if cameras count in all evaluations.
    pub cameras: bool,
}

/// The ranked lists of a page.
#[derive(Debug)]
pub struct Views {
    pub groups: Vec<GroupView>,
    pub kinds: KindsOfImages,
    /// Size of all thumbnails in bytes.
    pub bytes: usize,
    /// Messages about the folders of the images, for the person who makes the page.
    pub notes: Vec<String>,
    /// These messages without the folders above a data set, for the page.
    pub page_notes: Vec<String>,
}

/// Views of `n` queries of each kind for every group, with thumbnails.
///
/// # Errors
/// Errors of the device.
pub fn views(
    runs: &[Run],
    groups: &[Vec<&Scored>],
    n: usize,
    seed: u64,
    thumbnails: &mut Thumbnails,
    extractors: &mut [Option<Extractor>],
    device: &Device,
) -> Result<Views> {
    let mut picked = groups.iter().map(|group| pick(group, n, seed, device)).collect::<Result<Vec<_>>>()?;
    thumbnails.make(picked.iter().flat_map(Picked::paths));
    let bytes = picked.iter().flat_map(Picked::paths).map(|path| match thumbnails.get(Some(path)) {
        Ok(thumbnail) => thumbnail.uri.len(),
        Err(_) => 0,
    });
    let bytes = bytes.sum();
    let paths = || picked.iter().flat_map(Picked::paths);
    let notes = thumbnails.folders().notes(paths());
    let page_notes = thumbnails.folders().notes_for_page(paths());
    if !extractors.is_empty() {
        picked.iter_mut().try_for_each(|picked| picked.add_maps(extractors, thumbnails))?;
    }
    let kinds = kinds(&picked);
    let groups = picked.iter().map(|picked| picked.view(runs, seed, thumbnails)).collect();
    Ok(Views { groups, kinds, bytes, notes, page_notes })
}

fn kinds(picked: &[Picked<'_>]) -> KindsOfImages {
    let mut kinds = KindsOfImages { cameras: true, ..KindsOfImages::default() };
    for (of, lists) in picked.iter().flat_map(|picked| picked.group.iter().zip(&picked.lists)) {
        let stored = &of.evaluation.kept;
        kinds.cameras &= stored.report.protocol.counts_cameras(&stored.query, &stored.gallery);
        for entry in lists.iter().flat_map(|list| &list.entries) {
            kinds.own_camera |= entry.verdict == Verdict::OwnCamera;
            kinds.junk |= entry.verdict == Verdict::Junk;
            kinds.distractors |= stored.gallery.pids()[entry.index] == 0;
        }
    }
    kinds
}

fn pick<'a>(group: &'a [&'a Scored], n: usize, seed: u64, device: &Device) -> Result<Picked<'a>> {
    let queries = group[0].scores.len();
    let mean = |query: usize| {
        let aps: Vec<f64> = group.iter().filter_map(|of| Some(of.scores[query]?.ap_market)).collect();
        (!aps.is_empty()).then(|| aps.iter().sum::<f64>() / aps.len() as f64)
    };
    let scores: Vec<Option<f64>> = (0..queries).map(mean).collect();
    let chosen = lists::choose(&scores, n, seed);
    let all = [&chosen.best[..], &chosen.worst, &chosen.random].concat();
    let lists = |of: &&Scored| {
        let stored = &of.evaluation.kept;
        lists::ranked_lists(&stored.query, &stored.gallery, &all, SHOWN, &of.evaluation.protocol(), device)
    };
    let lists: Vec<Vec<RankedList>> = group.iter().map(lists).collect::<Result<_>>()?;
    let maps = lists.iter().map(|of_run| vec![Vec::new(); of_run.len()]).collect();
    Ok(Picked { group, chosen, lists, maps })
}

fn path(features: &Features, row: usize) -> Option<&str> {
    features.paths().get(row).map(String::as_str)
}

fn camera(features: &Features, row: usize) -> String {
    match features.camids()[row] {
        -1 => "?".into(),
        camid => features.labels().camera(camid).into_owned(),
    }
}

impl Picked<'_> {
    /// Paths of all images shown, with repetitions.
    fn paths(&self) -> impl Iterator<Item = &str> {
        let queries =
            self.lists[0].iter().filter_map(|list| path(&self.group[0].evaluation.kept.query, list.query));
        let found = self.group.iter().zip(&self.lists).flat_map(|(of, lists)| {
            let gallery = &of.evaluation.kept.gallery;
            lists.iter().flat_map(|list| &list.entries).filter_map(|entry| path(gallery, entry.index))
        });
        queries.chain(found)
    }

    /// Adds the activation maps by the networks of the runs; a run without a network has none.
    fn add_maps(&mut self, extractors: &mut [Option<Extractor>], thumbnails: &Thumbnails) -> Result<()> {
        for (number, of) in self.group.iter().enumerate() {
            let Some(extractor) = extractors.get_mut(of.evaluation.run).and_then(Option::as_mut) else {
                continue;
            };
            let stored = &of.evaluation.kept;
            for (place, list) in self.lists[number].iter().enumerate() {
                let entries = list.entries.iter().map(|entry| path(&stored.gallery, entry.index));
                let paths: Vec<Option<&str>> =
                    std::iter::once(path(&stored.query, list.query)).chain(entries).collect();
                let images: Vec<_> = paths.par_iter().map(|path| thumbnails.picture((*path)?)).collect();
                let drawn = maps::of_list(extractor, stored.query.row(list.query), &images)?;
                let encode = |maps: Vec<Rgb>| {
                    maps.iter().map(thumbnail::encode).collect::<std::result::Result<_, _>>()
                };
                let encoded = drawn.into_iter().map(encode).collect::<std::result::Result<MapsOfList, _>>();
                self.maps[number][place] =
                    encoded.map_err(|e| Error::Run(format!("a map cannot be encoded for the page: {e}")))?;
            }
        }
        Ok(())
    }

    fn view(&self, runs: &[Run], seed: u64, thumbnails: &Thumbnails) -> GroupView {
        let Chosen { best, worst, random } = &self.chosen;
        let mean = if self.group.len() > 1 { ", mean over the runs" } else { "" };
        let kinds = [
            (format!("Best queries (highest average precision{mean})"), 0, best.len()),
            (format!("Worst queries (lowest average precision{mean})"), best.len(), worst.len()),
            (format!("Random queries (seed {seed})"), best.len() + worst.len(), random.len()),
        ];
        let names: Vec<&str> = self.group.iter().map(|of| runs[of.evaluation.run].name.as_str()).collect();
        GroupView {
            title: format!("{} ({})", self.group[0].evaluation.kept.name, names.join(", ")),
            kinds: kinds
                .into_iter()
                .map(|(title, from, count)| KindView {
                    title,
                    queries: (from..from + count).map(|place| self.query(runs, place, thumbnails)).collect(),
                })
                .collect(),
        }
    }

    fn query(&self, runs: &[Run], place: usize, thumbnails: &Thumbnails) -> QueryView {
        let features = &self.group[0].evaluation.kept.query;
        let query = self.lists[0][place].query;
        let pid = features.labels().pid(features.pids()[query]).into_owned();
        let camera = camera(features, query);
        let alt = format!("query: person {pid}, camera {camera}");
        let strip = |(number, of): (usize, &&Scored)| {
            let gallery = &of.evaluation.kept.gallery;
            let maps = &self.maps[number][place];
            let maps_of = |row: usize, alt: &str| map_views(maps.get(row).map_or(&[], Vec::as_slice), alt);
            let entries = self.lists[number][place].entries.iter().enumerate().map(|(row, entry)| {
                let mut view = view(entry, gallery, thumbnails);
                view.maps = maps_of(row + 1, &view.alt);
                view
            });
            StripView {
                key: class_of(Colour::Run(of.evaluation.run)),
                run: runs[of.evaluation.run].name.clone(),
                score: score(of.scores[query]),
                query_maps: maps_of(0, &alt),
                entries: entries.collect(),
            }
        };
        QueryView {
            strips: self.group.iter().enumerate().map(strip).collect(),
            alt,
            pid,
            camera,
            path: path(features, query)
                .map(|path| thumbnails.folders().shown_path(Path::new(path)))
                .unwrap_or_default(),
            image: thumbnails.get(path(features, query)),
        }
    }
}

fn map_views(maps: &[Thumbnail], of: &str) -> Vec<MapView> {
    let view = |(image, (name, _)): (&Thumbnail, (&str, &str))| MapView {
        image: image.clone(),
        alt: format!("{name} map of {of}"),
    };
    maps.iter().zip(MAPS).map(view).collect()
}

fn score(score: Option<Score>) -> String {
    match score {
        None => "no match in the gallery".into(),
        Some(score) => format!(
            "AP {:.1} %, first match at rank {}, {} match{} in the gallery",
            100.0 * score.ap_market,
            score.first_rank,
            score.matches,
            if score.matches == 1 { "" } else { "es" }
        ),
    }
}

fn view(entry: &Entry, gallery: &Features, thumbnails: &Thumbnails) -> EntryView {
    let (class, mark) = match entry.verdict {
        Verdict::Correct => ("correct", "✓ correct"),
        Verdict::Wrong => ("wrong", "✗ wrong"),
        Verdict::OwnCamera => ("dropped", "– own cam."),
        Verdict::Junk => ("dropped", "– junk"),
    };
    let (pid, camera) = (gallery.pids()[entry.index], camera(gallery, entry.index));
    let who = match pid {
        -1 => "junk".to_string(),
        0 => "distractor".into(),
        pid => format!("person {}", gallery.labels().pid(pid)),
    };
    EntryView {
        alt: match entry.rank {
            Some(rank) => format!("rank {rank}: {who}, camera {camera}"),
            None => format!("without a rank: {who}, camera {camera}"),
        },
        class,
        mark,
        maps: Vec::new(),
        rank: entry.rank.map_or(String::new(), |rank| rank.to_string()),
        pid: if pid == 0 { "0 (distr.)".into() } else { gallery.labels().pid(pid).into_owned() },
        camera,
        distance: format!("{:.3}", entry.distance),
        image: thumbnails.get(path(gallery, entry.index)),
    }
}

//! Ranked lists for display: the nearest gallery images of chosen queries, and the choice of these queries.
//!
//! A list keeps the images that the protocol drops, at their place and marked ([`Verdict`]), because they show faults
//! of the data.

use super::distance::{Block, Distances};
use super::{Protocol, same_camera};
use crate::Result;
use crate::device::Device;
use crate::files;
use crate::tensor::philox::{Philox, RngStream};
use crate::weights::{Features, normalise_rows};
use rayon::prelude::*;
use std::borrow::Cow;

/// Relation of a gallery image to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The query's person: a match.
    Correct,
    /// Another person, or a distractor (pid 0).
    Wrong,
    /// The query's person under the query's own camera: dropped from the ranking.
    OwnCamera,
    /// Junk (pid -1): dropped from the ranking.
    Junk,
}

impl Verdict {
    /// True if the image has a rank.
    pub fn counts(self) -> bool {
        matches!(self, Verdict::Correct | Verdict::Wrong)
    }
}

/// One image of a ranked list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// Row of the image in the gallery.
    pub index: usize,
    /// Euclidean distance to the query, not squared.
    pub distance: f64,
    /// Relation to the query.
    pub verdict: Verdict,
    /// Rank among the images that count, from 1 upwards; `None` if the image is dropped.
    pub rank: Option<usize>,
}

/// The nearest gallery images of one query.
#[derive(Clone, Debug, PartialEq)]
pub struct RankedList {
    /// Row of the query.
    pub query: usize,
    /// The images, nearest first; equal distances in the order of the gallery.
    pub entries: Vec<Entry>,
}

/// Lists the `k` nearest gallery images (all, if there are fewer) of each of `queries`, in their order, dropped images
/// included. Distances equal those of the evaluation up to the rounding of f32, so two images within 1e-6 of each other
/// may be in the other order than in the evaluation's ranks.
///
/// # Errors
/// As [`Features::require_comparable`]; an error of the device.
///
/// # Panics
/// If one of `queries` is not a row of `query`.
pub fn ranked_lists(
    query: &Features,
    gallery: &Features,
    queries: &[usize],
    k: usize,
    protocol: &Protocol,
    device: &Device,
) -> Result<Vec<RankedList>> {
    query.require_comparable(gallery)?;
    let dim = query.dim();
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    let mut rows: Vec<f32> = queries.iter().flat_map(|&q| query.row(q)).copied().collect();
    let mut images = Cow::Borrowed(gallery.features());
    if protocol.normalise {
        normalise_rows(&mut rows, dim);
        let mut copy = files::copy(&images, "normalised features")?;
        normalise_rows(&mut copy, dim);
        images = Cow::Owned(copy);
    }
    let cameras = protocol.counts_cameras(query, gallery);
    let distances = Distances::new(&rows, &images, dim, device)?;
    let mut block = Block::default();
    let mut lists = Vec::with_capacity(queries.len());
    for index in 0..distances.blocks() {
        distances.compute(index, &mut block)?;
        let first = block.queries().start;
        let ranked = block.new_queries().into_par_iter().map(|place| {
            let squared: Vec<f32> = block.row(place - first).pieces().flatten().copied().collect();
            ranked(query, gallery, queries[place], &squared, k, cameras)
        });
        lists.extend(ranked.collect::<Vec<_>>());
    }
    Ok(lists)
}

fn ranked(
    query: &Features,
    gallery: &Features,
    person: usize,
    squared: &[f32],
    k: usize,
    cameras: bool,
) -> RankedList {
    let nearer = |&a: &usize, &b: &usize| squared[a].total_cmp(&squared[b]).then(a.cmp(&b));
    let mut order: Vec<usize> = (0..squared.len()).collect();
    if k < order.len() {
        order.select_nth_unstable_by(k, nearer);
        order.truncate(k);
    }
    order.sort_unstable_by(nearer);
    let mut counted = 0;
    let entry = |index: usize| {
        let verdict = verdict(query, person, gallery, index, cameras);
        counted += usize::from(verdict.counts());
        let rank = verdict.counts().then_some(counted);
        Entry { index, distance: f64::from(squared[index]).sqrt(), verdict, rank }
    };
    RankedList { query: person, entries: order.into_iter().map(entry).collect() }
}

/// Relation of a gallery image to a query by the rules of [`super`]; with `cameras`, images of the query's camera are
/// dropped.
fn verdict(query: &Features, person: usize, gallery: &Features, image: usize, cameras: bool) -> Verdict {
    let (pid, own) = (gallery.pids()[image], query.pids()[person]);
    if pid == -1 {
        Verdict::Junk
    } else if pid != own {
        Verdict::Wrong
    } else if cameras && same_camera(gallery.camids()[image], query.camids()[person]) {
        Verdict::OwnCamera
    } else {
        Verdict::Correct
    }
}

/// Queries chosen for display, as rows of the query features; no query is in two of the lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Queries with the highest scores, the highest first.
    pub best: Vec<usize>,
    /// Queries with the lowest scores, the lowest first.
    pub worst: Vec<usize>,
    /// A random choice of the other queries, in ascending order.
    pub random: Vec<usize>,
}

/// Chooses at most `n` queries of each kind by `scores`, for example by average precision. A query without a match has
/// no score and is never chosen. Equal scores are taken in the order of the queries. The random choice is a function of
/// `seed` and the number of queries left. Where there are fewer than `3 * n` queries, each kind has a third.
pub fn choose(scores: &[Option<f64>], n: usize, seed: u64) -> Chosen {
    let mut order: Vec<(f64, usize)> =
        scores.iter().enumerate().filter_map(|(query, score)| Some(((*score)?, query))).collect();
    order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let each = n.min(order.len().div_ceil(3));
    let best: Vec<usize> = order.iter().take(each).map(|(_, query)| *query).collect();
    let mut rest = order.split_off(best.len());
    // Lowest first; equal scores stay in the order of the queries.
    rest.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let others = rest.split_off(each.min(rest.len()));
    let worst = rest.into_iter().map(|(_, query)| query).collect();
    let drawn = Philox::new(seed, 0, 0, RngStream::Report).distinct(n.min(others.len()), others.len());
    let mut random: Vec<usize> = drawn.into_iter().map(|place| others[place as usize].1).collect();
    random.sort_unstable();
    Chosen { best, worst, random }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_by_score() {
        let scores: Vec<Option<f64>> =
            [0.5, 1.0, 0.2, 0.5, 0.2, 1.0, 0.7].iter().map(|s| Some(*s)).chain([None]).collect();
        let chosen = choose(&scores, 2, 1);
        assert_eq!((chosen.best, chosen.worst), (vec![1, 5], vec![2, 4]));
        assert_eq!(chosen.random.len(), 2);
        assert!(chosen.random.iter().all(|q| [0, 3, 6].contains(q)) && chosen.random[0] < chosen.random[1]);
        let all = choose(&scores, 100, 1);
        assert_eq!((all.best.len(), all.worst.len(), all.random.len()), (3, 3, 1));
        assert_eq!(choose(&[None, None], 3, 1), Chosen::default());
        assert_eq!(choose(&[Some(0.1)], 3, 1).best, [0]);
    }

    #[test]
    fn random_choices_are_a_function_of_the_seed() {
        let scores: Vec<Option<f64>> = (0..500).map(|i| Some(f64::from(i) / 500.0)).collect();
        assert_eq!(choose(&scores, 8, 1), choose(&scores, 8, 1));
        assert_ne!(choose(&scores, 8, 1).random, choose(&scores, 8, 2).random);
    }
}

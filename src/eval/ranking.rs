//! Ranks of the matches: which gallery images count for a query, and how many lie before each match.
//!
//! No gallery is sorted. A match's rank is one more than the number of images that are nearer, or as near
//! and earlier in the gallery: two comparisons and an addition an image, which a vector unit does eight at a
//! time. A query of Market-1501 has 17 matches on average, and counting 17 times is far cheaper than sorting
//! 15,913 distances. Only for a query with very many matches each image looks for its place among them.
//!
//! Counting can be done a part of the gallery at a time, once the distances of the matches are known: so a
//! gallery that is larger than the memory is read once from end to end (`ranking/stream.rs`).

mod stream;

use super::distance::{Block, Distances, Origin, Row};
use super::metrics::Score;
use super::rerank::Reranked;
use super::{Protocol, Rerank, same_camera};
use crate::Result;
use crate::device::Device;
use crate::weights::{Features, normalise_rows};
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

/// From this many images of the query's person on, looking for an image's place among them is cheaper than
/// counting for each of them.
const SEARCH_FROM: usize = 128;
/// Values of a gallery's features (1 GiB) from which on it is read in parts.
const WHOLE: usize = 1 << 28;

/// The score of every query, in order; `None` for a query without a match, and for junk (pid -1).
///
/// # Errors
/// As [`Features::require_comparable`]; what the device reports.
pub fn score_queries(
    query: &Features,
    gallery: &Features,
    protocol: &Protocol,
    device: &Device,
) -> Result<Vec<Option<Score>>> {
    let fits = gallery.len().saturating_mul(gallery.dim()) <= WHOLE || protocol.rerank.is_some();
    let part = if fits { None } else { Some(stream::PART) };
    score(query, gallery, protocol, device, part)
}

/// As [`score_queries`], but however small the gallery is, no more than `part` values of its features (and at least
/// a tile of them, [`super::distance`]) are gone through at a time.
///
/// # Errors
/// As [`score_queries`].
///
/// # Panics
/// If the protocol re-ranks, which takes all of the gallery at once.
pub fn score_queries_in_parts(
    query: &Features,
    gallery: &Features,
    protocol: &Protocol,
    device: &Device,
    part: usize,
) -> Result<Vec<Option<Score>>> {
    assert!(protocol.rerank.is_none(), "re-ranking takes all of the gallery at once");
    score(query, gallery, protocol, device, Some(part))
}

/// The scores; the gallery whole or in parts of so many values.
fn score(
    query: &Features,
    gallery: &Features,
    protocol: &Protocol,
    device: &Device,
    part: Option<usize>,
) -> Result<Vec<Option<Score>>> {
    query.require_comparable(gallery)?;
    let mut scores = vec![None; query.len()];
    let people = StoredEvaluation::new(query, 0..query.len(), protocol.normalise);
    if people.indices.is_empty() || gallery.pids().iter().all(|&pid| pid == -1) {
        return Ok(scores);
    }
    let mut standings = standings(query, &people.indices, gallery, protocol);
    // One for all parts, which must round alike.
    let origin = Origin::of(gallery.features(), gallery.dim(), protocol.normalise);
    if let Some(part) = part {
        stream::rank(&people, gallery, (protocol.normalise, &origin), device, part, &mut standings)?;
    } else {
        let images = StoredEvaluation::new(gallery, 0..gallery.len(), protocol.normalise);
        let rerank = protocol.rerank.as_ref();
        rank_whole(&people, &images, (query.dim(), &origin), rerank, device, &mut standings)?;
    }
    for (&person, standing) in people.indices.iter().zip(&standings) {
        scores[person] = Score::from_ranks(&standing.ranks());
    }
    Ok(scores)
}

/// Ranks with all distances of a query at hand.
fn rank_whole(
    people: &StoredEvaluation<'_>,
    images: &StoredEvaluation<'_>,
    (dim, origin): (usize, &Origin),
    rerank: Option<&Rerank>,
    device: &Device,
    standings: &mut [Standing],
) -> Result<()> {
    let take = |standing: &mut Standing, row: Row<'_>| {
        standing.place(images, |image| row.at(image));
        standing.count(images, row.pieces());
    };
    match rerank {
        None => {
            let (query, gallery) = (&people.features, &images.features);
            let distances = Distances::measured_from(origin, query, gallery, dim, device)?;
            let compute = |index, block: &mut Block| distances.compute(index, block);
            for_each_query(distances.blocks(), compute, standings, take)
        }
        Some(settings) => {
            let reranked = Reranked::new(&people.features, &images.features, dim, settings, device)?;
            let compute = |index, block: &mut Block| reranked.compute(index, block);
            for_each_query(reranked.blocks(), compute, standings, take)
        }
    }
}

/// Has all blocks of distances computed, and hands each query's to `take`, once.
fn for_each_query(
    blocks: usize,
    compute: impl Fn(usize, &mut Block) -> Result<()>,
    standings: &mut [Standing],
    take: impl Fn(&mut Standing, Row<'_>) + Sync,
) -> Result<()> {
    let mut block = Block::default();
    for index in 0..blocks {
        compute(index, &mut block)?;
        let queries = block.new_queries();
        standings[queries.clone()].par_iter_mut().zip(queries).for_each(|(standing, person)| {
            take(standing, block.row(person - block.queries().start));
        });
    }
    Ok(())
}

/// What is left of a part of a list of features without its junk.
struct StoredEvaluation<'a> {
    features: Cow<'a, [f32]>,
    /// Where each row was in the whole list; ascending.
    indices: Vec<usize>,
}

impl<'a> StoredEvaluation<'a> {
    /// Of the rows `part`.
    fn new(whole: &'a Features, part: Range<usize>, normalise: bool) -> Self {
        let indices: Vec<usize> = part.clone().filter(|&i| whole.pids()[i] != -1).collect();
        if indices.len() < part.len() {
            return StoredEvaluation::rows(whole, indices, normalise);
        }
        let mut features = Cow::Borrowed(&whole.features()[part.start * whole.dim()..part.end * whole.dim()]);
        if normalise {
            normalise_rows(features.to_mut(), whole.dim());
        }
        StoredEvaluation { features, indices }
    }

    /// Of these rows, none of them junk.
    fn rows(whole: &'a Features, indices: Vec<usize>, normalise: bool) -> Self {
        let mut features: Vec<f32> = indices.iter().flat_map(|&i| whole.row(i)).copied().collect();
        if normalise {
            normalise_rows(&mut features, whole.dim());
        }
        StoredEvaluation { features: Cow::Owned(features), indices }
    }
}

/// A gallery image of the query's person.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Its squared distance, once it is known.
    distance: f32,
    /// Its row in the whole gallery.
    index: usize,
    /// Whether it counts, or is dropped because it is of the query's own camera.
    matches: bool,
    /// How many gallery images come before it, as far as they have been counted.
    before: usize,
}

/// The images of a query's person, by their rows in the gallery.
#[derive(Clone, Debug, Default)]
struct Standing(Vec<Known>);

/// For every query (rows `people` of `query`) the gallery images that show its person.
fn standings(query: &Features, people: &[usize], gallery: &Features, protocol: &Protocol) -> Vec<Standing> {
    let cameras = protocol.counts_cameras(query, gallery);
    let mut images_of: HashMap<i64, Vec<usize>> = HashMap::new();
    for &person in people {
        images_of.entry(query.pids()[person]).or_default();
    }
    for (index, pid) in gallery.pids().iter().enumerate() {
        if let Some(images) = images_of.get_mut(pid) {
            images.push(index);
        }
    }
    let standing = |&person: &usize| {
        let camid = query.camids()[person];
        let known = images_of[&query.pids()[person]].iter().map(|&index| Known {
            distance: 0.0,
            index,
            matches: !(cameras && same_camera(gallery.camids()[index], camid)),
            before: 0,
        });
        Standing(known.collect())
    };
    people.iter().map(standing).collect()
}

impl Standing {
    /// Takes the distances of those images that `part` holds; `distance` is asked for rows of it.
    fn place(&mut self, part: &StoredEvaluation<'_>, distance: impl Fn(usize) -> f32) {
        let first = part.indices.first().map_or(0, |&first| self.0.partition_point(|k| k.index < first));
        for known in &mut self.0[first..] {
            let Ok(row) = part.indices.binary_search(&known.index) else { break };
            known.distance = distance(row);
        }
    }

    /// Counts the images of `part` that come before each of the query's person, by their distances in the
    /// order of the rows, in pieces.
    fn count<'a>(&mut self, part: &StoredEvaluation<'_>, pieces: impl Iterator<Item = &'a [f32]>) {
        // Where each would stand in this part, if it is not in it.
        let local = |index: usize| part.indices.partition_point(|&row| row < index);
        if self.0.len() < SEARCH_FROM {
            let places: Vec<usize> = self.0.iter().map(|known| local(known.index)).collect();
            let mut start = 0;
            for piece in pieces {
                for (known, place) in self.0.iter_mut().zip(&places) {
                    let (earlier, later) = piece.split_at(place.saturating_sub(start).min(piece.len()));
                    known.before += as_near(earlier, known.distance) + nearer(later, known.distance);
                }
                start += piece.len();
            }
        } else {
            let mut keys: Vec<(u32, usize, usize)> =
                self.0.iter().enumerate().map(|(k, n)| (n.distance.to_bits(), local(n.index), k)).collect();
            keys.sort_unstable();
            let mut before = vec![0; keys.len() + 1];
            // The bits of floats that are not negative are ordered like the floats.
            for (row, bits) in pieces.flatten().map(|d| d.to_bits()).enumerate() {
                before[keys.partition_point(|&(b, place, _)| (b, place) <= (bits, row))] += 1;
            }
            let mut sum = 0;
            for ((_, _, k), before) in keys.into_iter().zip(before) {
                sum += before;
                self.0[k].before += sum;
            }
        }
    }

    /// The ranks of the matches in the gallery without what is dropped, from 1 upwards and in ascending order.
    fn ranks(&self) -> Vec<usize> {
        let comes_before = |a: &Known, b: &Known| (a.distance, a.index) < (b.distance, b.index);
        let (matches, dropped): (Vec<&Known>, Vec<&Known>) = self.0.iter().partition(|k| k.matches);
        let rank =
            |known: &&Known| 1 + known.before - dropped.iter().filter(|d| comes_before(d, known)).count();
        let mut ranks: Vec<usize> = matches.iter().map(rank).collect();
        ranks.sort_unstable();
        ranks
    }
}

/// How many distances are below `distance`.
fn nearer(piece: &[f32], distance: f32) -> usize {
    // A piece is short, so 32 bits hold its count and the loop runs on full vectors.
    piece.iter().map(|&d| u32::from(d < distance)).sum::<u32>() as usize
}

/// How many distances are at most `distance`.
fn as_near(piece: &[f32], distance: f32) -> usize {
    piece.iter().map(|&d| u32::from(d <= distance)).sum::<u32>() as usize
}

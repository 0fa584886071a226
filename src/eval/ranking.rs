//! Ranks of the matches: the gallery images that count for a query, and the number of images before each match.
//!
//! The gallery is not sorted. A match's rank is one more than the number of images that are nearer, or as near and
//! earlier in the gallery: two comparisons and an addition an image, which a vector unit does eight at a time. A query
//! of Market-1501 has 17 matches on average, and counting 17 times is far cheaper than sorting 15,913 distances. For a
//! query with very many matches, a binary search places each image among the matches instead.
//!
//! Images can be counted a part of the gallery at a time once the distances of the matches are known, so a gallery
//! larger than memory is read once from end to end (`ranking/stream.rs`).
//!
//! Book: [chapter 18](../../../../../docs/book/src/18-evaluation.md).

mod stream;

use super::distance::{Block, Distances, Origin, Row};
use super::metrics::Score;
use super::rerank::Reranked;
use super::{Protocol, Rerank, same_camera};
use crate::device::Device;
use crate::device::cpu::simd::vectorized;
use crate::files;
use crate::weights::{Features, normalise_rows};
use crate::{Error, Result};
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

/// Number of images of the query's person from which on a binary search for each gallery image is cheaper than counting
/// once for each of them. Counting takes time in proportion to this number, the search to its logarithm; measured on
/// 15,913 images with AVX2 and with AVX-512 they are equal at about 300.
const SEARCH_FROM: usize = 256;
/// Largest number of feature values (1 GiB) of a gallery that is not read in parts.
const WHOLE: usize = 1 << 28;

/// Scores every query, in order; `None` for a query without a match, and for junk (pid -1).
///
/// # Errors
/// As [`Features::require_comparable`]; an error of the device.
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

/// As [`score_queries`] with the gallery in parts of at most `part` feature values (at least a tile,
/// [`super::distance`]), regardless of its size.
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

/// Scores every query against the whole gallery, or against parts of `part` feature values.
fn score(
    query: &Features,
    gallery: &Features,
    protocol: &Protocol,
    device: &Device,
    part: Option<usize>,
) -> Result<Vec<Option<Score>>> {
    query.require_comparable(gallery)?;
    let mut scores = vec![None; query.len()];
    let people = CountedImages::new(query, 0..query.len(), protocol.normalise)?;
    if people.indices.is_empty() || gallery.pids().iter().all(|&pid| pid == -1) {
        return Ok(scores);
    }
    let mut standings = standings(query, &people.indices, gallery, protocol)?;
    // All parts use one origin, because they must round alike.
    let origin = Origin::of(gallery.features(), gallery.dim(), protocol.normalise);
    if let Some(part) = part {
        stream::rank(&people, gallery, (protocol.normalise, &origin), device, part, &mut standings)?;
    } else {
        let images = CountedImages::new(gallery, 0..gallery.len(), protocol.normalise)?;
        let rerank = protocol.rerank.as_ref();
        rank_whole(&people, &images, (query.dim(), &origin), rerank, device, &mut standings)?;
    }
    for (&person, standing) in people.indices.iter().zip(&standings) {
        scores[person] = Score::from_ranks(&standing.ranks());
    }
    Ok(scores)
}

/// Ranks the whole gallery, with all distances of a query in memory.
fn rank_whole(
    people: &CountedImages<'_>,
    images: &CountedImages<'_>,
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

/// Computes all blocks of distances and passes each query's distances to `take` once.
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

/// Features of a part of a list, without junk.
struct CountedImages<'a> {
    features: Cow<'a, [f32]>,
    /// Index of each row in the whole list; ascending.
    indices: Vec<usize>,
}

impl<'a> CountedImages<'a> {
    /// Takes the rows `part` of `whole`, without junk.
    ///
    /// # Errors
    /// No memory for a copy.
    fn new(whole: &'a Features, part: Range<usize>, normalise: bool) -> Result<Self> {
        let indices: Vec<usize> = part.clone().filter(|&i| whole.pids()[i] != -1).collect();
        if indices.len() < part.len() {
            return CountedImages::rows(whole, indices, normalise);
        }
        let mut features = Cow::Borrowed(&whole.features()[part.start * whole.dim()..part.end * whole.dim()]);
        if normalise {
            normalise_rows(features.to_mut(), whole.dim());
        }
        Ok(CountedImages { features, indices })
    }

    /// Takes the rows `indices` of `whole`; none of them may be junk.
    ///
    /// # Errors
    /// No memory for a copy.
    fn rows(whole: &'a Features, indices: Vec<usize>, normalise: bool) -> Result<Self> {
        let mut features =
            files::reserve(indices.len().saturating_mul(whole.dim()), "a part of the features")?;
        indices.iter().for_each(|&i| features.extend_from_slice(whole.row(i)));
        if normalise {
            normalise_rows(&mut features, whole.dim());
        }
        Ok(CountedImages { features: Cow::Owned(features), indices })
    }
}

/// Most gallery images of the queries' persons, in all lists together: 190 MB of them. MSMT17 has about 300,000.
const MOST_KNOWN: usize = 8_000_000;

/// A gallery image of the query's person.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Squared distance to the query; 0 until [`Standing::place`] sets it.
    distance: f32,
    /// Row in the whole gallery.
    index: usize,
    /// True for a match, false for an image that is dropped because it is of the query's own camera.
    matches: bool,
    /// Number of gallery images counted so far that come before this image.
    before: usize,
}

/// Gallery images of a query's person, in ascending order of their rows.
#[derive(Clone, Debug, Default)]
struct Standing(Vec<Known>);

/// Lists the gallery images of its person for every query (rows `people` of `query`).
///
/// # Errors
/// More than [`MOST_KNOWN`] images in all lists together.
fn standings(
    query: &Features,
    people: &[usize],
    gallery: &Features,
    protocol: &Protocol,
) -> Result<Vec<Standing>> {
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
    let all = people.iter().map(|&person| images_of[&query.pids()[person]].len());
    let all = all.fold(0usize, usize::saturating_add);
    if all > MOST_KNOWN {
        return Err(Error::Data(format!(
            "the queries have {all} gallery images of their own persons in all, and an evaluation counts at most \
             {MOST_KNOWN}; are the pids right? else evaluate fewer queries at a time"
        )));
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
    Ok(people.iter().map(standing).collect())
}

impl Standing {
    /// Sets the distances of the images that are in `part`; `distance` maps a row of `part` to its distance.
    fn place(&mut self, part: &CountedImages<'_>, distance: impl Fn(usize) -> f32) {
        let first = part.indices.first().map_or(0, |&first| self.0.partition_point(|k| k.index < first));
        for known in &mut self.0[first..] {
            let Ok(row) = part.indices.binary_search(&known.index) else { break };
            known.distance = distance(row);
        }
    }

    /// Counts the images of `part` that come before each image of the query's person; `pieces` are the distances of
    /// `part` in the order of its rows.
    fn count<'a>(&mut self, part: &CountedImages<'_>, pieces: impl Iterator<Item = &'a [f32]>) {
        // The row at which an image is, or would be inserted, in this part.
        let local = |index: usize| part.indices.partition_point(|&row| row < index);
        if self.0.len() < SEARCH_FROM {
            let places: Vec<usize> = self.0.iter().map(|known| local(known.index)).collect();
            let mut start = 0;
            for piece in pieces {
                vectorized(
                    #[inline(always)]
                    || {
                        for (known, place) in self.0.iter_mut().zip(&places) {
                            let (earlier, later) =
                                piece.split_at(place.saturating_sub(start).min(piece.len()));
                            known.before += as_near(earlier, known.distance) + nearer(later, known.distance);
                        }
                    },
                );
                start += piece.len();
            }
        } else {
            let mut keys: Vec<(u32, usize, usize)> =
                self.0.iter().enumerate().map(|(k, n)| (n.distance.to_bits(), local(n.index), k)).collect();
            keys.sort_unstable();
            let mut before = vec![0; keys.len() + 1];
            // The bits of non-negative floats are ordered like the floats.
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

    // ANCHOR: ranks
    /// Ranks of the matches among the images that are not dropped, from 1 upwards and in ascending order.
    fn ranks(&self) -> Vec<usize> {
        // Plus 0 makes one zero of both.
        let near = |known: &Known| known.distance + 0.0;
        let order = |a: &&Known, b: &&Known| near(a).total_cmp(&near(b)).then(a.index.cmp(&b.index));
        let mut nearest_first: Vec<&Known> = self.0.iter().collect();
        nearest_first.sort_unstable_by(order);
        let (mut ranks, mut dropped) = (Vec::with_capacity(nearest_first.len()), 0);
        for known in nearest_first {
            if known.matches {
                ranks.push(1 + known.before - dropped);
            } else {
                dropped += 1;
            }
        }
        ranks
    }
    // ANCHOR_END: ranks
}

/// Number of distances below `distance`.
#[inline(always)]
fn nearer(piece: &[f32], distance: f32) -> usize {
    // A piece is short, so 32 bits hold its count and the loop runs on full vectors.
    piece.iter().map(|&d| u32::from(d < distance)).sum::<u32>() as usize
}

/// Number of distances not above `distance`.
#[inline(always)]
fn as_near(piece: &[f32], distance: f32) -> usize {
    piece.iter().map(|&d| u32::from(d <= distance)).sum::<u32>() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranks by their definition: images that are not dropped, sorted by distance, then by place.
    fn sorted(distances: &[f32], indices: &[usize], known: &[(usize, bool)]) -> Vec<usize> {
        let mut order: Vec<(f32, usize)> = distances.iter().copied().zip(indices.iter().copied()).collect();
        order.retain(|&(_, index)| !known.contains(&(index, false)));
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        let is_match = |&(_, index): &(f32, usize)| known.contains(&(index, true));
        (1..).zip(&order).filter(|(_, image)| is_match(image)).map(|(rank, _)| rank).collect()
    }

    /// Ranks as an evaluation counts them, from pieces of `piece` distances.
    fn counted(distances: &[f32], indices: &[usize], known: &[(usize, bool)], piece: usize) -> Vec<usize> {
        let of = |&(index, matches): &(usize, bool)| Known { distance: 0.0, index, matches, before: 0 };
        let mut standing = Standing(known.iter().map(of).collect());
        let images = CountedImages { features: Cow::Borrowed(&[]), indices: indices.to_vec() };
        standing.place(&images, |row| distances[row]);
        standing.count(&images, distances.chunks(piece));
        standing.ranks()
    }

    /// Few different distances, so that matches, dropped images and others are tied across pieces; one match, numbers
    /// of matches on both sides of [`SEARCH_FROM`], and a gallery of nothing else.
    #[test]
    fn ranks_are_those_of_a_stable_sort() {
        // Every fifth image is junk and has no distance.
        let indices: Vec<usize> = (0..1200).filter(|i| i % 5 != 4).collect();
        for different in [1, 3, 40, 100_000] {
            let distance = |&i: &usize| (i * 7919 % 10_007 % different) as f32 / 8.0;
            let distances: Vec<f32> = indices.iter().map(distance).collect();
            let all = indices.len();
            for count in [1, 2, 17, SEARCH_FROM - 1, SEARCH_FROM, SEARCH_FROM + 1, all] {
                let is_match = |i: usize| count == 1 || i % 3 != 1;
                let place = |k: usize| indices[(k * all + all / 2) / count % all];
                let mut known: Vec<(usize, bool)> = (0..count).map(|k| (place(k), is_match(k))).collect();
                known.sort_unstable();
                for piece in [7, 256, all] {
                    assert_eq!(
                        counted(&distances, &indices, &known, piece),
                        sorted(&distances, &indices, &known),
                        "{count} images of the person, {different} distances, pieces of {piece}"
                    );
                }
            }
        }
    }

    /// A distance of -0 ties with one of 0: the order of the gallery decides.
    #[test]
    fn both_zeros_are_one_distance() {
        for dropped in [true, false] {
            let known = [(0, true), (1, !dropped)];
            let expected = if dropped { vec![1] } else { vec![1, 2] };
            assert_eq!(counted(&[0.0, -0.0, 1.0], &[0, 1, 2], &known, 2), expected);
        }
    }

    /// An image without a distance (NaN) comes before no other, by both ways of counting.
    #[test]
    fn an_image_of_nan_comes_before_no_match() {
        let indices: Vec<usize> = (0..2 * SEARCH_FROM).collect();
        let distances: Vec<f32> =
            indices.iter().map(|&i| if i % 2 == 0 { f32::NAN } else { (i % 4) as f32 }).collect();
        for count in [3, SEARCH_FROM] {
            let known: Vec<(usize, bool)> = (0..count).map(|k| (2 * k + 1, true)).collect();
            let ranks = counted(&distances, &indices, &known, 256);
            assert_eq!(ranks, sorted(&distances, &indices, &known));
            assert!(ranks.iter().all(|&rank| rank <= SEARCH_FROM), "{ranks:?}");
        }
    }
}

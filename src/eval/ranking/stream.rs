//! Ranking of a gallery that is read in parts.
//!
//! There are two passes. The first computes the distances of the matches from the images of the queries' persons. The
//! second reads the gallery from end to end, in parts, and counts the images before each match. Between parts only a
//! few numbers a match stay in memory.
//!
//! A match must have the same distance in both passes, bit for bit, or it would be counted before itself. So all
//! products of both passes have the same sizes ([`crate::eval::distance`]): a part that is smaller than a tile is
//! padded with rows of zeros, which are not counted.

use super::{CountedImages, Standing, for_each_query};
use crate::Result;
use crate::device::Device;
use crate::eval::distance::{Block, Distances, Origin, TILE};
use crate::weights::Features;
use std::borrow::Cow;

/// Feature values of a part: 256 MiB.
pub(super) const PART: usize = 1 << 26;
/// Queries in a block, in both passes.
const ROWS: usize = 256;

/// Ranks `gallery` for all of `people`, `part` feature values at a time.
pub(super) fn rank(
    people: &CountedImages<'_>,
    gallery: &Features,
    (normalise, origin): (bool, &Origin),
    device: &Device,
    part: usize,
    standings: &mut [Standing],
) -> Result<()> {
    let (dim, images) = (gallery.dim(), (part / gallery.dim()).max(TILE));
    let mut own: Vec<usize> = standings.iter().flat_map(|s| s.0.iter().map(|known| known.index)).collect();
    own.sort_unstable();
    own.dedup();
    for rows in own.chunks(images) {
        let mut part = CountedImages::rows(gallery, rows.to_vec(), normalise)?;
        pad_to_tile(&mut part.features, dim);
        let distances = distances(people, &part, dim, origin, device)?;
        let compute = |index, block: &mut Block| distances.compute(index, block);
        for_each_query(distances.blocks(), compute, standings, |standing, row| {
            standing.place(&part, |image| row.at(image));
        })?;
    }
    for first in (0..gallery.len()).step_by(images) {
        let mut part = CountedImages::new(gallery, first..(first + images).min(gallery.len()), normalise)?;
        if part.indices.is_empty() {
            continue;
        }
        pad_to_tile(&mut part.features, dim);
        let distances = distances(people, &part, dim, origin, device)?;
        let compute = |index, block: &mut Block| distances.compute(index, block);
        for_each_query(distances.blocks(), compute, standings, |standing, row| {
            let mut left = part.indices.len();
            let pieces = row.pieces().map(|piece| {
                let piece = &piece[..piece.len().min(left)];
                left -= piece.len();
                piece
            });
            standing.count(&part, pieces);
        })?;
    }
    Ok(())
}

/// Distances to a part, in blocks of one size.
fn distances<'a>(
    people: &'a CountedImages<'_>,
    part: &'a CountedImages<'_>,
    dim: usize,
    origin: &Origin,
    device: &Device,
) -> Result<Distances<'a>> {
    let all = Distances::measured_from(origin, &people.features, &part.features, dim, device)?;
    Ok(all.with_rows(ROWS))
}

/// Pads a part that is smaller than a tile with rows of zeros.
fn pad_to_tile(features: &mut Cow<'_, [f32]>, dim: usize) {
    if features.len() < TILE * dim {
        features.to_mut().resize(TILE * dim, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::Protocol;
    use crate::eval::ranking::{score_queries, score_queries_in_parts};
    use proptest::prelude::*;

    fn features(rows: &[(u8, i64, i64)]) -> Features {
        let value = |code: u8| [code % 3, code / 3 % 3, code / 9 % 3].map(f32::from);
        let values = rows.iter().flat_map(|r| value(r.0)).collect();
        let (pids, camids) = rows.iter().map(|r| (r.1, r.2)).unzip();
        Features::new(values, 3, pids, camids, Vec::new()).unwrap()
    }

    /// Few points and few persons, so that distances are tied across parts and some persons have [`SEARCH_FROM`] images
    /// or more.
    fn rows(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<(u8, i64, i64)>> {
        prop::collection::vec((0u8..27, prop_oneof![Just(-1i64), 0i64..2, 0i64..40], 0i64..3), count)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn parts_rank_like_the_whole(query in rows(1..300), gallery in rows(1..900), normalise: bool) {
            let (query, gallery) = (features(&query), features(&gallery));
            let protocol = Protocol { normalise, ..Protocol::default() };
            let whole = score_queries(&query, &gallery, &protocol, &Device::cpu()).unwrap();
            let parts = score_queries_in_parts(&query, &gallery, &protocol, &Device::cpu(), 1).unwrap();
            prop_assert_eq!(whole, parts);
        }
    }
}

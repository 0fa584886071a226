//! Nearest-neighbour search: the nearest gallery images of a query, regardless of identity and camera.

use super::distance::squared_distance;
use crate::Result;
use crate::weights::Features;
use rayon::prelude::*;

/// A gallery image found for a query.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Hit {
    /// Rank, from 1 upwards.
    pub rank: usize,
    /// Row in the gallery.
    pub index: usize,
    /// Euclidean distance; between features of unit length at most 2.
    pub distance: f64,
    /// Identity; -1 is junk, 0 a distractor of Market-1501.
    pub pid: i64,
    /// Camera; -1 is unknown.
    pub camid: i64,
    /// Name of the identity, if the data set names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Name of the camera, if the data set names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub camera: Option<String>,
    /// Image file, if the gallery's file of features names it.
    pub path: Option<String>,
}

/// Squared distance and row of a gallery image.
type Neighbour = (f64, usize);

/// Gallery images that a thread processes at a time for all queries: a megabyte of features of 2,048 values.
const PART: usize = 128;

/// Finds the `k` nearest gallery images (all, if there are fewer) of each query, nearest first; equal distances are in
/// the order of the gallery. No image is dropped, neither junk nor images of the query's own camera.
///
/// Distances are sums of squared differences in f64: an image's distance to itself is exactly 0. The gallery is read
/// once from end to end, so it may be larger than memory.
///
/// # Errors
/// As [`Features::require_comparable`].
pub fn top_k(query: &Features, gallery: &Features, k: usize) -> Result<Vec<Vec<Hit>>> {
    query.require_comparable(gallery)?;
    let dim = gallery.dim();
    let found = gallery
        .features()
        .par_chunks(PART * dim)
        .enumerate()
        .fold(
            || vec![Vec::new(); query.len()],
            |mut found: Vec<Vec<Neighbour>>, (part, rows)| {
                for (near, feature) in found.iter_mut().zip(query.features().chunks_exact(dim)) {
                    let distances = rows.chunks_exact(dim).map(|row| squared_distance(feature, row));
                    near.extend(distances.zip(part * PART..));
                    keep_nearest(near, k);
                }
                found
            },
        )
        .reduce(
            || vec![Vec::new(); query.len()],
            |mut a, b| {
                for (near, others) in a.iter_mut().zip(b) {
                    near.extend(others);
                    keep_nearest(near, k);
                }
                a
            },
        );
    let hits = found.into_iter().map(|mut near| {
        near.sort_unstable_by(nearer);
        near.into_iter().zip(1..).map(|(near, rank)| hit(gallery, near, rank)).collect()
    });
    Ok(hits.collect())
}

fn nearer(a: &Neighbour, b: &Neighbour) -> std::cmp::Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

/// Drops all but the `k` nearest.
fn keep_nearest(near: &mut Vec<Neighbour>, k: usize) {
    if k < near.len() {
        near.select_nth_unstable_by(k, nearer);
        near.truncate(k);
    }
}

fn hit(gallery: &Features, (squared, index): Neighbour, rank: usize) -> Hit {
    Hit {
        rank,
        index,
        distance: squared.sqrt(),
        pid: gallery.pids()[index],
        camid: gallery.camids()[index],
        person: gallery.labels().pids.get(&gallery.pids()[index]).cloned(),
        camera: gallery.labels().cameras.get(&gallery.camids()[index]).cloned(),
        path: gallery.paths().get(index).cloned(),
    }
}

//! Looking images up: the nearest gallery images, whoever they show.

use super::distance::squared_distance;
use crate::Result;
use crate::weights::Features;
use rayon::prelude::*;

/// A gallery image found for a query.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Hit {
    /// Its place, from 1 upwards.
    pub rank: usize,
    /// Its row in the gallery.
    pub index: usize,
    /// Its Euclidean distance; between features of unit length at most 2.
    pub distance: f64,
    /// Its identity; -1 is junk, 0 a distractor of Market-1501.
    pub pid: i64,
    /// Its camera; -1 is unknown.
    pub camid: i64,
    /// Its file, if the gallery's file names it.
    pub path: Option<String>,
}

/// A gallery image's squared distance and row.
type Near = (f64, usize);

/// Gallery images that a thread goes through at a time, for all queries: a megabyte of features of 2,048 values.
const PART: usize = 128;

/// For each query the `k` nearest gallery images (all, if there are fewer), nearest first; equal distances in the
/// order of the gallery. Nothing is dropped, neither junk nor images of the query's own camera.
///
/// Distances are sums of squared differences in f64: an image finds itself at exactly 0. The gallery is gone
/// through once from end to end, so that it may be larger than the memory.
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
            |mut found: Vec<Vec<Near>>, (part, rows)| {
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

fn nearer(a: &Near, b: &Near) -> std::cmp::Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

/// Forgets all but the `k` nearest.
fn keep_nearest(near: &mut Vec<Near>, k: usize) {
    if k < near.len() {
        near.select_nth_unstable_by(k, nearer);
        near.truncate(k);
    }
}

fn hit(gallery: &Features, (squared, index): Near, rank: usize) -> Hit {
    Hit {
        rank,
        index,
        distance: squared.sqrt(),
        pid: gallery.pids()[index],
        camid: gallery.camids()[index],
        path: gallery.paths().get(index).cloned(),
    }
}

//! Looking one image up: the nearest gallery images, whoever they show.

use crate::weights::Features;
use crate::{Error, Result};
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

/// The `k` nearest gallery images (all, if there are fewer), nearest first; equal distances in the order of
/// the gallery. Nothing is dropped, neither junk nor images of the query's own camera.
///
/// Distances are sums of squared differences in f64: an image finds itself at exactly 0.
///
/// # Errors
/// [`Error::Data`] if `feature` has another number of values than the gallery's, or one that is not finite.
pub fn top_k(feature: &[f32], gallery: &Features, k: usize) -> Result<Vec<Hit>> {
    if feature.len() != gallery.dim() {
        return Err(Error::Data(format!(
            "the query's feature has {} values and the gallery's have {}; both must come from one network",
            feature.len(),
            gallery.dim()
        )));
    }
    if let Some(i) = feature.iter().position(|v| !v.is_finite()) {
        return Err(Error::Data(format!(
            "the query's feature holds {} at {i}; it must be finite",
            feature[i]
        )));
    }
    let squared = |row: &[f32]| {
        let difference = |(&a, &b): (&f32, &f32)| f64::from(a) - f64::from(b);
        feature.iter().zip(row).map(difference).map(|d| d * d).sum::<f64>()
    };
    let distances: Vec<f64> = gallery.features().par_chunks(gallery.dim()).map(squared).collect();
    let nearer = |&a: &usize, &b: &usize| distances[a].total_cmp(&distances[b]).then(a.cmp(&b));
    let mut order: Vec<usize> = (0..gallery.len()).collect();
    if k < order.len() {
        order.select_nth_unstable_by(k, nearer);
        order.truncate(k);
    }
    order.sort_unstable_by(nearer);
    let hit = |(place, index): (usize, usize)| Hit {
        rank: place + 1,
        index,
        distance: distances[index].sqrt(),
        pid: gallery.pids()[index],
        camid: gallery.camids()[index],
        path: gallery.paths().get(index).cloned(),
    };
    Ok(order.into_iter().enumerate().map(hit).collect())
}

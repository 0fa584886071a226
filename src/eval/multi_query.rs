//! Multi-query: the features of all images of a query's person under the query's camera are pooled into one.
//!
//! Market-1501 has, beside its 3,368 queries, all boxes of the query's person under the query's camera (folder
//! `gt_bbox`). A query's feature is the mean or the element-wise maximum of the features of these boxes (Zheng et al.,
//! "Scalable Person Re-identification: A Benchmark", ICCV 2015, section 5), divided by its length again. Matches and
//! dropped images are those of the single query.

use crate::files;
use crate::weights::{Features, Origin, normalise_rows};
use crate::{Error, Result};
use rayon::prelude::*;
use std::collections::HashMap;
use std::fmt;

/// Pooling of the features of several images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Element-wise mean.
    Mean,
    /// Element-wise maximum.
    Max,
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Pool::Mean => "mean",
            Pool::Max => "maximum",
        })
    }
}

/// Replaces each query's feature by the pooled features of all `boxes` of the same person and camera, normalised to
/// unit length. A query without a box keeps its own feature; the new [`Origin`] counts these queries.
///
/// # Errors
/// [`Error::Data`] if the features come from different networks or differ in their number of values, if cameras
/// are unknown, or if no query has a box.
pub fn pool(query: &Features, boxes: &Features, pool: Pool) -> Result<Features> {
    query.require_comparable(boxes)?;
    if !query.has_cameras() || !boxes.has_cameras() {
        return Err(Error::Data(
            "multi-query pools the images of a person under one camera, but the query's or the boxes' cameras are \
             unknown; use a data set whose cameras are known, or evaluate without multi-query"
                .into(),
        ));
    }
    let dim = query.dim();
    let mut boxes_of: HashMap<(i64, i64), Vec<usize>> = HashMap::new();
    for (index, key) in boxes.pids().iter().copied().zip(boxes.camids().iter().copied()).enumerate() {
        boxes_of.entry(key).or_default().push(index);
    }
    let of = |i: usize| boxes_of.get(&(query.pids()[i], query.camids()[i]));
    let alone = (0..query.len()).filter(|&i| of(i).is_none()).count();
    if alone == query.len() {
        return Err(Error::Data(
            "multi-query: no box shows a query's person under the query's camera; are the query and the boxes of one \
             data set?"
                .into(),
        ));
    }
    let mut values = files::copy(query.features(), "the pooled features")?;
    values.par_chunks_mut(dim).enumerate().for_each(|(i, value)| {
        let Some(own) = of(i) else { return };
        for (j, value) in value.iter_mut().enumerate() {
            let all = own.iter().map(|&row| boxes.row(row)[j]);
            *value = match pool {
                Pool::Mean => (all.map(f64::from).sum::<f64>() / own.len() as f64) as f32,
                Pool::Max => all.fold(f32::NEG_INFINITY, f32::max),
            };
        }
    });
    normalise_rows(&mut values, dim);
    let mut pooled = format!("{pool} of all boxes of the query's person and camera ({} boxes)", boxes.len());
    if alone > 0 {
        let have = if alone == 1 { "has" } else { "have" };
        pooled +=
            &format!("; {alone} of {} queries {have} no box and keep the feature of one image", query.len());
    }
    let origin = Origin { pooled: Some(pooled), ..query.origin().clone() };
    Ok(query.with_values(values, dim)?.with_origin(origin))
}

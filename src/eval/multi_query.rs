//! Multi-query: several images of a person under one camera look for the person together.
//!
//! Market-1501 has, beside its 3,368 queries, all boxes of the query's person under the query's camera (folder
//! `gt_bbox`). A query's feature is then the mean or the element-wise maximum of theirs (Zheng et al., "Scalable
//! Person Re-identification: A Benchmark", ICCV 2015, section 5), divided by its length again. Matches and dropped
//! images are those of the query itself.

use crate::weights::{Features, Origin, normalise_rows};
use crate::{Error, Result};
use rayon::prelude::*;
use std::collections::HashMap;
use std::fmt;

/// How the features of several images become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Their mean.
    Mean,
    /// The largest of each value.
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

/// The queries with the pooled features of all `boxes` of the same person and camera, of unit length. A query
/// without any keeps its own feature; the new [`Origin`] says how many those are.
///
/// # Errors
/// [`Error::Data`] if the features come from different networks or differ in their number of values, if cameras
/// are unknown, or if no query has any box.
pub fn pool(query: &Features, boxes: &Features, pool: Pool) -> Result<Features> {
    query.require_comparable(boxes)?;
    if !query.has_cameras() || !boxes.has_cameras() {
        return Err(Error::Data(
            "multi-query pools the images of a person under one camera, and the cameras are not known".into(),
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
            "multi-query: no box shows a query's person under its camera; are both of one data set?".into(),
        ));
    }
    let mut values = query.features().to_vec();
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
        pooled += &format!("; {alone} of {} queries have none and stand alone", query.len());
    }
    let origin = Origin { pooled: Some(pooled), ..query.origin().clone() };
    Ok(query.with_values(values, dim)?.with_origin(origin))
}

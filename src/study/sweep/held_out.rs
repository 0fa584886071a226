//! Held-out persons: a validation set taken from the training part.

use crate::data::{Dataset, Sample};
use crate::tensor::philox::{Philox, RngStream};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Rule that chooses the held-out persons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldOut {
    /// Number of query images.
    pub queries: usize,
    /// Seed of the draw.
    pub seed: u64,
}

/// Holds out as many persons as the queries need, and returns a data set whose test part consists of these persons. The
/// choice of persons and images is a function of the seed.
///
/// # Errors
/// If more than half of the persons are needed.
pub fn hold_out(dataset: &Dataset, HeldOut { queries, seed }: HeldOut) -> Result<Dataset> {
    dataset.require_train()?;
    let mut images_of: BTreeMap<i64, Vec<&Sample>> = BTreeMap::new();
    dataset.train.iter().for_each(|sample| images_of.entry(sample.pid).or_default().push(sample));
    let mut persons: Vec<i64> = images_of.keys().copied().collect();
    let draws = |image: u64| Philox::new(seed, 0, image, RngStream::Validation);
    let order = |pid: &i64| (draws(0).word(images_of.range(..pid).count() as u32), *pid);
    persons.sort_by_cached_key(order);

    let (mut held, mut query, mut others) = (BTreeSet::new(), Vec::new(), Vec::new());
    for pid in persons.iter().take(persons.len() / 2) {
        if query.len() >= queries {
            break;
        }
        let mut by_camera: BTreeMap<Option<i64>, Vec<&Sample>> = BTreeMap::new();
        images_of[pid].iter().for_each(|&sample| by_camera.entry(sample.camid).or_default().push(sample));
        // A query of a person with images of one camera only, or with a single image, has no match.
        if images_of[pid].len() < 2 || (by_camera.len() < 2 && !by_camera.contains_key(&None)) {
            continue;
        }
        held.insert(*pid);
        for images in by_camera.values() {
            let chosen = draws(1 + *pid as u64).word(query.len() as u32) as usize % images.len();
            for (i, &sample) in images.iter().enumerate() {
                if i == chosen { query.push(sample.clone()) } else { others.push(sample.clone()) }
            }
        }
    }
    if query.len() < queries || others.is_empty() {
        return Err(Error::Data(format!(
            "{}: half of its {} persons give {} query images, not {queries}; give a smaller --validation",
            dataset.root.display(),
            persons.len(),
            query.len()
        )));
    }
    query.truncate(queries);
    let train = dataset.train.iter().filter(|sample| !held.contains(&sample.pid)).cloned().collect();
    Ok(Dataset { train, query, gallery: others, tracklets: None, ..dataset.clone() })
}

//! Persons of the training part who are held out, in place of the test part.

use crate::data::{Dataset, Sample};
use crate::tensor::philox::{Philox, RngStream};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The rule that chooses the persons who are held out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldOut {
    /// How many images ask.
    pub queries: usize,
    /// The seed of the draw.
    pub seed: u64,
}

/// Holds out as many persons as it takes for the queries: a data set whose test part is made of them. Which persons
/// and images is a function of the seed.
///
/// # Errors
/// If that takes more than half of the persons.
pub fn hold_out(dataset: &Dataset, HeldOut { queries, seed }: HeldOut) -> Result<Dataset> {
    dataset.require_train()?;
    let mut images_of: BTreeMap<i64, Vec<&Sample>> = BTreeMap::new();
    dataset.train.iter().for_each(|sample| images_of.entry(sample.pid).or_default().push(sample));
    let mut persons: Vec<i64> = images_of.keys().copied().collect();
    let draws = |image: u64| Philox::new(seed, 0, image, RngStream::Validation);
    let order = |pid: &i64| (draws(0).word(images_of.range(..pid).count() as u32), *pid);
    persons.sort_by_cached_key(order);

    let (mut held, mut asking, mut others) = (BTreeSet::new(), Vec::new(), Vec::new());
    for pid in persons.iter().take(persons.len() / 2) {
        if asking.len() >= queries {
            break;
        }
        let mut by_camera: BTreeMap<Option<i64>, Vec<&Sample>> = BTreeMap::new();
        images_of[pid].iter().for_each(|&sample| by_camera.entry(sample.camid).or_default().push(sample));
        // A person under one camera finds nobody, and a single image even less.
        if images_of[pid].len() < 2 || (by_camera.len() < 2 && !by_camera.contains_key(&None)) {
            continue;
        }
        held.insert(*pid);
        for images in by_camera.values() {
            let chosen = draws(1 + *pid as u64).word(asking.len() as u32) as usize % images.len();
            for (i, &sample) in images.iter().enumerate() {
                if i == chosen { asking.push(sample.clone()) } else { others.push(sample.clone()) }
            }
        }
    }
    if asking.len() < queries || others.is_empty() {
        return Err(Error::Data(format!(
            "{}: half of its {} persons give {} images that can ask, not {queries}; give a smaller --validation",
            dataset.root.display(),
            persons.len(),
            asking.len()
        )));
    }
    asking.truncate(queries);
    let train = dataset.train.iter().filter(|sample| !held.contains(&sample.pid)).cloned().collect();
    Ok(Dataset { train, query: asking, gallery: others, ..dataset.clone() })
}

//! Several lists of features: their concatenation, and the conditions under which distances between them are
//! meaningful.

use super::{Features, Origin};
use crate::console::counted;
use crate::data::Labels;
use crate::error::excerpt;
use crate::{Error, Result, files};

/// Most characters of a layer's name that an error quotes.
const LONGEST_LAYER: usize = 40;

impl Features {
    /// The concatenation of several lists, in memory. If their origins or their weight files differ, those are unknown.
    ///
    /// # Errors
    /// [`Error::Data`] if there are no lists, if they differ in their number of values or come from different
    /// networks, or if only some of the persons have cameras.
    pub fn concat(parts: &[Features]) -> Result<Self> {
        let [first, others @ ..] = parts else {
            return Err(Error::Data("no features to concatenate; give at least one feature file".into()));
        };
        others.iter().try_for_each(|part| first.require_comparable(part))?;
        let all = |list: fn(&Features) -> &[i64]| parts.iter().flat_map(list).copied().collect::<Vec<i64>>();
        let rows: usize = parts.iter().map(Features::len).sum();
        let mut values = files::reserve(rows.saturating_mul(first.dim), "the features of all files")?;
        parts.iter().for_each(|part| values.extend_from_slice(part.features()));
        let paths = match parts.iter().all(|part| !part.paths.is_empty()) {
            true => parts.iter().flat_map(|part| part.paths.clone()).collect(),
            false => Vec::new(),
        };
        let agreed = |part: &Features| part.origin == first.origin;
        let origin = if others.iter().all(agreed) { first.origin.clone() } else { Origin::default() };
        let joined =
            |labels: Labels, part: &Features| labels.joined(&part.labels).map_err(numbered_otherwise);
        let labels = others.iter().try_fold(first.labels.clone(), joined)?;
        let is_same = |part: &Features| part.weights == first.weights;
        let weights = first.weights.clone().filter(|_| others.iter().all(is_same));
        Ok(Features::new(values, first.dim, all(Features::pids), all(Features::camids), paths)?
            .with_labels(labels)
            .with_origin(origin)
            .with_weights(weights))
    }

    /// Checks that distances to the rows of `other` are meaningful.
    ///
    /// # Errors
    /// [`Error::Data`] if the rows of `other` have another number of values, come from another layer or network or were
    /// extracted in another way.
    pub fn require_comparable(&self, other: &Features) -> Result<()> {
        let (own, others) = (&self.origin, &other.origin);
        let fault = if self.dim != other.dim {
            format!("some features have {} and others {}", counted(self.dim, "value"), other.dim)
        } else if let (Some(own), Some(others)) = (&own.layer, &others.layer)
            && own != others
        {
            let [own, others] = [own, others].map(|layer| excerpt(layer, LONGEST_LAYER));
            format!("the features come from two layers ({own} and {others})")
        } else if let (Some(own), Some(others)) = (&own.network, &others.network)
            && own != others
        {
            let short = |network: &str| network.chars().take(12).collect::<String>();
            format!("the features come from two networks ({} and {})", short(own), short(others))
        } else if let (Some(own), Some(others)) = (own.mirrored, others.mirrored)
            && own != others
        {
            "the mirrored image's feature was added to some of the features and not to others".to_string()
        } else {
            return self
                .labels
                .contradiction(&other.labels)
                .map_or(Ok(()), |why| Err(numbered_otherwise(why)));
        };
        Err(Error::Data(format!(
            "{fault}, so distances between them are meaningless; extract all features with the same network and \
             options"
        )))
    }
}

/// The error about lists whose names have other numbers.
fn numbered_otherwise(why: String) -> Error {
    Error::Data(format!(
        "the features name identities or cameras otherwise: {why}; extract them from one data set"
    ))
}

//! Where features come from: features of two networks must not be compared.

use crate::Result;
use crate::weights::TensorFile;
use std::collections::BTreeMap;

const NETWORK: &str = "network";
const MIRRORED: &str = "mirrored";
const POOLED: &str = "pooled";

/// Which network made the features and how, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The network, by [`crate::weights::NetworkFile::fingerprint`].
    pub network: Option<String>,
    /// Whether the feature of the mirrored image was added.
    pub mirrored: Option<bool>,
    /// How each feature was pooled of those of several images, if it was.
    pub pooled: Option<String>,
}

impl Origin {
    /// What a feature file's metadata says.
    pub(super) fn of(file: &TensorFile) -> Result<Self> {
        let mirrored = match file.metadata().get(MIRRORED).map(String::as_str) {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(other) => {
                return Err(
                    file.fault(format!("metadata {MIRRORED:?} is {other:?}; true or false is needed"))
                );
            }
        };
        let text = |key: &str| file.metadata().get(key).cloned();
        Ok(Origin { network: text(NETWORK), mirrored, pooled: text(POOLED) })
    }

    /// The same as metadata.
    pub(super) fn metadata(&self) -> BTreeMap<String, String> {
        let known = [
            (NETWORK, self.network.clone()),
            (MIRRORED, self.mirrored.map(|mirrored| mirrored.to_string())),
            (POOLED, self.pooled.clone()),
        ];
        known.into_iter().filter_map(|(key, value)| Some((key.to_string(), value?))).collect()
    }
}

//! The origin of features: features of different networks must not be compared.

use crate::Result;
use crate::console::counted;
use crate::weights::TensorFile;
use std::collections::BTreeMap;

const NETWORK: &str = "network";
const MIRRORED: &str = "mirrored";
const POOLED: &str = "pooled";
const LAYER: &str = "layer";
/// Most bytes of each of these texts.
const LONGEST: usize = 1024;

/// The origin of features: network and kind of extraction, as far as known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Fingerprint of the network, [`crate::weights::NetworkFile::fingerprint`].
    pub network: Option<String>,
    /// Whether the feature of the mirrored image was added.
    pub mirrored: Option<bool>,
    /// Kind of pooling over several images; `None` without pooling.
    pub pooled: Option<String>,
    /// The layer of the network whose output the features are, [`crate::model::Model::layer`].
    pub layer: Option<String>,
}

impl Origin {
    /// [`Origin::pooled`] of tracklets.
    pub const TRACKLETS: &str = "tracklet, mean of its frames";

    /// True for features of tracklets.
    pub fn is_of_tracklets(&self) -> bool {
        self.pooled.as_deref() == Some(Origin::TRACKLETS)
    }

    /// The origin in a feature file's metadata.
    pub(super) fn of(file: &TensorFile) -> Result<Self> {
        for key in [NETWORK, MIRRORED, POOLED, LAYER] {
            if let Some(long) = file.metadata().get(key).filter(|text| text.len() > LONGEST) {
                return Err(file.fault(format!(
                    "metadata {key:?} has {}, and at most {LONGEST} are read; write the file again with bcreid extract",
                    counted(long.len(), "byte")
                )));
            }
        }
        let mirrored = match file.metadata().get(MIRRORED).map(String::as_str) {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(other) => {
                return Err(
                    file.fault(format!("metadata {MIRRORED:?} is {other:?}; write \"true\" or \"false\""))
                );
            }
        };
        let text = |key: &str| file.metadata().get(key).cloned();
        Ok(Origin { network: text(NETWORK), mirrored, pooled: text(POOLED), layer: text(LAYER) })
    }

    /// The metadata of the origin.
    pub(super) fn metadata(&self) -> BTreeMap<String, String> {
        let known = [
            (NETWORK, self.network.clone()),
            (MIRRORED, self.mirrored.map(|mirrored| mirrored.to_string())),
            (POOLED, self.pooled.clone()),
            (LAYER, self.layer.clone()),
        ];
        known.into_iter().filter_map(|(key, value)| Some((key.to_string(), value?))).collect()
    }
}

//! Parts of checkpoints that a network here does not have: the one list of them.
//!
//! A part of the trunk cannot be left out, because all later weights depend on it. A part of the head can, with
//! `--without-head`: the trunk's weights are a start for training, and their features are those of pool5.

use crate::content::Source;
use crate::display::quoted;
use crate::{Error, Result};
use bcreid::model::pooling::EXPONENT;
use std::path::Path;

/// The option that leaves the head out.
const WITHOUT_HEAD: &str = "--without-head takes the network up to pool5, as a start for training";

/// Refuses parts of the trunk that a network here does not have.
///
/// # Errors
/// The name of the part and its first tensor.
pub(crate) fn check_trunk(source: &Source, path: &Path) -> Result<()> {
    let refuse = |name: &String, what: &str| {
        Err(Error::weights(
            path,
            format!(
                "has {what} ({}), which the network here does not have; give weights without it",
                quoted(name)
            ),
        ))
    };
    for name in source.tensors.keys() {
        let mut parts = name.split('.');
        let first = parts.next().unwrap_or_default();
        let is_norm = |part: &str| part.starts_with("bn");
        // IBN-a has it in bn1 alone.
        let of_ibn = |norm: &str, part: &str| part == "instance_norm" || (part == "IN" && norm != "bn1");
        if first.starts_with("NL_") {
            return refuse(name, "non-local blocks (WITH_NL, AGW)");
        }
        if name
            .split('.')
            .zip(name.split('.').skip(1))
            .any(|(norm, part)| is_norm(norm) && of_ibn(norm, part))
        {
            return refuse(name, "instance normalisation in other places than IBN-a's");
        }
        if first.starts_with("layer") && parts.nth(1) == Some("IN") {
            return refuse(name, "instance normalisation behind blocks (IBN-b)");
        }
    }
    Ok(())
}

/// Refuses parts of the head that change the feature and that a network here does not have.
///
/// # Errors
/// The name of the part and its first tensor, with the option that leaves the head out.
pub(crate) fn check_head(source: &Source, path: &Path) -> Result<()> {
    let refuse = |what: String| Err(Error::weights(path, format!("{what}; {WITHOUT_HEAD}")));
    if let Some(pooling) = &source.pooling {
        return refuse(format!(
            "is a network with the pooling {}, as the file {} beside it states, which the network here does not have",
            quoted(pooling),
            super::fast_reid::FILE
        ));
    }
    if let Some(exponent) = source.tensors.get(EXPONENT) {
        if exponent.shape != [1] {
            let shape = &exponent.shape;
            return refuse(format!(
                "has a generalised-mean pooling with exponents {shape:?}, and the network here has one for all channels"
            ));
        }
        let p = exponent.values()?[0];
        if !(p.is_finite() && p > 0.0) {
            return refuse(format!(
                "has a generalised-mean pooling with the exponent {p}; it must be above 0"
            ));
        }
    }
    if let Some(name) = foreign_embedding(source) {
        let shape = &source.tensors[name].shape;
        return refuse(format!(
            "has layers behind pool5 whose output is the feature, from {name} {shape:?} on, in another form than the \
             embeddings of torchreid, fast-reid and layumi's baseline"
        ));
    }
    Ok(())
}

/// The first tensor of an embedding that [`super::head`] did not read. A single layer `fc` is a classifier.
fn foreign_embedding(source: &Source) -> Option<&'static str> {
    let names = [
        "heads.bottleneck.0.weight",
        "heads.embedding.weight",
        "fc.0.weight",
        "classifier.add_block.0.weight",
    ];
    let rank = |name: &str| source.tensors.get(name).map(|tensor| tensor.shape.len());
    names.into_iter().find(|name| matches!(rank(name), Some(2 | 4)))
}

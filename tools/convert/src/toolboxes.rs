//! Checkpoints of re-identification toolboxes: fast-reid, reid-strong-baseline, torchreid, and detectron2's names.
//!
//! | part | names in the file | here |
//! |---|---|---|
//! | trunk | `backbone.conv1`, `base.conv1`, `module.conv1`, `stem.conv1`, `res2.0.conv1.norm` | `conv1`, `layer1.0.bn1` |
//! | pooling | `heads.pool_layer.p`, `global_pool.p` | `pool.p` |
//! | embedding | `fc.0`, `heads.bottleneck.0`, `classifier.add_block.0` | `embedding.0` |
//! | neck | `heads.bottleneck.0`, `heads.bottleneck`, `heads.bnneck.0`, `heads.bnneck`, `bottleneck` | `bottleneck` |
//! | classifier | `heads.weight`, `heads.classifier`, `classifier`, `fc` | left out |
//!
//! `crate::nesting` removes the prefixes. [`names`] has the names of trunk and neck, [`head`] those of pooling and
//! embedding, [`parts`] the parts that a network here does not have, and [`fast_reid`] the settings that fast-reid writes
//! beside a checkpoint.

pub(crate) mod fast_reid;
pub(crate) mod head;
mod names;
pub(crate) mod parts;

pub(crate) use names::translate;

use crate::content::{Source, SourceTensor};
use crate::{Result, nesting};
use bcreid::config::{Model, NeckKind};

/// The neck's layer: its tensors are `bottleneck.weight`, `.bias`, `.running_mean` and `.running_var`.
pub(crate) const NECK: &str = bcreid::model::neck::NECK;

/// True if the file has a batch-norm neck, after [`translate`].
pub(crate) fn has_neck(source: &Source) -> bool {
    let named = |name: &str| source.tensors.contains_key(&format!("{NECK}{name}"));
    named("weight") || named("running_mean")
}

/// Warnings about the features of a converted re-identification checkpoint, whose head is `model`'s.
///
/// # Errors
/// Values of the neck that cannot be read.
pub(crate) fn notes(source: &Source, model: &Model) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    if source.head.may_leak && !model.embedding.is_empty() {
        notes.push(
            "versions of layumi's baseline have a leaky ReLU (0.1) behind the batch normalisation of their embedding, which \
             names and shapes do not show: features of such weights differ here, and they are a start for training"
                .into(),
        );
    }
    if model.neck == NeckKind::None {
        return Ok(notes);
    }
    let shift = source.tensors.get(&format!("{NECK}bias")).map(SourceTensor::values).transpose()?;
    if shift.is_some_and(|shift| shift.iter().any(|&value| value != 0.0)) {
        notes.push(
            "its neck has a shift (bottleneck.bias), which features include and training here does not change".into(),
        );
    }
    let stripped = |prefix: &str| source.notes.iter().any(|note| *note == nesting::removed(prefix));
    if stripped("base.") {
        notes.push(
            "the ResNet of reid-strong-baseline (names base.*) has no ReLU behind bn1, and the network here has one: if \
             these weights are from there, features differ from that program's, and they are a start for training"
                .into(),
        );
    }
    Ok(notes)
}

//! Check that layers without a place in He's release do not change the output of pool5.
//!
//! Layers of a head are left out; a layer of the trunk must not be left out. The connections in the file decide: the
//! names of each layer's input and output blobs. They are used if pool5 depends on every layer that has a place in
//! the ResNet; then a layer belongs to the trunk if pool5 depends on it too. So a head may have a `bn_fc7`, or branch
//! off before pool5.
//!
//! For files without connections, without a layer called pool5, or with an unconnected layer, names and types decide: a
//! layer belongs to the trunk if its type is a convolution, a batch norm, a scale, a bias or a PReLU, or if its name
//! begins like those of the release (`conv1`, `res2` to `res5`,
//! `bn`, `scale`). What is left out then are inner products, such as `loss1_ip`, and unknown types.

use super::net::{Layer, Net};
use super::walk::{check_rectifier, check_sum, not_average};
use super::wire::Fault;
use prost::bytes::Bytes;
use std::collections::BTreeSet;

/// Name of the layer that outputs the features.
const POOL5: &str = "pool5";

/// Refuses the first of `others`, the layers with weights and without a place, that belongs to the trunk;
/// `placed` are the layers of the ResNet.
pub fn refuse_strays<'a>(
    net: &Net,
    mut placed: impl Iterator<Item = &'a Layer>,
    others: &[&Layer],
) -> Result<(), Fault> {
    let feeding = feeding_pool5(net).filter(|feeding| placed.all(|layer| feeding.contains(&layer.number)));
    let inside = |layer: &&&Layer| match &feeding {
        Some(feeding) if layer.wires() > 0 => feeding.contains(&layer.number),
        _ => looks_inside(layer),
    };
    match others.iter().find(inside) {
        None => Ok(()),
        Some(layer) => Err(format!(
            "{} has weights that would change the features and no place in a ResNet: {}, and by its layer names this \
             is not He's ResNet; name its layers as the release does (conv1, bn_conv1, scale_conv1, res2a_branch2a, \
             bn2a_branch2a, scale2a_branch2a ...), {}, or take this one out if it belongs to a head",
            layer.with_kind(),
            match net.is_described {
                true => "the wires of the prototxt lead from no convolution to an average pooling",
                false => "the file's wires lead from no convolution to an average pooling",
            },
            match net.is_described {
                true => "give its whole prototxt",
                false => "give the prototxt of its network (--prototxt)",
            }
        )),
    }
}

/// The layers that pool5 depends on; `None` without a pool5.
///
/// A layer reads only outputs of earlier layers, so one backward pass from pool5 finds them all. An in-place layer
/// writes the blob that it reads, and the pass continues with the layers that wrote it before.
fn feeding_pool5(net: &Net) -> Option<BTreeSet<usize>> {
    let at = net.layers.iter().rposition(|layer| layer.name == POOL5 && layer.wires() > 0)?;
    let mut read: BTreeSet<&Bytes> = net.layers[at].bottoms.iter().collect();
    let mut feeding = BTreeSet::new();
    for layer in net.layers[..at].iter().rev() {
        if layer.tops.iter().any(|top| read.contains(top)) {
            feeding.insert(layer.number);
            read.extend(&layer.bottoms);
        }
    }
    Some(feeding)
}

/// Refuses the first layer without weights that has a name of the trunk but another function than in a ResNet.
pub fn refuse_other_arithmetic(net: &Net) -> Result<(), Fault> {
    const OTHERS: [&str; 14] = [
        "AbsVal",
        "BNLL",
        "Clip",
        "ELU",
        "Exp",
        "LRN",
        "Log",
        "MVN",
        "PReLU",
        "Power",
        "Sigmoid",
        "Swish",
        "TanH",
        "Threshold",
    ];
    for layer in net.layers.iter().filter(|layer| layer.blobs.is_empty() && has_name_inside(layer)) {
        check_rectifier(layer)?;
        check_sum(layer)?;
        if OTHERS.contains(&layer.kind.as_str()) {
            return Err(format!("{} has a name of the trunk; a ResNet has no such layer", layer.with_kind()));
        }
    }
    let pool5 = net.layers.iter().rev().find(|layer| layer.name == POOL5);
    pool5.and_then(not_average).map_or(Ok(()), Err)
}

/// True if the name is that of a trunk's layer.
fn has_name_inside(layer: &Layer) -> bool {
    const NAMES: [&str; 7] = ["conv1", "res2", "res3", "res4", "res5", "bn", "scale"];
    NAMES.iter().any(|name| layer.name.starts_with(name))
}

/// True if name or type are those of a trunk's layer.
pub fn looks_inside(layer: &Layer) -> bool {
    const TYPES: [&str; 4] = ["BN", "Scale", "Bias", "PReLU"];
    let kind = layer.kind.to_ascii_lowercase();
    TYPES.contains(&layer.kind.as_str())
        || ["conv", "batchnorm"].iter().any(|part| kind.contains(part))
        || has_name_inside(layer)
}

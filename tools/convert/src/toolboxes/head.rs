//! The head of a re-identification checkpoint under the names of this program: pooling and embedding.
//!
//! | program | names | embedding |
//! |---|---|---|
//! | torchreid, `fc_dims` | `fc.0`, `fc.1`, `fc.3`, ... | for each width a linear layer, batch normalisation and a ReLU |
//! | fast-reid, `EMBEDDING_DIM` | `heads.bottleneck.0` | a 1 x 1 convolution without bias; `heads.bottleneck.1` is the neck |
//! | layumi's `ClassBlock` | `classifier.add_block.0`, `.1` | a linear layer and batch normalisation; perhaps a leaky ReLU |
//!
//! A layer of another form keeps its names, and [`super::parts::check_head`] refuses it.

use super::names::{OF_A_NORM, is_norm};
use crate::content::{Source, SourceTensor};
use bcreid::model::{embedding::EMBEDDING, neck::NECK, pooling::EXPONENT};
use std::collections::BTreeSet;

/// Properties of the layers between the last feature map and the neck.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head {
    /// Whether the last feature map is pooled by the generalised mean.
    pub gem: bool,
    /// Widths of the embedding's layers; empty without an embedding.
    pub embedding: Vec<usize>,
    /// Whether batch normalisation follows the last layer.
    pub batchnorm: bool,
    /// Whether a ReLU follows the last layer.
    pub relu: bool,
    /// Whether the last layer has a bias.
    pub bias: bool,
    /// Whether versions of the program have a leaky ReLU behind the embedding, which no tensor shows.
    pub may_leak: bool,
}

/// Names of the exponent of a generalised-mean pooling: of fast-reid, AGW, and others.
const EXPONENTS: [&str; 5] = ["heads.pool_layer.p", "global_pool.p", "gap.p", "pool.p", "gem.p"];
/// fast-reid's names of a generalised mean whose exponent is no parameter, and that exponent.
const FIXED_GEM: [&str; 2] = ["GeneralizedMeanPooling", "gempool"];
const FIXED_EXPONENT: f32 = 3.0;
/// fast-reid's names of a generalised mean with a learnt exponent.
const LEARNT_GEM: [&str; 2] = ["GeneralizedMeanPoolingP", "gempoolP"];

/// The starts of the names of fast-reid's and layumi's embeddings.
const FAST_REID: &str = "heads.bottleneck.";
const LAYUMI: &str = "classifier.add_block.";
/// The starts of the names of embeddings, and whether batch normalisation and a ReLU follow each layer.
const EMBEDDINGS: [(&str, bool); 3] = [("fc.", true), (FAST_REID, false), (LAYUMI, false)];
/// Layers have smaller numbers.
const NUMBERS: usize = 1000;

/// Gives pooling and embedding of a checkpoint their names here, and states their form in `source.head`.
pub(crate) fn apply(source: &mut Source) {
    pooling(source);
    if let Some((layer, relu)) = EMBEDDINGS.into_iter().find(|(start, _)| is_layer(source, start, 0)) {
        embedding(source, layer, relu);
    }
}

/// True if a linear layer, or a convolution of 1 x 1, has this number behind `start`.
fn is_layer(source: &Source, start: &str, number: usize) -> bool {
    let tensor = source.tensors.get(&format!("{start}{number}.weight"));
    tensor.is_some_and(|tensor| matches!(tensor.shape[..], [_, _] | [_, _, 1, 1]))
}

fn pooling(source: &mut Source) {
    let learnt = EXPONENTS.into_iter().find(|name| source.tensors.contains_key(*name));
    let stated = source.pooling.as_deref();
    let is_fixed = stated.is_some_and(|name| FIXED_GEM.contains(&name));
    match learnt {
        Some(name) => {
            let mut own = source.tensors.remove(name).expect("found above");
            if own.shape.is_empty() {
                own.shape = vec![1];
            }
            source.tensors.insert(EXPONENT.into(), own);
            source.notes.push(format!("read {name:?} as the exponent of the generalised mean (GeM)"));
        }
        None if is_fixed => {
            source
                .tensors
                .insert(EXPONENT.into(), SourceTensor::new(vec![1], "f32", || Ok(vec![FIXED_EXPONENT])));
            source.notes.push(format!(
                "its settings state a generalised mean with the fixed exponent {FIXED_EXPONENT}, which training here \
                 changes (solver.freeze=[\"{EXPONENT}\"] keeps it)"
            ));
        }
        None => return,
    }
    if is_fixed || stated.is_some_and(|name| LEARNT_GEM.contains(&name)) {
        source.pooling = None;
    }
    source.head.gem = true;
}

/// The numbers of the linear layers whose names begin with `start`, each with whether batch normalisation follows it;
/// `None` unless all of them have the form of an embedding here.
fn layers(source: &Source, start: &str, relu: bool) -> Option<Vec<(usize, bool)>> {
    let of_start = source.tensors.keys().filter(|name| name.starts_with(start));
    let numbers: BTreeSet<usize> =
        of_start.filter_map(|name| name[start.len()..].split('.').next()?.parse().ok()).collect();
    if numbers.last().is_none_or(|&last| last >= NUMBERS) {
        return None;
    }
    let has_norm = |layer: usize| is_norm(&source.tensors, &format!("{start}{}.", layer + 1));
    let linear = numbers.iter().filter(|&&number| is_layer(source, start, number));
    let layers: Vec<(usize, bool)> = linear.map(|&layer| (layer, has_norm(layer))).collect();
    let is_known =
        |number: &usize| layers.iter().any(|&(layer, norm)| *number == layer || norm && *number == layer + 1);
    // torchreid has batch normalisation and a ReLU behind each layer; the others have one layer.
    let has_form = if relu { layers.iter().all(|&(_, norm)| norm) } else { layers.len() == 1 };
    let has_bias_of_its_width = |&(layer, _): &(usize, bool)| {
        let [weight, bias] =
            ["weight", "bias"].map(|part| source.tensors.get(&format!("{start}{layer}.{part}")));
        bias.zip(weight).is_none_or(|(bias, weight)| bias.shape == weight.shape[..1])
    };
    // fast-reid of 2020 has a leaky ReLU behind its layers, and a neck of another name.
    let is_taken =
        |name: &String| name.starts_with(EMBEDDING) || start == FAST_REID && name.starts_with(NECK);
    let fits = numbers.iter().all(is_known)
        && has_form
        && layers.iter().all(has_bias_of_its_width)
        && !source.tensors.keys().any(is_taken);
    fits.then_some(layers)
}

/// Reads the layers whose names begin with `start` as the embedding, if they have the form of one here.
fn embedding(source: &mut Source, start: &str, relu: bool) {
    let Some(layers) = layers(source, start, relu) else { return };
    let is_fast_reid = start == FAST_REID;
    let (mut module, mut widths) = (0, Vec::new());
    for &(layer, has_norm) in &layers {
        let ours = format!("{EMBEDDING}{module}.");
        for part in ["weight", "bias"] {
            rename(source, format!("{start}{layer}.{part}"), format!("{ours}{part}"));
        }
        let weight = source.tensors.get_mut(&format!("{ours}weight")).expect("renamed above");
        weight.shape.truncate(2);
        widths.push(weight.shape[0]);
        if has_norm {
            let norm = if is_fast_reid { NECK.to_string() } else { format!("{EMBEDDING}{}.", module + 1) };
            for part in OF_A_NORM {
                rename(source, format!("{start}{}.{part}", layer + 1), format!("{norm}{part}"));
            }
            if !is_fast_reid {
                merge_bias(source, &ours, &norm);
            }
        }
        module += 1 + usize::from(has_norm) + usize::from(relu);
    }
    let has_norm = layers.last().is_some_and(|&(_, norm)| norm);
    let head = &mut source.head;
    head.batchnorm = has_norm && !is_fast_reid;
    head.bias = !head.batchnorm && source.tensors.contains_key(&format!("{EMBEDDING}0.bias"));
    (head.relu, head.may_leak) = (relu, start == LAYUMI);
    let behind = match (is_fast_reid && has_norm, relu) {
        (true, _) => " and its batch normalisation as the neck",
        (_, true) => ", with a ReLU behind each layer, as torchreid has it",
        _ => "",
    };
    source.notes.push(format!("read {:?} as the embedding {widths:?}{behind}", start.trim_end_matches('.')));
    head.embedding = widths;
}

fn rename(source: &mut Source, theirs: String, ours: String) {
    if let Some(tensor) = source.tensors.remove(&theirs) {
        source.tensors.insert(ours, tensor);
    }
}

/// Takes the bias of a layer out of the mean of the batch normalisation behind it, which changes no output: a layer in
/// front of batch normalisation has no bias here.
fn merge_bias(source: &mut Source, layer: &str, norm: &str) {
    let (bias, mean) = (format!("{layer}bias"), format!("{norm}running_mean"));
    let fits = |source: &Source| Some(source.tensors.get(&bias)?.shape == source.tensors.get(&mean)?.shape);
    if fits(source) != Some(true) {
        return;
    }
    let own = source.tensors.remove(&bias).expect("found above");
    let of_norm = source.tensors.remove(&mean).expect("found above");
    let (shape, dtype) = (of_norm.shape.clone(), of_norm.dtype);
    let without = move || {
        let pairs = of_norm.values()?.into_iter().zip(own.values()?);
        Ok(pairs.map(|(mean, bias)| mean - bias).collect())
    };
    source.tensors.insert(mean, SourceTensor::new(shape, dtype, without));
}

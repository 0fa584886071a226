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

/// Reads the layers whose names begin with `start` as the embedding, if they have the form of one here.
fn embedding(source: &mut Source, start: &str, relu: bool) {
    let is_fast_reid = start == FAST_REID;
    let of_start = source.tensors.keys().filter(|name| name.starts_with(start));
    let numbers = of_start.filter_map(|name| name[start.len()..].split('.').next()?.parse().ok());
    let mut numbers: Vec<usize> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.last().is_some_and(|&last| last >= NUMBERS) {
        return;
    }
    let has_norm = |layer: usize| is_norm(&source.tensors, &format!("{start}{}.", layer + 1));
    let layers: Vec<usize> = numbers.iter().copied().filter(|&n| is_layer(source, start, n)).collect();
    let norms: Vec<usize> = layers.iter().filter(|&&layer| has_norm(layer)).map(|layer| layer + 1).collect();
    let is_known = numbers.iter().all(|n| layers.contains(n) || norms.contains(n));
    // torchreid has batch normalisation and a ReLU behind each layer; the others have one layer.
    let has_form = if relu { norms.len() == layers.len() } else { layers.len() == 1 };
    let shape = |name: String| source.tensors.get(&name).map(|tensor| &tensor.shape);
    let biases_fit = layers.iter().all(|n| {
        let outputs = shape(format!("{start}{n}.weight")).map(|shape| shape[0]);
        shape(format!("{start}{n}.bias"))
            .is_none_or(|bias| Some(&bias[..]) == outputs.as_ref().map(std::slice::from_ref))
    });
    // fast-reid of 2020 has a leaky ReLU behind its layers, and a neck of another name.
    let is_taken = source
        .tensors
        .keys()
        .any(|name| name.starts_with(EMBEDDING) || is_fast_reid && name.starts_with(NECK));
    if !is_known || !has_form || !biases_fit || is_taken {
        return;
    }
    let widths: Vec<usize> =
        layers.iter().map(|n| source.tensors[&format!("{start}{n}.weight")].shape[0]).collect();
    let mut module = 0;
    for &layer in &layers {
        let has_norm = norms.contains(&(layer + 1));
        let ours = format!("{EMBEDDING}{module}.");
        for part in ["weight", "bias"] {
            rename(source, format!("{start}{layer}.{part}"), format!("{ours}{part}"));
        }
        let weight = source.tensors.get_mut(&format!("{ours}weight")).expect("renamed above");
        weight.shape.truncate(2);
        let norm = if is_fast_reid { NECK.to_string() } else { format!("{EMBEDDING}{}.", module + 1) };
        if has_norm {
            OF_A_NORM.iter().for_each(|part| {
                rename(source, format!("{start}{}.{part}", layer + 1), format!("{norm}{part}"))
            });
        }
        if has_norm && !is_fast_reid {
            merge_bias(source, &ours, &norm);
        }
        module += 1 + usize::from(has_norm) + usize::from(relu);
    }
    let last = layers[layers.len() - 1];
    source.head.batchnorm = norms.contains(&(last + 1)) && !is_fast_reid;
    source.head.bias = !source.head.batchnorm && source.tensors.contains_key(&format!("{EMBEDDING}0.bias"));
    source.head.relu = relu;
    source.head.may_leak = start == LAYUMI;
    let behind = match (is_fast_reid, norms.is_empty(), relu) {
        (true, false, _) => " and its batch normalisation as the neck",
        (_, _, true) => ", with a ReLU behind each layer, as torchreid has it",
        _ => "",
    };
    source.notes.push(format!("read {:?} as the embedding {widths:?}{behind}", start.trim_end_matches('.')));
    source.head.embedding = widths;
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

//! Merging of a `.caffemodel` with the prototxt of its network: weights from the model, connections and settings from
//! the prototxt.
//!
//! Layers are matched by name. Types, settings and connections that the model has too must be equal.

use super::graph::{Graph, Value};
use super::net::{Layer, Net};
use super::pixels::Pixels;
use super::settings::{Convolution, Pooling};
use super::trunk::looks_inside;
use super::wire::Fault;
use crate::display::quoted;
use bcreid::ops::batchnorm::EPS;
use std::collections::HashMap;

/// Merges two nets: the layers of `text` with the weights of `file`, then the file's layers with weights that `text`
/// lacks, without connections.
///
/// # Errors
/// A contradiction between the text and the file, by layer.
pub fn merge(file: Net, text: Net) -> Result<Net, Fault> {
    let mut described = text.layers;
    described.retain(|layer| !layer.is_for_training);
    described.iter_mut().zip(0..).for_each(|(layer, number)| layer.number = number);
    let mut at = HashMap::new();
    for layer in &described {
        if at.insert(layer.name.as_str(), layer.number).is_some() {
            return Err(format!("the prototxt has two layers called {}", quoted(&layer.name)));
        }
    }
    for own in &file.layers {
        match at.get(own.name.as_str()) {
            // Data and loss layers differ between training and deployment.
            Some(&number) if is_compared(own) => check(own, &described[number])?,
            Some(_) => {}
            None if !own.blobs.is_empty() && looks_inside(own) => {
                return Err(format!(
                    "{} has weights in the file and does not occur in the prototxt; give the whole prototxt of this \
                     network",
                    own.with_kind()
                ));
            }
            None => {}
        }
    }
    check_wires(&file.layers, &described, &at)?;

    let at: HashMap<String, usize> =
        at.into_iter().map(|(name, number)| (name.to_string(), number)).collect();
    let mut layers = described;
    for mut own in file.layers.into_iter().filter(|own| !own.blobs.is_empty()) {
        match at.get(&own.name) {
            Some(&number) if layers[number].blobs.is_empty() => layers[number].blobs = own.blobs,
            Some(_) => return Err(format!("two layers of the file are called {}", quoted(&own.name))),
            None => {
                (own.bottoms, own.tops) = Default::default();
                own.number = layers.len();
                layers.push(own);
            }
        }
    }
    let pixels = Pixels::merge(file.pixels, text.pixels)?;
    let (count, map, v1) = (layers.len(), text.map, file.v1);
    Ok(Net { count, layers, map, pixels, is_described: true, v1, v0: false })
}

/// Checks that a layer of the file agrees with the prototxt.
fn check(own: &Layer, described: &Layer) -> Result<(), Fault> {
    if !own.kind.is_empty() && own.kind != described.kind {
        let stated = match described.kind.as_str() {
            "" => "has no type".to_string(),
            kind => format!("is of type {}", quoted(kind)),
        };
        return Err(format!("{} {stated} in the prototxt", own.with_kind()));
    }
    // In the order of the messages below.
    let convolution = |layer: &Layer| layer.convolution.as_deref().map(convolution_settings);
    let pooling = |layer: &Layer| layer.pooling.as_deref().map(pooling_settings);
    let differs = if let (Some(own), Some(described)) = (convolution(own), convolution(described)) {
        own.into_iter().zip(described).find(|(own, described)| own != described)
    } else if let (Some(own), Some(described)) = (pooling(own), pooling(described)) {
        own.into_iter().zip(described).find(|(own, described)| own != described)
    } else {
        let eps = |layer: &Layer| ("epsilon", format!("{:e}", layer.eps.unwrap_or(EPS)));
        let slope = |layer: &Layer| ("slope below 0", format!("{}", layer.negative_slope));
        let transposed = |layer: &Layer| ("transpose", format!("{}", layer.transposed));
        let settings = |layer: &Layer| [eps(layer), slope(layer), transposed(layer)];
        settings(own).into_iter().zip(settings(described)).find(|(own, described)| own != described)
    };
    if let Some(((what, of_file), (_, of_text))) = differs {
        return Err(format!(
            "{} has {what} {of_file} in the file and {of_text} in the prototxt",
            own.with_kind()
        ));
    }
    match (&own.eltwise, &described.eltwise) {
        (Some(own_sum), Some(sum)) if own_sum != sum => {
            Err(format!("{} has other settings in the file than in the prototxt", own.with_kind()))
        }
        _ => Ok(()),
    }
}

fn convolution_settings(settings: &Convolution) -> Vec<(&'static str, String)> {
    vec![
        ("stride", format!("{:?}", settings.stride_hw())),
        ("pad", format!("{:?}", settings.pad_hw())),
        ("dilation", format!("{:?}", settings.dilation_hw())),
        ("group", settings.groups().to_string()),
    ]
}

fn pooling_settings(settings: &Pooling) -> Vec<(&'static str, String)> {
    vec![
        ("maximum", settings.is_max().to_string()),
        ("average", settings.is_average().to_string()),
        ("global_pooling", settings.is_global().to_string()),
        ("kernel", format!("{:?}", settings.kernel_hw())),
        ("stride", format!("{:?}", settings.stride_hw())),
        ("pad", format!("{:?}", settings.pad_hw())),
        ("rounding up", settings.is_ceil().to_string()),
    ]
}

/// Source of a value.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source<'a> {
    Data,
    Layer(&'a str),
}

/// Checks that the layers that both nets have read the outputs of the same layers, as far as the file states it.
/// Names of blobs, `Split` and `Dropout` layers may differ.
fn check_wires(own: &[Layer], described: &[Layer], at: &HashMap<&str, usize>) -> Result<(), Fault> {
    let (of_file, of_text) = (Graph::new(own), Graph::new(described));
    for layer in own.iter().filter(|layer| is_compared(layer)) {
        let Some(&number) = at.get(layer.name.as_str()) else { continue };
        let inputs = of_file.inputs(layer.number);
        if inputs.is_empty() || inputs.iter().any(|&value| of_file.writer(value).is_none()) {
            continue;
        }
        let (found, stated) = (sources(&of_file, inputs), sources(&of_text, of_text.inputs(number)));
        if found != stated {
            return Err(format!(
                "{} reads the output of {} in the file and of {} in the prototxt",
                layer.with_kind(),
                listed(&found),
                listed(&stated)
            ));
        }
    }
    Ok(())
}

/// True if a layer of the file can be part of a trunk.
fn is_compared(layer: &Layer) -> bool {
    !layer.blobs.is_empty() || ["Eltwise", "Pooling", "ReLU"].contains(&layer.kind.as_str())
}

/// Sources of the values, in the order of names.
fn sources<'a>(graph: &Graph<'a>, values: &[Value]) -> Vec<Source<'a>> {
    let source = |&value: &Value| match graph.writer(value) {
        Some(writer) if !graph.inputs(writer).is_empty() => Source::Layer(&graph.layer(writer).name),
        _ => Source::Data,
    };
    let mut sources: Vec<Source<'_>> = values.iter().map(source).collect();
    sources.sort();
    sources
}

fn listed(sources: &[Source<'_>]) -> String {
    let name = |source: &Source<'_>| match source {
        Source::Data => "the data".to_string(),
        Source::Layer(name) => quoted(name),
    };
    match sources {
        [] => "nothing".into(),
        _ => sources.iter().take(3).map(name).collect::<Vec<_>>().join(" and "),
    }
}

//! Graph of a net: the layers and the values that connect them.
//!
//! Caffe computes layers in the file's order and knows a blob by its name: a layer reads what the last layer before it
//! wrote under that name. A layer that works in place writes the name it reads, so one name stands for several values
//! one after the other. Here every value is distinct, and a reader always comes after its writer: there are no cycles.
//! `Split` layers, which Caffe adds where a blob has several readers, and `Dropout` layers, which pass their
//! input on when the network is not in training, write the value that they read.

use super::net::Layer;
use crate::display::quoted;
use prost::bytes::Bytes;
use std::collections::HashMap;

/// Index of a value.
pub type Value = usize;

/// Types of layers that output their input unchanged.
const IDENTITIES: [&str; 2] = ["Split", "Dropout"];

/// The values of a net, with their writers and readers.
#[derive(Debug)]
pub struct Graph<'a> {
    layers: &'a [Layer],
    /// Inputs and outputs of each layer, in the order of the file.
    nodes: Vec<Node>,
    values: Vec<Written>,
}

#[derive(Debug, Default)]
struct Node {
    inputs: Vec<Value>,
    outputs: Vec<Value>,
}

#[derive(Debug)]
struct Written {
    /// Name of the blob.
    name: Bytes,
    /// Index of the layer that writes the value; `None` if no layer before the first reader writes it.
    writer: Option<usize>,
    /// Indices of the layers that read the value, with repetitions.
    readers: Vec<usize>,
}

impl<'a> Graph<'a> {
    /// Builds the graph of a net's layers in time proportional to the number of connections.
    pub fn new(layers: &'a [Layer]) -> Self {
        let mut graph = Graph { layers, nodes: Vec::with_capacity(layers.len()), values: Vec::new() };
        let mut current: HashMap<&Bytes, Value> = HashMap::new();
        for (number, layer) in layers.iter().enumerate() {
            let mut node = Node::default();
            for name in &layer.bottoms {
                let value = *current.entry(name).or_insert_with(|| graph.add(name, None));
                node.inputs.push(value);
            }
            let identity = IDENTITIES.contains(&layer.kind.as_str()) && node.inputs.len() == 1;
            for name in &layer.tops {
                let value = if identity { node.inputs[0] } else { graph.add(name, Some(number)) };
                current.insert(name, value);
                node.outputs.push(value);
            }
            if !identity {
                node.inputs.iter().for_each(|&value| graph.values[value].readers.push(number));
            }
            graph.nodes.push(node);
        }
        graph
    }

    fn add(&mut self, name: &Bytes, writer: Option<usize>) -> Value {
        self.values.push(Written { name: name.clone(), writer, readers: Vec::new() });
        self.values.len() - 1
    }

    /// The layer with an index.
    pub fn layer(&self, number: usize) -> &'a Layer {
        &self.layers[number]
    }

    /// Input values of a layer, in order.
    pub fn inputs(&self, number: usize) -> &[Value] {
        &self.nodes[number].inputs
    }

    /// Output values of a layer, in order.
    pub fn outputs(&self, number: usize) -> &[Value] {
        &self.nodes[number].outputs
    }

    /// Index of the layer that writes a value; `None` for inputs of the net.
    pub fn writer(&self, value: Value) -> Option<usize> {
        self.values[value].writer
    }

    /// Indices of the layers that read a value, in the file's order.
    pub fn readers(&self, value: Value) -> &[usize] {
        &self.values[value].readers
    }

    /// Name of the blob, for a message.
    pub fn name(&self, value: Value) -> String {
        quoted(&String::from_utf8_lossy(&self.values[value].name))
    }

    /// Number of convolutions on the longest path to each layer, the layer itself included.
    pub fn depths(&self) -> Vec<usize> {
        let mut depths: Vec<usize> = Vec::with_capacity(self.nodes.len());
        for (layer, node) in self.layers.iter().zip(&self.nodes) {
            let writers = node.inputs.iter().filter_map(|&value| self.writer(value));
            let before = writers.map(|writer| depths[writer]).max().unwrap_or(0);
            depths.push(before + usize::from(layer.kind == "Convolution"));
        }
        depths
    }

    /// Error message for a layer that reads the output of a later layer, which Caffe cannot compute. An in-place
    /// layer on the net's input is no such case.
    pub fn disorder(&self) -> Option<String> {
        let mut first: HashMap<&Bytes, usize> = HashMap::new();
        for value in self.values.iter().filter(|value| value.writer.is_none()) {
            if let Some(&reader) = value.readers.first() {
                first.insert(&value.name, reader);
            }
        }
        let late = self.layers.iter().enumerate().find_map(|(number, layer)| {
            let is_late = |top: &&Bytes| {
                first.get(top).is_some_and(|&reader| reader < number) && !layer.bottoms.contains(top)
            };
            layer.tops.iter().find(is_late).map(|top| (&self.layers[first[top]], layer, top))
        });
        late.map(|(reader, writer, blob)| {
            format!(
                "{} reads blob {}, which {} behind it writes: Caffe computes layers in the order of the file, and here \
                 they stand in another",
                reader.with_kind(),
                quoted(&String::from_utf8_lossy(blob)),
                writer.with_kind()
            )
        })
    }

    /// For each layer, true if the layer with this index depends on it; a layer depends on itself.
    pub fn feeding(&self, number: usize) -> Vec<bool> {
        let mut feeding = vec![false; self.nodes.len()];
        feeding[number] = true;
        // Writers come before readers.
        for at in (0..=number).rev() {
            if feeding[at] {
                let writers = self.nodes[at].inputs.iter().filter_map(|&value| self.writer(value));
                writers.for_each(|writer| feeding[writer] = true);
            }
        }
        feeding
    }
}

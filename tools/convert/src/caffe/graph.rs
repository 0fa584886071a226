//! Which layer reads what which layer wrote.
//!
//! Caffe computes layers in the file's order and knows a blob by its name: a layer reads what the last layer before it
//! wrote under that name. A layer that works in place writes the name it reads, so one name stands for several values
//! one after the other. Here every value is one of its own, and a reader is always behind its writer: there are no
//! cycles. `Split` layers, which Caffe adds where a blob has several readers, and `Dropout` layers, which pass their
//! input on when the network is not in training, write the value that they read.

use super::net::Layer;
use prost::bytes::Bytes;
use std::collections::HashMap;

/// The number of a value.
pub type Value = usize;

/// The layers that write the value they read.
const IDENTITIES: [&str; 2] = ["Split", "Dropout"];

/// The values of a net, with their writers and readers.
#[derive(Debug)]
pub struct Graph<'a> {
    layers: &'a [Layer],
    /// What each layer reads and writes, in the order of the file.
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
    /// The blob's name.
    name: Bytes,
    /// The number of its layer; none if no layer before the first reader wrote that name.
    writer: Option<usize>,
    /// The numbers of the layers that read it, a layer that reads it twice twice.
    readers: Vec<usize>,
}

impl<'a> Graph<'a> {
    /// The graph of a net's layers. Takes time in proportion to its wires.
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

    /// The layer of that number.
    pub fn layer(&self, number: usize) -> &'a Layer {
        &self.layers[number]
    }

    /// What a layer reads, in its order.
    pub fn inputs(&self, number: usize) -> &[Value] {
        &self.nodes[number].inputs
    }

    /// What a layer writes, in its order.
    pub fn outputs(&self, number: usize) -> &[Value] {
        &self.nodes[number].outputs
    }

    /// The number of the layer that writes a value; none if the net does not compute it.
    pub fn writer(&self, value: Value) -> Option<usize> {
        self.values[value].writer
    }

    /// The numbers of the layers that read a value, in the file's order.
    pub fn readers(&self, value: Value) -> &[usize] {
        &self.values[value].readers
    }

    /// The blob's name, for a message.
    pub fn name(&self, value: Value) -> String {
        super::wire::shown(&String::from_utf8_lossy(&self.values[value].name))
    }

    /// How many convolutions lie on the longest way to each layer, itself included.
    pub fn depths(&self) -> Vec<usize> {
        let mut depths: Vec<usize> = Vec::with_capacity(self.nodes.len());
        for (layer, node) in self.layers.iter().zip(&self.nodes) {
            let writers = node.inputs.iter().filter_map(|&value| self.writer(value));
            let before = writers.map(|writer| depths[writer]).max().unwrap_or(0);
            depths.push(before + usize::from(layer.kind == "Convolution"));
        }
        depths
    }

    /// That a layer reads what one behind it writes, in which order Caffe computes nothing. A layer that works in place on
    /// the net's input writes what it reads, and is none.
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
                super::wire::shown(&String::from_utf8_lossy(blob)),
                writer.with_kind()
            )
        })
    }

    /// Whether each layer is one that the layer of that number is computed from; that layer itself is.
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

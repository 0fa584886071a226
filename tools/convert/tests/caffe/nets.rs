//! Whole ResNets with made-up names, as a `.caffemodel` and as a prototxt, to be changed layer by layer.

mod builder;
mod layer;

pub use layer::{Layer, Setting};

/// Properties of a made-up ResNet.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub bottleneck: bool,
    pub depths: [usize; 4],
    pub width: i64,
    pub stem: i64,
    pub torchvision: bool,
    pub last_stride: i64,
    pub biases: bool,
    pub scales: bool,
    /// The projection comes before the branch, in the file and in the sum.
    pub shortcut_first: bool,
    /// ReLU, BatchNorm and Scale write what they read.
    pub in_place: bool,
    /// `Split` layers, as Caffe adds them where a blob is read twice.
    pub splits: bool,
}

impl Default for Kind {
    fn default() -> Self {
        Kind {
            bottleneck: true,
            depths: [1, 2, 1, 1],
            width: 2,
            stem: 2,
            torchvision: false,
            last_stride: 2,
            biases: false,
            scales: true,
            shortcut_first: true,
            in_place: true,
            splits: false,
        }
    }
}

/// A net, and the value of each convolution under torchvision's name.
#[derive(Clone, Debug)]
pub struct Net {
    pub layers: Vec<Layer>,
    pub convolutions: Vec<(String, f32)>,
}

impl Net {
    pub fn new(kind: Kind) -> Self {
        builder::build(kind)
    }

    /// Changes the layer of that name.
    pub fn with(mut self, name: &str, change: impl FnOnce(&mut Layer)) -> Self {
        change(self.at(name));
        self
    }

    pub fn at(&mut self, name: &str) -> &mut Layer {
        let found = self.layers.iter_mut().find(|layer| layer.name == name);
        found.unwrap_or_else(|| panic!("no layer {name}"))
    }

    /// Takes a layer out; what read its top reads its bottom.
    pub fn without(mut self, name: &str) -> Self {
        let at = self.layers.iter().position(|layer| layer.name == name).unwrap();
        let gone = self.layers.remove(at);
        for layer in &mut self.layers[at..] {
            layer
                .bottoms
                .iter_mut()
                .filter(|b| **b == gone.tops[0])
                .for_each(|b| *b = gone.bottoms[0].clone());
        }
        self
    }

    /// Takes out all layers whose names begin so; what read the last sum of them reads their input.
    pub fn without_blocks(mut self, place: &str) -> Self {
        let first = self.layers.iter().position(|layer| layer.name.starts_with(place)).unwrap();
        let input = self.layers[first].bottoms[0].clone();
        let last = self.layers.iter().rposition(|layer| layer.name.starts_with(place)).unwrap();
        let output = self.layers[last].tops[0].clone();
        self.layers.drain(first..=last);
        for bottom in self.layers.iter_mut().flat_map(|layer| &mut layer.bottoms).filter(|b| **b == output) {
            bottom.clone_from(&input);
        }
        self
    }

    /// Gives all layers and blobs other names.
    pub fn renamed(mut self, rename: impl Fn(&str) -> String) -> Self {
        for layer in &mut self.layers {
            layer.name = rename(&layer.name);
            layer.bottoms.iter_mut().chain(&mut layer.tops).for_each(|name| *name = rename(name));
        }
        self
    }

    /// Puts a layer before the one of that name, or at the end.
    pub fn insert(mut self, before: Option<&str>, layer: Layer) -> Self {
        let at = before.map_or(self.layers.len(), |name| {
            self.layers.iter().position(|layer| layer.name == name).unwrap()
        });
        self.layers.insert(at, layer);
        self
    }

    /// The `.caffemodel`.
    pub fn model(&self) -> Vec<u8> {
        self.layers.iter().flat_map(|layer| layer.wire(true)).collect()
    }

    /// A `.caffemodel` without wires, which a prototxt can give.
    pub fn unwired(&self) -> Vec<u8> {
        self.layers.iter().flat_map(|layer| layer.wire(false)).collect()
    }

    /// The prototxt.
    pub fn text(&self) -> String {
        let layers: String = self.layers.iter().map(Layer::text).collect();
        format!("name: \"made up\" # by a test\n{layers}")
    }
}

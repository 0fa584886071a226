//! Whole ResNets with made-up names, as a `.caffemodel` and as a prototxt, to be changed layer by layer.

use crate::proto::{blob, data, integer, real};

/// A layer, to be changed before it is written.
#[derive(Clone, Debug)]
pub struct Layer {
    pub name: String,
    pub kind: &'static str,
    pub bottoms: Vec<String>,
    pub tops: Vec<String>,
    /// Dims of the blobs.
    pub shapes: Vec<Vec<i64>>,
    /// The value of the first blob, in all its places; the others hold 1.
    pub value: f32,
    pub settings: Vec<(&'static str, Setting)>,
}

/// A value of a layer's settings.
#[derive(Clone, Copy, Debug)]
pub enum Setting {
    Whole(i64),
    Real(f32),
    /// A word of the text, and its number.
    Word(&'static str, i64),
}

use Setting::{Real, Whole, Word};

/// The message of a layer's settings, its number in LayerParameter, and the numbers of its fields.
fn message(kind: &str) -> (&'static str, u64, &'static [(&'static str, u64)]) {
    match kind {
        "Convolution" => (
            "convolution_param",
            106,
            &[
                ("num_output", 1),
                ("bias_term", 2),
                ("pad", 3),
                ("kernel_size", 4),
                ("group", 5),
                ("stride", 6),
                ("dilation", 18),
            ],
        ),
        "Pooling" => (
            "pooling_param",
            121,
            &[
                ("pool", 1),
                ("kernel_size", 2),
                ("stride", 3),
                ("pad", 4),
                ("global_pooling", 12),
                ("round_mode", 13),
            ],
        ),
        "Eltwise" => ("eltwise_param", 110, &[("operation", 1), ("coeff", 2)]),
        "ReLU" => ("relu_param", 123, &[("negative_slope", 1)]),
        "BatchNorm" => ("batch_norm_param", 139, &[("use_global_stats", 1), ("eps", 3)]),
        "MemoryData" => ("memory_data_param", 119, &[("height", 3), ("width", 4)]),
        _ => ("some_param", 900, &[]),
    }
}

impl Layer {
    pub fn new(name: &str, kind: &'static str, bottoms: &[&str], top: &str) -> Self {
        Layer {
            name: name.into(),
            kind,
            bottoms: bottoms.iter().map(|name| name.to_string()).collect(),
            tops: vec![top.into()],
            shapes: Vec::new(),
            value: 1.0,
            settings: Vec::new(),
        }
    }

    pub fn set(&mut self, key: &'static str, value: Setting) {
        self.settings.retain(|(old, _)| *old != key);
        self.settings.push((key, value));
    }

    fn wire(&self, wired: bool) -> Vec<u8> {
        let (_, number, fields) = message(self.kind);
        let number_of = |key| fields.iter().find(|(field, _)| *field == key).unwrap().1;
        let settings = self.settings.iter().flat_map(|&(key, value)| match value {
            Whole(value) | Word(_, value) => integer(number_of(key), value),
            Real(value) => real(number_of(key), value),
        });
        let settings: Vec<u8> = settings.collect();
        let mut out = [data(1, &self.name), data(2, self.kind)].concat();
        if wired {
            out.extend(self.bottoms.iter().flat_map(|bottom| data(3, bottom)));
            out.extend(self.tops.iter().flat_map(|top| data(4, top)));
        }
        for (at, shape) in self.shapes.iter().enumerate() {
            let count = shape.iter().product::<i64>() as usize;
            out.extend(data(7, blob(shape, &vec![if at == 0 { self.value } else { 1.0 }; count])));
        }
        if !settings.is_empty() {
            out.extend(data(number, settings));
        }
        data(100, out)
    }

    fn text(&self) -> String {
        let quoted = |key: &str, values: &[String]| -> String {
            values.iter().map(|value| format!("  {key}: \"{value}\"\n")).collect()
        };
        let mut out = format!("layer {{\n  name: \"{}\"\n  type: \"{}\"\n", self.name, self.kind);
        out += &quoted("bottom", &self.bottoms);
        out += &quoted("top", &self.tops);
        if !self.settings.is_empty() {
            let settings = self.settings.iter().map(|(key, value)| match value {
                Whole(value) if key.ends_with("_term") || key.starts_with("global") => {
                    format!(" {key}: {}", *value == 1)
                }
                Whole(value) => format!(" {key}: {value}"),
                Real(value) => format!(" {key}: {value:?}"),
                Word(word, _) => format!(" {key}: {word}"),
            });
            out += &format!("  {} {{{} }}\n", message(self.kind).0, settings.collect::<String>());
        }
        out + "}\n"
    }
}

/// What a made-up ResNet is like.
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
        let mut builder = Builder {
            kind,
            net: Net {
                layers: vec![Layer::new("pictures", "Input", &[], "pictures")],
                convolutions: Vec::new(),
            },
        };
        builder.build();
        builder.net
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

struct Builder {
    kind: Kind,
    net: Net,
}

/// A convolution to be: its name, torchvision's, channels read and written, kernel, stride.
struct Convolution<'a> {
    name: String,
    torchvision: String,
    bottom: &'a str,
    channels: [i64; 2],
    kernel: i64,
    stride: i64,
    relu: bool,
}

impl Builder {
    /// Adds a layer and gives the name of its top.
    fn add(&mut self, name: &str, kind: &'static str, bottom: &str, shapes: &[&[i64]]) -> String {
        let top = if self.kind.in_place { bottom } else { name };
        let mut layer = Layer::new(name, kind, &[bottom], top);
        layer.shapes = shapes.iter().map(|shape| shape.to_vec()).collect();
        self.net.layers.push(layer);
        top.to_string()
    }

    fn convolution(&mut self, convolution: Convolution<'_>) -> String {
        let Convolution { name, torchvision, bottom, channels: [from, to], kernel, stride, relu } =
            convolution;
        let mut layer = Layer::new(&name, "Convolution", &[bottom], &name);
        layer.shapes = vec![vec![to, from, kernel, kernel]];
        if self.kind.biases {
            layer.shapes.push(vec![to]);
        }
        layer.value = (self.net.convolutions.len() + 2) as f32;
        let bias = i64::from(self.kind.biases);
        for (key, value) in [
            ("num_output", to),
            ("kernel_size", kernel),
            ("stride", stride),
            ("pad", kernel / 2),
            ("bias_term", bias),
        ] {
            layer.set(key, Whole(value));
        }
        self.net.convolutions.push((torchvision, layer.value));
        self.net.layers.push(layer);
        let mut top = self.add(&format!("{name}/norm"), "BatchNorm", &name, &[&[to], &[to], &[1]]);
        if self.kind.scales {
            top = self.add(&format!("{name}/gain"), "Scale", &top, &[&[to], &[to]]);
        }
        if relu { self.add(&format!("{name}/rect"), "ReLU", &top, &[]) } else { top }
    }

    /// A blob for each of two readers.
    fn both(&mut self, name: &str, blob: String) -> [String; 2] {
        if !self.kind.splits {
            return [blob.clone(), blob];
        }
        let mut split = Layer::new(&format!("{name}_split"), "Split", &[&blob], &format!("{name}_split_0"));
        split.tops.push(format!("{name}_split_1"));
        let tops = [0, 1].map(|at| split.tops[at].clone());
        self.net.layers.push(split);
        tops
    }

    fn build(&mut self) {
        let Kind { stem, width, depths, torchvision, .. } = self.kind;
        let stem = self.convolution(Convolution {
            name: "first".into(),
            torchvision: "conv1".into(),
            bottom: "pictures",
            channels: [3, stem],
            kernel: 7,
            stride: 2,
            relu: true,
        });
        let mut pool = Layer::new("shrink", "Pooling", &[&stem], "shrink");
        let (pad, rounding) = if torchvision { (1, Word("FLOOR", 1)) } else { (0, Word("CEIL", 0)) };
        for (key, value) in [
            ("pool", Word("MAX", 0)),
            ("kernel_size", Whole(3)),
            ("stride", Whole(2)),
            ("pad", Whole(pad)),
            ("round_mode", rounding),
        ] {
            pool.set(key, value);
        }
        self.net.layers.push(pool);
        let (mut blob, mut channels) = ("shrink".to_string(), self.kind.stem);
        for (stage, &depth) in depths.iter().enumerate() {
            for block in 0..depth {
                let stride = match (block, stage) {
                    (0, 1 | 2) => 2,
                    (0, 3) => self.kind.last_stride,
                    _ => 1,
                };
                (blob, channels) = self.block(stage, block, blob, [channels, width << stage], stride);
            }
        }
        let mut pool = Layer::new("mean", "Pooling", &[&blob], "mean");
        pool.set("pool", Word("AVE", 1));
        pool.set("global_pooling", Whole(1));
        self.net.layers.push(pool);
        let mut classes = Layer::new("who", "InnerProduct", &["mean"], "who");
        classes.shapes = vec![vec![5, channels], vec![5]];
        self.net.layers.push(classes);
    }

    fn block(
        &mut self,
        stage: usize,
        block: usize,
        blob: String,
        [from, inner]: [i64; 2],
        stride: i64,
    ) -> (String, i64) {
        let place = format!("s{stage}b{block}");
        let [left, right] = self.both(&place, blob);
        let to = if self.kind.bottleneck { 4 * inner } else { inner };
        let project = |this: &mut Self| -> String {
            if stride == 1 && from == to {
                return left.clone();
            }
            this.convolution(Convolution {
                name: format!("{place}/side"),
                torchvision: format!("layer{}.{block}.downsample.0", stage + 1),
                bottom: &left,
                channels: [from, to],
                kernel: 1,
                stride,
                relu: false,
            })
        };
        let early = self.kind.shortcut_first.then(|| project(self));
        // Channels read and written, kernel, stride.
        let (first, second) =
            if self.kind.torchvision && self.kind.bottleneck { (1, stride) } else { (stride, 1) };
        let convolutions = if self.kind.bottleneck {
            vec![([from, inner], 1, first), ([inner, inner], 3, second), ([inner, to], 1, 1)]
        } else {
            vec![([from, inner], 3, first), ([inner, to], 3, second)]
        };
        let (mut branch, last) = (right, convolutions.len());
        for ((channels, kernel, stride), n) in convolutions.into_iter().zip(1..) {
            branch = self.convolution(Convolution {
                name: format!("{place}/main{n}"),
                torchvision: format!("layer{}.{block}.conv{n}", stage + 1),
                bottom: &branch,
                channels,
                kernel,
                stride,
                relu: n < last,
            });
        }
        let inputs = match early {
            Some(side) => [side, branch],
            None => [branch, project(self)],
        };
        let name = format!("{place}/sum");
        self.net.layers.push(Layer::new(&name, "Eltwise", &[&inputs[0], &inputs[1]], &name));
        (self.add(&format!("{place}/out"), "ReLU", &name, &[]), to)
    }
}

//! A layer, as the message of a `.caffemodel` and as the text of a prototxt.

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
    /// Fields of the layer itself, as the message has them and as the text does.
    pub more: (Vec<u8>, &'static str),
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
                ("axis", 16),
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
        "Scale" => ("scale_param", 142, &[("axis", 1), ("num_axes", 2), ("bias_term", 4)]),
        "Reduction" => ("reduction_param", 136, &[("operation", 1), ("axis", 2), ("coeff", 3)]),
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
            more: Default::default(),
        }
    }

    pub fn set(&mut self, key: &'static str, value: Setting) {
        self.settings.retain(|(old, _)| *old != key);
        self.settings.push((key, value));
    }

    pub fn wire(&self, wired: bool) -> Vec<u8> {
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
        out.extend(&self.more.0);
        data(100, out)
    }

    pub fn text(&self) -> String {
        let quoted = |key: &str, values: &[String]| -> String {
            values.iter().map(|value| format!("  {key}: \"{value}\"\n")).collect()
        };
        let mut out = format!("layer {{\n  name: \"{}\"\n  type: \"{}\"\n", self.name, self.kind);
        out += &quoted("bottom", &self.bottoms);
        out += &quoted("top", &self.tops);
        out += self.more.1;
        if !self.settings.is_empty() {
            let settings = self.settings.iter().map(|(key, value)| match value {
                Whole(value) if key.ends_with("_term") || key.contains("global") => {
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

//! Export of a network as an ONNX file: conv1 to pool5, the layers behind it, and the L2 normalisation.
//!
//! The graph includes the input normalisation and the L2 normalisation of the features: it takes decoded images and
//! returns features that can be compared. For programs that normalise the images themselves ([`Pixels::Normalised`]) it
//! takes normalised images. Batch normalisation is folded into the convolutions (`fold`). The
//! descriptions of input and output state the convention for people, and the file's metadata state it for programs.
//!
//! Operators are those of opset 13, and the file has IR version 7 (ONNX 1.8, 2020), which every later runtime reads.

mod fold;
mod graph;
mod network;
pub mod proto;

use crate::config::{Config, Wiring};
use crate::data::ImageInput;
use crate::device::Device;
use crate::files::write_atomically;
use crate::model::Model;
use crate::weights::NetworkFile;
use crate::{Error, Result};
use prost::Message;
use proto::{
    DimensionProto, GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use std::path::Path;

/// Name of the graph's input.
pub const INPUT: &str = "images";
/// Name of the graph's output.
pub const OUTPUT: &str = "features";
/// Version of the operators.
const OPSET: i64 = 13;
/// Version of the file format that belongs to [`OPSET`].
const IR_VERSION: i64 = 7;
/// Largest size of a Protobuf message: readers count bytes in 31 bits.
const MAX_BYTES: usize = i32::MAX as usize;

/// Layout of the graph's input images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// uint8 `[N, H, W, 3]`, RGB, as from a decoder.
    Bytes,
    /// float32 `[N, 3, H, W]`, RGB in [0, 1], as from torchvision's `ToTensor`.
    Floats,
    /// float32 `[N, 3, H, W]`, RGB, normalised by the mean and deviation of ImageNet, as from torchvision's
    /// `Normalize`.
    Normalised,
}

impl Pixels {
    /// The values in words, and who normalises them.
    fn values(self) -> (&'static str, &'static str) {
        match self {
            Pixels::Bytes => ("0 to 255", "inside the graph"),
            Pixels::Floats => ("0 to 1", "inside the graph"),
            Pixels::Normalised => (
                "(value - mean) / deviation of values 0 to 1, mean 0.485 0.456 0.406, deviation 0.229 0.224 0.225",
                "outside the graph",
            ),
        }
    }
}

/// Options of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Layout of the input images.
    pub pixels: Pixels,
    /// True to add the mirrored image's feature before normalising.
    pub flip: bool,
}

/// Converts the network of a weight file to an ONNX model. The same file and options give the same model.
///
/// # Errors
/// As [`NetworkFile::network`]; weights that are not finite after batch normalisation is folded in.
pub fn model(file: &NetworkFile, options: Options) -> Result<ModelProto> {
    let config = file.config();
    let (model, params) = file.network(&Device::cpu())?;
    let input = config.image_input();
    let graph =
        network::build(&model, &params, &input, options).map_err(|what| file.tensors().fault(what))?;
    drop(params);

    let facts = facts(file, &input, options, &model);
    let graph = GraphProto {
        node: graph.nodes,
        name: "bcreid".into(),
        initializer: graph.constants,
        doc_string: String::new(),
        input: vec![image_value(&input, options.pixels)],
        output: vec![feature_value(&model, options.flip)],
    };
    Ok(ModelProto {
        ir_version: Some(IR_VERSION),
        producer_name: "bcreid".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        model_version: Some(1),
        doc_string: format!(
            "Extracts features of images of persons; the nearer two features, the likelier they show one person.\n{}",
            file.describe()
        ),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(OPSET) }],
        metadata_props: facts.into_iter().map(|(key, value)| StringStringEntryProto { key, value }).collect(),
    })
}

/// Writes a model, whole or not at all; returns the file's size in bytes.
///
/// # Errors
/// A model above Protobuf's limit of 2 GiB; an error of the file system.
pub fn write(model: &ModelProto, out: &Path) -> Result<usize> {
    let bytes = model.encoded_len();
    if bytes > MAX_BYTES {
        return Err(Error::Data(format!(
            "{}: the network needs {bytes} bytes, and an ONNX file holds at most {MAX_BYTES}",
            out.display()
        )));
    }
    write_atomically(out, |writer| writer.write_all(&model.encode_to_vec()))?;
    Ok(bytes)
}

fn image_value(input: &ImageInput, pixels: Pixels) -> ValueInfoProto {
    let (h, w) = (input.height, input.width);
    let (elements, dims) = match pixels {
        Pixels::Bytes => (TensorProto::UINT8, [h, w, 3]),
        Pixels::Floats | Pixels::Normalised => (TensorProto::FLOAT, [3, h, w]),
    };
    let (values, _) = pixels.values();
    let mean = match pixels {
        Pixels::Bytes | Pixels::Floats => "Do not subtract a mean: the graph does.",
        Pixels::Normalised => "The graph subtracts no mean: normalise the values once, before it.",
    };
    let doc_string = format!(
        "RGB images, values {values}, {h} high and {w} wide; resize the crop of a person to that, without keeping its \
         aspect (bilinear with antialiasing, as Pillow's). {mean}"
    );
    ValueInfoProto { name: INPUT.into(), r#type: Some(batch_of(elements, &dims)), doc_string }
}

fn feature_value(model: &Model, flip: bool) -> ValueInfoProto {
    let features = model.features();
    let flip = if flip { ", the sum of those of the image and of its mirror image" } else { "" };
    let doc_string = format!(
        "{} features{flip}, L2-normalised: compare them by Euclidean distance or inner product, and do not \
         normalise them again.",
        model.layer()
    );
    let r#type = Some(batch_of(TensorProto::FLOAT, &[features]));
    ValueInfoProto { name: OUTPUT.into(), r#type, doc_string }
}

/// Type of a tensor whose first dimension is the number of images.
fn batch_of(elem_type: i32, dims: &[usize]) -> TypeProto {
    let images = DimensionProto { dim_value: None, dim_param: Some("N".into()) };
    let known = dims.iter().map(|&dim| DimensionProto { dim_value: Some(dim as i64), dim_param: None });
    let shape = TensorShapeProto { dim: std::iter::once(images).chain(known).collect() };
    TypeProto { tensor_type: Some(TensorTypeProto { elem_type, shape: Some(shape) }) }
}

/// Metadata of the file.
fn facts(file: &NetworkFile, input: &ImageInput, options: Options, network: &Model) -> Vec<(String, String)> {
    let features = network.features();
    let Config { model, .. } = file.config();
    let (h, w) = (input.height, input.width);
    let layout = match options.pixels {
        Pixels::Bytes => format!("uint8 [N, {h}, {w}, 3]"),
        Pixels::Floats | Pixels::Normalised => format!("float32 [N, 3, {h}, {w}]"),
    };
    let (range, normalisation) = options.pixels.values();
    let wiring = match model.wiring {
        Wiring::Torchvision => "torchvision",
        Wiring::Caffe => "caffe",
    };
    let facts = [
        ("input", layout),
        ("input_channels", "RGB".into()),
        ("input_range", range.into()),
        ("input_normalisation", normalisation.into()),
        ("input_resize", "bilinear with antialiasing, aspect not kept".into()),
        ("output", format!("float32 [N, {features}]")),
        ("output_layer", network.layer().into()),
        ("output_l2_normalised", "true".into()),
        ("mirrored_image_added", options.flip.to_string()),
        ("arch", format!("{:?}", model.arch).to_lowercase()),
        ("wiring", wiring.into()),
        ("batchnorm", "folded into the convolutions".into()),
        ("network_sha256", file.fingerprint()),
        ("weights_sha256", file.tensors().sha256()),
        ("config", file.config().network_toml()),
    ];
    let facts = facts.map(|(key, value)| (key.to_string(), value));
    facts.into_iter().chain(file.provenance().metadata()).collect()
}

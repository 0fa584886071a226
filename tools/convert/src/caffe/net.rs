//! NetParameter and its layers, in both forms. The field numbers are those of the public
//! `caffe.proto`.

use super::blob::Blob;
use super::pixels::Pixels;
use super::settings::{
    BatchNorm, Convolution, Dims, Eltwise, Images, InnerProduct, MemoryData, Pooling, Reduction, Relu, Rule,
    Scale, decode,
};
use super::transformation::Transformation;
use super::v1;
use super::wire::{Fault, Fields, Value};
use crate::content::MAX_TENSORS;
use crate::display::{plain, quoted};
use prost::bytes::Bytes;

/// Largest accepted number of layers, not counting empty ones; a ResNet-152 has about a thousand.
const MAX_LAYERS: usize = 20_000;
/// Largest accepted number of connections; a ResNet-152 has about two thousand.
const MAX_WIRES: usize = 20_000;

/// Field numbers of a form of the layer message.
struct Numbers {
    name: u32,
    kind: u32,
    bottom: u32,
    top: u32,
    blobs: u32,
    transformation: u32,
    older_data: [(u32, &'static str); 3],
    convolution: u32,
    pooling: u32,
    inner_product: u32,
    eltwise: u32,
    relu: u32,
    memory_data: u32,
    include: u32,
    exclude: u32,
    phase: Option<u32>,
    batch_norm: Option<u32>,
    scale: Option<u32>,
    reduction: Option<u32>,
    input: Option<u32>,
}

/// `V1LayerParameter`, field `layers` (2) of a net.
const V1: Numbers = Numbers {
    name: 4,
    kind: 5,
    bottom: 2,
    top: 3,
    blobs: 6,
    transformation: 36,
    older_data: [(11, "data_param"), (15, "image_data_param"), (20, "window_data_param")],
    convolution: 10,
    pooling: 19,
    inner_product: 17,
    eltwise: 24,
    relu: 30,
    memory_data: 22,
    include: 32,
    exclude: 33,
    phase: None,
    batch_norm: None,
    scale: None,
    reduction: None,
    input: None,
};
/// `LayerParameter`, field `layer` (100) of a net.
const V2: Numbers = Numbers {
    name: 1,
    kind: 2,
    bottom: 3,
    top: 4,
    blobs: 7,
    transformation: 100,
    older_data: [(107, "data_param"), (115, "image_data_param"), (129, "window_data_param")],
    convolution: 106,
    pooling: 121,
    inner_product: 117,
    eltwise: 110,
    relu: 123,
    memory_data: 119,
    include: 8,
    exclude: 9,
    phase: Some(10),
    batch_norm: Some(139),
    scale: Some(142),
    reduction: Some(136),
    input: Some(143),
};

/// A layer.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// Index among the layers of [`Net`].
    pub number: usize,
    /// Name.
    pub name: String,
    /// Type, e.g. `Convolution`; empty if the file does not state it.
    pub kind: String,
    /// Names of the input blobs, slices of the mapped file.
    pub bottoms: Vec<Bytes>,
    /// Names of the output blobs.
    pub tops: Vec<Bytes>,
    /// Tensors.
    pub blobs: Vec<Blob>,
    /// Settings of a convolution, if the file has them.
    pub convolution: Option<Box<Convolution>>,
    /// Settings of a pooling layer.
    pub pooling: Option<Box<Pooling>>,
    /// Settings of an element-wise layer.
    pub eltwise: Option<Box<Eltwise>>,
    /// Factor of a ReLU for values below 0.
    pub negative_slope: f32,
    /// True if an inner product has its matrix as [in, out].
    pub transposed: bool,
    /// Settings of a Scale layer.
    pub scale: Option<Box<Scale>>,
    /// Settings of a Reduction layer.
    pub reduction: Option<Box<Reduction>>,
    /// Epsilon of a batch norm.
    pub eps: Option<f32>,
    /// Setting `use_global_stats` of a batch norm, which applies to every phase.
    pub use_global_stats: Option<bool>,
    /// Rows and columns of the images of a data layer, if stated.
    pub map: Option<[u64; 2]>,
    /// True if the layer's rules include it only in phase TRAIN.
    pub is_for_training: bool,
    /// True if the layer was saved in phase TRAIN.
    pub was_in_training: bool,
    /// Transformation of a data layer's images.
    transformation: Option<Box<Transformation>>,
}

/// A NetParameter.
#[derive(Debug, Default)]
pub struct Net {
    /// Number of layers.
    pub count: usize,
    /// Layers in the file's order, without empty ones.
    pub layers: Vec<Layer>,
    /// Rows and columns of the images, if the net itself states them.
    pub map: Option<[u64; 2]>,
    /// Pixel transformations of the data layers.
    pub pixels: Pixels,
    /// True if connections and settings are those of a prototxt.
    pub is_described: bool,
    /// True for V1 layers.
    pub v1: bool,
    /// True if a layer is V0; later layers were not read.
    pub v0: bool,
}

/// Error of a net that cannot be read.
pub struct Broken {
    /// Number of layers before the error.
    pub after: usize,
    /// Description of the error.
    pub fault: Fault,
}

impl Net {
    /// Parses a NetParameter without the values of its tensors.
    pub fn parse(bytes: Bytes) -> Result<Net, Broken> {
        let mut net = Net::default();
        match net.read(bytes) {
            Ok(()) => Ok(net),
            Err(fault) => Err(Broken { after: net.count, fault }),
        }
    }

    fn read(&mut self, bytes: Bytes) -> Result<(), Fault> {
        let (mut blobs, mut wires) = (0, 0);
        let mut dims = Vec::new();
        for field in Fields::new(bytes) {
            let (numbers, message) = match field? {
                (2, Value::Bytes(message)) => {
                    self.v1 = true;
                    self.v0 = has_v0(message.clone())?;
                    (&V1, message)
                }
                (100, Value::Bytes(message)) => (&V2, message),
                (4, Value::Varint(dim)) if dims.len() < 4 => {
                    dims.push(dim);
                    if let [_, _, rows, columns] = dims[..] {
                        self.map = Some([rows, columns]);
                    }
                    continue;
                }
                (8, Value::Bytes(message)) if self.map.is_none() => {
                    self.map = decode::<Dims>("input_shape", message)?.map();
                    continue;
                }
                _ => continue,
            };
            if self.v0 {
                return Ok(());
            }
            let mut layer = Layer::parse(message, numbers, MAX_TENSORS - blobs, MAX_WIRES - wires)?;
            self.count += 1;
            blobs += layer.blobs.len();
            wires += layer.wires();
            if layer.transformation.is_some() || is_image_source(&layer.kind) {
                let stated = layer.transformation.take().unwrap_or_default();
                layer.map = stated.crop().map(|size| [size; 2]).or(layer.map);
                self.pixels.add(&layer.name, layer.is_for_training || layer.was_in_training, *stated);
            }
            if layer.says_nothing() {
                continue;
            }
            if self.layers.len() == MAX_LAYERS {
                return Err(format!("the net has more than {MAX_LAYERS} layers"));
            }
            layer.number = self.layers.len();
            self.layers.push(layer);
        }
        Ok(())
    }

    /// Layers with weights.
    pub fn weighted(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().filter(|layer| !layer.blobs.is_empty())
    }

    /// The last layer with this name.
    pub fn layer(&self, name: &str) -> Option<&Layer> {
        self.layers.iter().rev().find(|layer| layer.name == name)
    }
}

/// True if a V1 layer wraps a V0 layer.
fn has_v0(message: Bytes) -> Result<bool, Fault> {
    for field in Fields::new(message) {
        if let (1, Value::Bytes(_)) = field? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Layer {
    fn parse(message: Bytes, numbers: &Numbers, max_blobs: usize, max_wires: usize) -> Result<Layer, Fault> {
        let mut layer = Layer::default();
        layer
            .read(message, numbers, max_blobs, max_wires)
            .map_err(|fault| format!("layer {}: {fault}", quoted(&layer.name)))?;
        Ok(layer)
    }

    /// Number of input and output blobs.
    pub fn wires(&self) -> usize {
        self.bottoms.len() + self.tops.len()
    }

    fn says_nothing(&self) -> bool {
        self.name.is_empty() && self.kind.is_empty() && self.wires() == 0 && self.blobs.is_empty()
    }

    /// Name for a message.
    pub fn title(&self) -> String {
        plain(&self.name)
    }

    /// Name and type for a message.
    pub fn with_kind(&self) -> String {
        let name = quoted(&self.name);
        match self.kind.as_str() {
            "" => format!("layer {name} (its type is not stated)"),
            kind => format!("layer {name} of type {}", quoted(kind)),
        }
    }

    /// Sets Caffe's defaults where no settings are stated. This is right for a prototxt; a weight file may have been
    /// stripped of its settings.
    pub fn take_defaults(&mut self) {
        match self.kind.as_str() {
            "Convolution" => drop(self.convolution.get_or_insert_default()),
            "Pooling" => drop(self.pooling.get_or_insert_default()),
            "Scale" => drop(self.scale.get_or_insert_default()),
            "Reduction" => drop(self.reduction.get_or_insert_default()),
            _ => {}
        }
    }

    fn read(
        &mut self,
        message: Bytes,
        numbers: &Numbers,
        max_blobs: usize,
        max_wires: usize,
    ) -> Result<(), Fault> {
        let (mut includes, mut is_included, mut is_excluded) = (false, false, false);
        for field in Fields::new(message) {
            let (number, value) = field?;
            match value {
                Value::Bytes(text) if number == numbers.name => self.name = utf8(&text)?,
                Value::Bytes(text) if number == numbers.kind => self.kind = utf8(&text)?,
                Value::Varint(kind) if number == numbers.kind => self.kind = v1::kind(kind),
                Value::Bytes(blob) if number == numbers.bottom || number == numbers.top => {
                    if self.wires() == max_wires {
                        return Err(format!("the net has more than {MAX_WIRES} wires"));
                    }
                    let reads = number == numbers.bottom;
                    if reads { &mut self.bottoms } else { &mut self.tops }.push(blob);
                }
                Value::Bytes(message) if number == numbers.transformation => {
                    self.transformation = Some(Box::new(Transformation::parse(message)?));
                }
                Value::Bytes(message) if numbers.older_data.iter().any(|(older, _)| *older == number) => {
                    let what = numbers.older_data.iter().find(|(older, _)| *older == number);
                    let what = what.map_or("", |(_, what)| what);
                    let older = Transformation::parse_older(what, message)?;
                    // TransformationParameter replaces it wherever it stands.
                    self.transformation.get_or_insert_with(|| Box::new(older));
                }
                Value::Bytes(blob) if number == numbers.blobs => {
                    if self.blobs.len() == max_blobs {
                        return Err(format!("the net has more than {MAX_TENSORS} tensors"));
                    }
                    let at = self.blobs.len();
                    self.blobs.push(Blob::parse(blob).map_err(|fault| format!("blob {at}: {fault}"))?);
                }
                Value::Bytes(message) if number == numbers.convolution => {
                    self.convolution = Some(Box::new(decode("convolution_param", message)?));
                }
                Value::Bytes(message) if number == numbers.pooling => {
                    self.pooling = Some(Box::new(decode("pooling_param", message)?));
                }
                Value::Bytes(message) if number == numbers.eltwise => {
                    self.eltwise = Some(Box::new(decode("eltwise_param", message)?));
                }
                Value::Bytes(message) if number == numbers.relu => {
                    self.negative_slope = decode::<Relu>("relu_param", message)?.negative_slope;
                }
                Value::Bytes(message) if number == numbers.inner_product => {
                    self.transposed = decode::<InnerProduct>("inner_product_param", message)?.transpose;
                }
                Value::Bytes(message) if Some(number) == numbers.batch_norm => {
                    let settings: BatchNorm = decode("batch_norm_param", message)?;
                    (self.eps, self.use_global_stats) = (settings.eps, settings.use_global_stats);
                }
                Value::Bytes(message) if Some(number) == numbers.scale => {
                    self.scale = Some(Box::new(decode("scale_param", message)?));
                }
                Value::Bytes(message) if Some(number) == numbers.reduction => {
                    self.reduction = Some(Box::new(decode("reduction_param", message)?));
                }
                Value::Varint(phase) if Some(number) == numbers.phase => {
                    self.was_in_training = phase == 0;
                }
                Value::Bytes(message) if number == numbers.include => {
                    includes = true;
                    is_included |= decode::<Rule>("include", message)?.holds_in_test();
                }
                Value::Bytes(message) if number == numbers.exclude => {
                    is_excluded |= decode::<Rule>("exclude", message)?.holds_in_test();
                }
                Value::Bytes(message) if number == numbers.memory_data => {
                    let MemoryData { height, width } = decode("memory_data_param", message)?;
                    self.map = Some([height, width]).filter(|size| !size.contains(&0));
                }
                Value::Bytes(message) if Some(number) == numbers.input => {
                    self.map = decode::<Images>("input_param", message)?.map();
                }
                _ => {}
            }
        }
        self.is_for_training = if includes { !is_included } else { is_excluded };
        Ok(())
    }
}

/// True for the types of layers that read images from files and transform them.
fn is_image_source(kind: &str) -> bool {
    matches!(kind, "Data" | "ImageData" | "WindowData")
}

fn utf8(bytes: &Bytes) -> Result<String, Fault> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "its name or type is no text".into())
}

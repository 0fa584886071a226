//! Caffe's `.caffemodel`: a protobuf message, NetParameter, of layers and their blobs.
//!
//! # Reading order
//!
//! 1. `wire`: protobuf's fields, walked over the mapped file.
//! 2. `blob`, `settings`, `transformation`, `net`: tensors and layers, checked; values stay in the mapped file.
//! 3. `text`, `schema`, `v1`, `merge`: a prototxt as the same message, and both files merged into one net.
//! 4. `graph`, `walk`, `stages`, `coverage`: the ResNet found by the connections of the layers, and its stages.
//! 5. `names`, `trunk`: for nets without connections, the layer names of He's release, and the check of other layers.
//! 6. `units`: the layers grouped by the parts of the ResNet.
//! 7. `wiring`, `pixels`: strides, pooling and input convention from the settings in the file.
//! 8. `resnet`, `statistics`: conversion of the layers to torchvision's tensors.

mod blob;
mod coverage;
mod graph;
mod merge;
mod names;
mod net;
mod pixels;
mod resnet;
mod schema;
mod settings;
mod stages;
mod statistics;
mod text;
mod transformation;
mod trunk;
mod units;
mod v1;
mod walk;
mod wire;
mod wiring;

use crate::content::{Asked, Source, refuse_foreign};
use crate::{Error, Result};
use bcreid::files;
use blob::Blob;
use memmap2::Mmap;
use net::{Layer, Net};
use prost::bytes::Bytes;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A Caffe model whose layers have been read, all but the values of their tensors.
#[derive(Debug)]
pub struct Model {
    path: PathBuf,
    prototxt: Option<PathBuf>,
    net: Net,
}

/// A layer for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Name of the layer.
    pub name: String,
    /// Type, e.g. `Convolution`; empty if the file does not state it.
    pub kind: String,
    /// Names of the input blobs.
    pub bottoms: Vec<String>,
    /// Names of the output blobs.
    pub tops: Vec<String>,
    /// Shapes of the tensors.
    pub shapes: Vec<Vec<usize>>,
}

/// Opens a Caffe model of a ResNet: [`Model::open`] without a prototxt, then [`Model::source`].
///
/// # Errors
/// As [`Model::open`] and [`Model::source`].
pub fn open(path: &Path) -> Result<Source> {
    Model::open(path, None)?.source(Asked::default())
}

impl Model {
    /// Reads the layers of a Caffe model of any network. The converter tries this reader last, because a Caffe model
    /// has no magic number.
    ///
    /// With the `prototxt` of its network, connections and settings are those of the prototxt in phase TEST; types,
    /// settings and connections that the file has too must be equal.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be opened; [`Error::Weights`] if it is no Caffe model, a broken one or one of
    /// the oldest kind, if the prototxt cannot be read, or if it contradicts the model.
    pub fn open(path: &Path, prototxt: Option<&Path>) -> Result<Model> {
        let bytes = map(path)?;
        refuse_foreign(path, &bytes)?;
        let mut net = Net::parse(bytes.clone()).map_err(|broken| match broken.after {
            0 => unknown(path, &broken.fault),
            after => Error::weights(
                path,
                format!(
                    "is a broken Caffe model: after {after} layers, {}; download or copy it again",
                    broken.fault
                ),
            ),
        })?;
        if net.v0 {
            let fix = "upgrade it with Caffe's upgrade_net_proto_binary and convert the result";
            return Err(Error::weights(
                path,
                format!("is a Caffe model of the oldest kind (V0 layers); {fix}"),
            ));
        }
        if net.count == 0 {
            return Err(match Blob::parse(bytes) {
                Ok(_) => Error::weights(path, "is a Caffe mean image, not a model; give the .caffemodel"),
                Err(_) => unknown(path, "it has no layers"),
            });
        }
        if let Some(prototxt) = prototxt {
            let described = describe(prototxt)?;
            net = merge::merge(net, described).map_err(|fault| Error::weights(prototxt, fault))?;
        }
        Ok(Model { path: path.into(), prototxt: prototxt.map(Path::to_path_buf), net })
    }

    /// The layers in the file's order, without empty ones.
    pub fn layers(&self) -> impl Iterator<Item = Row> {
        let names = |blobs: &[Bytes]| blobs.iter().map(|b| String::from_utf8_lossy(b).into_owned()).collect();
        self.net.layers.iter().map(move |layer| Row {
            name: layer.name.clone(),
            kind: layer.kind.clone(),
            bottoms: names(&layer.bottoms),
            tops: names(&layer.tops),
            shapes: layer.blobs.iter().map(|blob| blob.shape.clone()).collect(),
        })
    }

    /// Converts the tensors to torchvision's names.
    ///
    /// The wires decide which layer is which part of a ResNet: from the data to the average pooling at the end, each
    /// layer must be one that a ResNet has there; heads that branch off are left out. Files whose wires do not join
    /// are mapped by the layer names of He's release; then a layer with weights that a ResNet has not is an error if
    /// its type or name is one of a trunk's (convolution, batch norm, scale, bias, PReLU; names that begin with
    /// `conv1`, `res2` to `res5`, `bn` or `scale`). Wiring and last stride are those of the strides and pooling in the
    /// file, else He's. The input convention is He's, less what a data layer in the file states of mean and scale.
    ///
    /// # Errors
    /// [`Error::Weights`] if it has no weights, is no ResNet, and where it stops to be one, or is wired as neither of
    /// the two ResNets, or otherwise than `asked` for.
    pub fn source(&self, asked: Asked) -> Result<Source> {
        if self.net.weighted().next().is_none() {
            let count = self.net.count;
            return Err(Error::weights(
                &self.path,
                format!("has {count} Caffe layers and no weights in any of them"),
            ));
        }
        resnet::source(&self.path, &self.net, asked).map_err(|fault| {
            let name = self.prototxt.as_deref().and_then(Path::file_name);
            let from = name.map(|name| format!(" (wires and settings are those of {})", name.display()));
            Error::weights(&self.path, fault + &from.unwrap_or_default())
        })
    }
}

/// Reads a prototxt.
fn describe(path: &Path) -> Result<Net> {
    let mut bytes = Vec::new();
    let file = files::open(path)?;
    file.take(text::MAX_TEXT as u64 + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
    let fault = |fault: String| Error::weights(path, format!("is no prototxt of Caffe: {fault}"));
    let mut net =
        Net::parse(text::net(&bytes).map_err(fault)?.into()).map_err(|broken| fault(broken.fault))?;
    net.layers.iter_mut().for_each(Layer::take_defaults);
    net.pixels = net.pixels.of_both_phases();
    match net.layers.is_empty() {
        true => Err(fault("it has no layers".into())),
        false => Ok(net),
    }
}

/// The mean of each channel of a Caffe mean image (`.binaryproto`), in the file's order: blue, green, red,
/// in grey levels.
///
/// # Errors
/// [`Error::Io`] if the file cannot be opened; [`Error::Weights`] if it holds no image of three channels.
pub fn mean(path: &Path) -> Result<[f32; 3]> {
    let bytes = map(path)?;
    let fault = |what: String| Error::weights(path, format!("is no Caffe mean image (.binaryproto): {what}"));
    let blob = Blob::parse(bytes).map_err(fault)?;
    let Some([3, rows, columns]) = blob.last_axes(3) else {
        return Err(fault(format!("its shape is {:?}, not [3, rows, columns]", blob.shape)));
    };
    let pixels = rows * columns;
    let values = blob.values().map_err(fault)?;
    let means: Vec<f32> = values
        .chunks(pixels)
        .map(|channel| (channel.iter().copied().map(f64::from).sum::<f64>() / pixels as f64) as f32)
        .collect();
    match <[f32; 3]>::try_from(means) {
        Ok(means) if means.iter().all(|mean| mean.is_finite()) => Ok(means),
        _ => Err(fault("its values are not finite".into())),
    }
}

/// Maps a file.
fn map(path: &Path) -> Result<Bytes> {
    let file = files::open(path)?;
    // SAFETY: the mapping is read-only and lives as long as the last slice of it. What cannot be ruled out
    // is another program that changes the file in place meanwhile: overwritten bytes change values under a
    // shared slice, a file that is cut short ends this process with SIGBUS. It is accepted for the reason
    // given at `bcreid::weights::read_tensors`: the alternative is to read all of a file of hundreds of
    // megabytes to look at a few tensors.
    let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path))?;
    Ok(Bytes::from_owner(map))
}

/// Error for a file of unknown format.
fn unknown(path: &Path, why: &str) -> Error {
    Error::weights(
        path,
        format!(
            "is no file of weights: its first bytes are neither safetensors' nor PyTorch's, and as a Caffe \
             model (NetParameter) it cannot be read: {why}"
        ),
    )
}

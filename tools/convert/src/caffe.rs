//! Caffe's `.caffemodel`: a protobuf message, NetParameter, of layers and their blobs.
//!
//! # Reading order
//!
//! 1. `wire`: protobuf's fields, walked over the mapped file.
//! 2. `blob`, `settings`, `transformation`, `net`: tensors and layers, checked and left where they are.
//! 3. `text`, `schema`, `v1`, `merge`: a prototxt as the same message, and the two files as one net.
//! 4. `graph`, `walk`, `stages`, `coverage`: the ResNet in the wires of a net, and its stages.
//! 5. `names`, `trunk`: without wires, the layer names of He's release, and whether other layers may be left out.
//! 6. `units`: the layers sorted by either way.
//! 7. `wiring`, `pixels`: what the settings in the file say of strides, pooling and images.
//! 8. `resnet`, `statistics`: the layers as torchvision's tensors.

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

/// A layer, for people to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its type, e.g. `Convolution`; empty if the file does not say.
    pub kind: String,
    /// The names of the blobs that it reads.
    pub bottoms: Vec<String>,
    /// The names of the blobs that it writes.
    pub tops: Vec<String>,
    /// The shapes of its tensors.
    pub shapes: Vec<Vec<usize>>,
}

/// Opens a Caffe model of a ResNet: [`Model::open`] without a prototxt, then [`Model::source`].
///
/// # Errors
/// As those.
pub fn open(path: &Path) -> Result<Source> {
    Model::open(path, None)?.source(Asked::default())
}

impl Model {
    /// Reads the layers of a Caffe model, whatever network they are. It is the last reader to be asked: what it cannot
    /// read, nobody can.
    ///
    /// With the `prototxt` of its network, wires and settings are those of the prototxt, as a net of phase TEST has
    /// them; types, settings and wires that the file has as well must be the same.
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
            let mend = "upgrade it with Caffe's upgrade_net_proto_binary and convert the result";
            return Err(Error::weights(
                path,
                format!("is a Caffe model of the oldest kind (V0 layers); {mend}"),
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

    /// Its layers in the file's order, without those that say nothing of themselves.
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

    /// Its tensors under torchvision's names.
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

/// What no reader knows.
fn unknown(path: &Path, why: &str) -> Error {
    Error::weights(
        path,
        format!(
            "is no file of weights: its first bytes are neither safetensors' nor PyTorch's, and as a Caffe \
             model (NetParameter) it cannot be read: {why}"
        ),
    )
}

//! Caffe's `.caffemodel`: a protobuf message, NetParameter, of layers and their blobs.
//!
//! # Reading order
//!
//! 1. `wire`: protobuf's fields, walked over the mapped file.
//! 2. `blob`, `settings`, `net`: tensors and layers, checked and left where they are.
//! 3. `names`: where a layer of He's release belongs in torchvision's ResNet.
//! 4. `trunk`: whether a layer without such a place may be left out.
//! 5. `wiring`, `pixels`: what the settings in the file say of strides, pooling and images.
//! 6. `resnet`: the layers as torchvision's tensors.

mod blob;
mod graph;
mod names;
mod net;
mod pixels;
mod resnet;
mod settings;
mod stages;
mod trunk;
mod units;
mod walk;
mod wire;
mod wiring;

use crate::source::Source;
use crate::{Error, Result};
use bcreid::files;
use blob::Blob;
use memmap2::Mmap;
use net::Net;
use prost::bytes::Bytes;
use std::path::Path;

/// Opens a Caffe model of a ResNet with the layer names of He's release.
///
/// It is the last reader to be asked: what it cannot read, nobody can. Wiring and last stride are those of the
/// strides and pooling in the file, else He's. The input convention is He's, less what a data layer in the file
/// states of mean and scale. Layers of a head are left out; a layer with weights that the features would pass
/// through, and that a ResNet has not, is an error. The wires of the file tell them apart, or else types and
/// names: without wires an inner product such as `loss1_ip` is a head's, while a convolution, batch norm, scale,
/// bias or PReLU is not, nor is a name that begins with `conv1`, `res2` to `res5`, `bn` or `scale`.
///
/// # Errors
/// [`Error::Io`] if the file cannot be opened; [`Error::Weights`] if it is no Caffe model, a broken one, one
/// with other layers in its trunk than He's release, or one that is wired as neither of the two ResNets.
pub fn open(path: &Path) -> Result<Source> {
    let bytes = map(path)?;
    if let Some(what) = mistaken_for(&bytes) {
        return Err(Error::weights(path, what));
    }
    let net = Net::parse(bytes.clone()).map_err(|broken| match broken.after {
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
        return Err(Error::weights(path, format!("is a Caffe model of the oldest kind (V0 layers); {mend}")));
    }
    if net.weighted().next().is_none() {
        let is_mean = net.count == 0 && Blob::parse(bytes).is_ok();
        return Err(match net.count {
            _ if is_mean => Error::weights(path, "is a Caffe mean image, not a model; give the .caffemodel"),
            0 => unknown(path, "it has no layers"),
            count => Error::weights(path, format!("has {count} Caffe layers and no weights in any of them")),
        });
    }
    resnet::source(path, &net).map_err(|fault| Error::weights(path, fault))
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

/// The files that people have beside a `.caffemodel`, or save instead of one.
fn mistaken_for(bytes: &[u8]) -> Option<&'static str> {
    let head = &bytes[..bytes.len().min(512)];
    let text = head.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t'));
    let has = |word: &[u8]| head.windows(word.len()).any(|window| window == word);
    if head.starts_with(b"\x89HDF\r\n\x1a\n") {
        Some("is an HDF5 file; save the model from Caffe as BINARYPROTO (a .caffemodel)")
    } else if text && (has(b"layer {") || has(b"layers {") || has(b"input_param")) {
        Some("describes a network (prototxt) and holds no weights; give the .caffemodel that belongs to it")
    } else {
        None
    }
}

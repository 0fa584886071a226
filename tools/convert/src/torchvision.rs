//! Export of a network as a file that PyTorch loads into a plain ResNet.
//!
//! By the extension of the output: `.pth` or `.pt`, the zip archive of `torch.save` (a pickle that names the
//! tensors, one stored entry for each one's bytes), or `.safetensors`. Names are torchvision's, convolutions
//! `[K, C, R, S]`. Centers and states of optimisers are not exported; PyTorch itself fills in `num_batches_tracked`.
//!
//! A plain ResNet ends in the linear layer `fc` behind pool5. It takes what is behind pool5 here, see [`Output`].

mod output;

pub use output::Output;

use crate::engine::swap_inner;
use crate::safetensors::LAST_STRIDE;
use crate::{Error, Result};
use bcreid::config::{Pooling, Wiring};
use bcreid::files::write_atomically;
use bcreid::model::embedding::EMBEDDING;
use bcreid::model::neck::NECK;
use bcreid::weights::{NetworkFile, TensorOut, Values, write_tensors};
use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::Path;
use zip::write::{SimpleFileOptions, ZipWriter};

/// The metadata key and the value of a file whose output is the feature.
pub(crate) const OUTPUT: &str = "output";
pub(crate) const FEATURE: &str = "feature";

/// The start of the names of the layer behind pool5.
const CLASSIFIER: &str = "fc.";

/// Alignment of a tensor's bytes in PyTorch's archives.
const ALIGNMENT: u16 = 64;

/// Containers that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// `torch.save`'s zip archive.
    Torch,
    /// A safetensors file.
    Safetensors,
}

impl Container {
    /// The container of a file, by its extension.
    ///
    /// # Errors
    /// Another extension.
    pub fn of(out: &Path) -> Result<Self> {
        match out.extension().and_then(|e| e.to_str()) {
            Some("pth" | "pt") => Ok(Container::Torch),
            Some("safetensors") => Ok(Container::Safetensors),
            _ => Err(Error::weights(out, "name the output .pth (PyTorch's archive) or .safetensors")),
        }
    }
}

/// Writes a network of `bcreid` for torchvision, whole or not at all, with this `output`; returns the names of the
/// tensors that are not exported.
///
/// # Errors
/// A network in Caffe's wiring, of IBN-a, with a generalised-mean pooling or a ReLU in its embedding, which torchvision's
/// ResNet does not have; logits of a network without a classifier; metadata and tensors of two networks; an error of the
/// file system.
pub fn write(network: &NetworkFile, output: Output, out: &Path) -> Result<Vec<String>> {
    let file = network.tensors();
    if network.config().model.wiring == Wiring::Caffe {
        return Err(file.fault(
            "is in Caffe's wiring (stride on the first 1x1, pool1 without padding), which torchvision's ResNet does \
             not have: the same weights would give other features there; train from torchvision's weights to deploy \
             in it",
        ));
    }
    if network.config().model.ibn {
        return Err(file.fault(
            "is an IBN-a network (model.ibn), and torchvision's ResNet has no instance normalisation; export the network \
             to ONNX (bcreid export)",
        ));
    }
    if network.config().model.pooling != Pooling::Average {
        return Err(file.fault(
            "pools by the generalised mean (model.pooling), and torchvision's ResNet by the mean: the same weights would \
             give other features there; export the network to ONNX (bcreid export)",
        ));
    }
    network.check()?;
    let linear = output.linear(network)?;
    let (mut tensors, mut behind) = (Vec::new(), Vec::new());
    for name in file.names() {
        let is_behind_pool5 = name.starts_with(NECK) || name.starts_with(EMBEDDING);
        if is_behind_pool5 && linear.is_some() {
            continue;
        }
        if !is_deployed(name) || name.starts_with(CLASSIFIER) && output == Output::Feature {
            behind.push(name.to_string());
            continue;
        }
        if name.starts_with(CLASSIFIER) && linear.is_some() {
            continue;
        }
        let view = file.tensor(name)?;
        let values = view.f32()?;
        tensors.push(match *view.shape() {
            [k, r, s, c] => TensorOut::f32(name, &[k, c, r, s], swap_inner(&values, k, r * s, c)),
            _ => TensorOut::f32(name, view.shape(), values),
        });
    }
    tensors.extend(linear.into_iter().flatten());
    match Container::of(out)? {
        Container::Safetensors => {
            let mut metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
            metadata.extend(network.provenance().metadata());
            // A state dict holds no strides; the converter reads this back.
            if network.config().model.last_stride == 1 {
                metadata.insert(LAST_STRIDE.to_string(), "1".to_string());
            }
            if output == Output::Feature {
                metadata.insert(OUTPUT.to_string(), FEATURE.to_string());
            }
            write_tensors(out, &tensors, &metadata)?;
        }
        Container::Torch => {
            let archive = archive(&tensors).map_err(|e| Error::weights(out, e.to_string()))?;
            write_atomically(out, |writer| writer.write_all(&archive))?;
        }
    }
    Ok(behind)
}

/// True if a tensor belongs to the deployed network and not only to training.
fn is_deployed(name: &str) -> bool {
    !bcreid::model::head::is_of_losses(name) && !bcreid::optim::is_state(name)
}

/// Bytes of a `.pth` file.
fn archive(tensors: &[TensorOut<'_>]) -> zip::result::ZipResult<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .with_alignment(ALIGNMENT)
        .last_modified_time(zip::DateTime::default());
    zip.start_file("archive/data.pkl", stored)?;
    zip.write_all(&pickle(tensors))?;
    zip.start_file("archive/byteorder", stored)?;
    zip.write_all(b"little")?;
    for (key, tensor) in tensors.iter().enumerate() {
        zip.start_file(format!("archive/data/{key}"), stored)?;
        zip.write_all(bytemuck::cast_slice(floats(tensor)))?;
    }
    zip.start_file("archive/version", stored)?;
    zip.write_all(b"3\n")?;
    Ok(zip.finish()?.into_inner())
}

fn floats<'a>(tensor: &'a TensorOut<'_>) -> &'a [f32] {
    match &tensor.values {
        Values::F32(values) => values,
        Values::I64(_) => unreachable!("weights are written as f32 above"),
    }
}

/// Writes an `OrderedDict` of names and tensors in pickle protocol 2 (opcodes: CPython's `Lib/pickletools.py`). Each
/// tensor is the call `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)`,
/// its storage the persistent id `('storage', torch.FloatStorage, key, 'cpu', elements)`.
fn pickle(tensors: &[TensorOut<'_>]) -> Vec<u8> {
    let mut out = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
    for (key, tensor) in tensors.iter().enumerate() {
        text(&mut out, &tensor.name);
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        out.extend(b"ctorch\nFloatStorage\n");
        text(&mut out, &key.to_string());
        text(&mut out, "cpu");
        integer(&mut out, floats(tensor).len());
        out.extend(b"tQ");
        integer(&mut out, 0);
        out.push(b'(');
        tensor.shape.iter().for_each(|&size| integer(&mut out, size));
        out.extend(b"t(");
        for dimension in 0..tensor.shape.len() {
            integer(&mut out, tensor.shape[dimension + 1..].iter().product());
        }
        out.extend(b"t\x89ccollections\nOrderedDict\n)RtR");
    }
    out.extend(b"u.");
    out
}

/// Writes a text with the opcode BINUNICODE.
fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

/// Writes an integer with the opcode LONG1 in eight bytes, enough for any size.
fn integer(out: &mut Vec<u8>, value: usize) {
    out.extend([0x8a, 8]);
    out.extend((value as i64).to_le_bytes());
}

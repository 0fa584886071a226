//! safetensors with torchvision's or timm's names (they are the same for a plain ResNet).

use crate::content::{MAX_TENSORS, Sink, Source, SourceTensor, UNREAD};
use crate::display::quoted;
use crate::element::Element;
use crate::toolboxes::head::Head;
use crate::{Error, Result, nesting, toolboxes, torchvision};
use bcreid::config::{Input, Wiring};
use bcreid::weights::provenance::{Conversion, Text};
use bcreid::weights::{Provenance, TensorFile, read_tensors};
use safetensors::Dtype;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

/// The metadata key of the stride of the last stage, in files that this program writes for PyTorch.
pub(crate) const LAST_STRIDE: &str = "last_stride";

/// True if a file's first bytes are those of a safetensors file: a header length, then JSON.
pub fn recognise(head: &[u8]) -> bool {
    let Some((length, rest)) = head.split_first_chunk::<8>() else { return false };
    u64::from_le_bytes(*length) <= 100_000_000 && rest.trim_ascii_start().first() == Some(&b'{')
}

/// Refuses a file whose first bytes announce a header that is longer than that of any network: in memory a header takes
/// many times its length.
///
/// # Errors
/// The length of such a header.
pub(crate) fn check_header(path: &Path, head: &[u8]) -> Result<()> {
    /// The header of a ResNet-152 takes a hundred thousand bytes.
    const LONGEST: u64 = 4 << 20;
    match head.first_chunk::<8>().map(|length| u64::from_le_bytes(*length)) {
        Some(length) if recognise(head) && length > LONGEST => Err(Error::weights(
            path,
            format!(
                "its header of {length} bytes is longer than that of any network; save the tensors of the network \
                 alone"
            ),
        )),
        _ => Ok(()),
    }
}

/// Opens a safetensors file.
///
/// # Errors
/// As [`read_tensors`], and a file of more tensors than any network.
pub fn open(path: &Path) -> Result<Source> {
    let file = Rc::new(read_tensors(path)?);
    if file.names().len() > MAX_TENSORS {
        return Err(
            file.fault(format!("has more than {MAX_TENSORS} tensors; save the tensors of the network alone"))
        );
    }
    let mut tensors = BTreeMap::new();
    for name in file.names() {
        let view = file.tensor(name)?;
        let element = element(view.dtype());
        let (shared, key) = (Rc::clone(&file), name.to_string());
        let read = move |sink: &mut Sink<'_>| {
            let view = shared.tensor(&key)?;
            let unread = || {
                let (key, dtype) = (quoted(&key), view.dtype());
                shared.fault(format!("{key} is {dtype:?}; weights are f16, bf16, f32 or f64"))
            };
            element.ok_or_else(unread)?.decode_into(view.bytes(), sink);
            Ok(())
        };
        let dtype = element.map_or(UNREAD, Element::name);
        tensors.insert(name.to_string(), SourceTensor::in_pieces(view.shape().to_vec(), dtype, read));
    }
    let last_stride = match file.metadata().get(LAST_STRIDE).map(String::as_str) {
        None | Some("2") => 2,
        Some("1") => 1,
        Some(other) => {
            let other = quoted(other);
            return Err(file.fault(format!("metadata {LAST_STRIDE:?} is {other}; the stride is 1 or 2")));
        }
    };
    let mut notes = Vec::new();
    if file.metadata().get(torchvision::OUTPUT).is_some_and(|output| output == torchvision::FEATURE) {
        notes.push(
            "its fc has the embedding or the neck of the weights that it was written from, and is not read back".into(),
        );
    }
    let tensors = toolboxes::translate(nesting::strip(tensors, &mut notes), &mut notes);
    Ok(Source {
        format: "safetensors".into(),
        wiring: Wiring::Torchvision,
        states_stride: file.metadata().contains_key(LAST_STRIDE),
        last_stride,
        pooling: None,
        head: Head::default(),
        input: Input::default(),
        tensors,
        states_input: false,
        is_whole: false,
        stated: stated(&file),
        notes,
    })
}

/// Source and licence in the file's metadata: under this program's keys, or `license`.
fn stated(file: &TensorFile) -> Conversion {
    let own = match Provenance::of(file) {
        Provenance::Converted(own) => *own,
        _ => Conversion::default(),
    };
    let license = || file.metadata().get("license").map(|text| Text::new(text));
    Conversion { url: own.url, licence: own.licence.or_else(license), ..Conversion::default() }
}

fn element(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::F64 => Element::F64,
        Dtype::F32 => Element::F32,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::BF16,
        Dtype::I64 => Element::I64,
        Dtype::I32 => Element::I32,
        Dtype::I16 => Element::I16,
        Dtype::I8 => Element::I8,
        Dtype::U8 => Element::U8,
        Dtype::BOOL => Element::Bool,
        _ => return None,
    })
}

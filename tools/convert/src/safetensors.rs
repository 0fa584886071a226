//! safetensors with torchvision's or timm's names (they are the same for a plain ResNet).

use crate::Result;
use crate::content::{Source, SourceTensor, UNREAD};
use crate::element::Element;
use crate::nesting;
use bcreid::config::{Input, Wiring};
use bcreid::weights::read_tensors;
use safetensors::Dtype;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

/// True if a file's first bytes are those of a safetensors file: a header length, then JSON.
pub fn recognise(head: &[u8]) -> bool {
    let Some((length, rest)) = head.split_first_chunk::<8>() else { return false };
    u64::from_le_bytes(*length) <= 100_000_000 && rest.trim_ascii_start().first() == Some(&b'{')
}

/// Opens a safetensors file.
///
/// # Errors
/// As [`read_tensors`].
pub fn open(path: &Path) -> Result<Source> {
    let file = Rc::new(read_tensors(path)?);
    let mut tensors = BTreeMap::new();
    for name in file.names() {
        let view = file.tensor(name)?;
        let element = element(view.dtype());
        let (shared, key) = (Rc::clone(&file), name.to_string());
        let read = move || {
            let view = shared.tensor(&key)?;
            let unread = || {
                let detail = format!("{key:?} is {:?}; weights are f16, bf16, f32 or f64", view.dtype());
                shared.fault(detail)
            };
            Ok(element.ok_or_else(unread)?.decode(view.bytes()))
        };
        let dtype = element.map_or(UNREAD, Element::name);
        tensors.insert(name.to_string(), SourceTensor::new(view.shape().to_vec(), dtype, read));
    }
    let mut notes = Vec::new();
    let tensors = nesting::strip(tensors, &mut notes);
    Ok(Source {
        format: "safetensors".into(),
        wiring: Wiring::Torchvision,
        last_stride: 2,
        input: Input::default(),
        tensors,
        states_input: false,
        is_whole: false,
        notes,
    })
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

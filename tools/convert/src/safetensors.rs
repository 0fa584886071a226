//! safetensors with torchvision's or timm's names (they are the same for a plain ResNet).

use crate::source::{Source, SourceTensor};
use crate::{Error, Result};
use bcreid::config::{Input, Wiring};
use bcreid::weights::{TensorFile, read_tensors};
use safetensors::Dtype;
use std::path::Path;
use std::rc::Rc;

/// Whether a file's first bytes are those of a safetensors file: a header length, then JSON.
pub fn recognise(head: &[u8]) -> bool {
    let Some((length, rest)) = head.split_first_chunk::<8>() else { return false };
    u64::from_le_bytes(*length) <= 100_000_000 && rest.trim_ascii_start().first() == Some(&b'{')
}

/// Opens a safetensors file.
///
/// # Errors
/// As [`read_tensors`]; an element type that no weights have.
pub fn open(path: &Path) -> Result<Source> {
    let file = Rc::new(read_tensors(path)?);
    if file.metadata().get("format").is_some_and(|format| format == "bcreid") {
        return Err(Error::weights(path, "is already one of bcreid's; to go back, add --to torchvision"));
    }
    let tensors = file
        .names()
        .map(|name| {
            let view = file.tensor(name)?;
            let (shape, dtype) = (view.shape().to_vec(), name_of(view.dtype()));
            let (file, key) = (Rc::clone(&file), name.to_string());
            let tensor = SourceTensor::new(shape, dtype, move || values(&file, &key));
            Ok((name.strip_prefix("module.").unwrap_or(name).to_string(), tensor))
        })
        .collect::<Result<_>>()?;
    Ok(Source {
        format: "safetensors".into(),
        wiring: Wiring::Torchvision,
        last_stride: 2,
        input: Input::default(),
        tensors,
        notes: Vec::new(),
    })
}

fn name_of(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F64 => "f64",
        Dtype::F32 => "f32",
        Dtype::F16 => "f16",
        Dtype::BF16 => "bf16",
        Dtype::I64 => "i64",
        _ => "other",
    }
}

fn values(file: &TensorFile, name: &str) -> Result<Vec<f32>> {
    let view = file.tensor(name)?;
    let bytes = view.bytes();
    Ok(match view.dtype() {
        Dtype::F64 => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        Dtype::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F16 => bytes.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::BF16 => bytes.as_chunks().0.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::I64 => bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f32).collect(),
        other => return Err(file.fault(format!("{name} is {other:?}; weights are f16, bf16, f32 or f64"))),
    })
}

//! Golden values: `tests/golden/STEM.safetensors`, made by `tests/golden/STEM.py` with PyTorch.

use safetensors::{Dtype, SafeTensors};
use std::collections::HashMap;

/// A tensor of a golden file; integers are read as f32 too.
#[derive(Clone, Debug)]
pub struct Golden {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl Golden {
    pub fn i32(&self) -> Vec<i32> {
        self.values.iter().map(|&v| v as i32).collect()
    }
}

/// All tensors of one golden file.
pub fn read(stem: &str) -> HashMap<String, Golden> {
    let path = format!("{}/tests/golden/{stem}.safetensors", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |name: &str| {
        let view = file.tensor(name).unwrap();
        let words = view.data().chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
        let values = match view.dtype() {
            Dtype::F32 => words.map(f32::from_le_bytes).collect(),
            Dtype::I32 => words.map(|w| i32::from_le_bytes(w) as f32).collect(),
            other => panic!("{path}: {name} is {other:?}; store f32 or i32"),
        };
        (name.to_string(), Golden { shape: view.shape().to_vec(), values })
    };
    file.names().into_iter().map(tensor).collect()
}

/// Asserts |a - b| <= tolerance * max(1, |b|) for every element.
#[track_caller]
pub fn assert_close(what: &str, ours: &[f32], golden: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), golden.len(), "{what}: lengths differ");
    for (i, (a, b)) in ours.iter().zip(golden).enumerate() {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{what}[{i}]: {a}, golden {b}");
    }
}

//! The storage of feature rows: in memory, or mapped from a file.

use super::FEATURES;
use crate::weights::TensorFile;
use std::sync::Arc;

/// The storage of the rows.
#[derive(Clone, Debug)]
pub(super) enum Values {
    /// In memory.
    Owned(Vec<f32>),
    /// In a mapped file, aligned.
    Mapped(Arc<TensorFile>),
}

impl Values {
    /// All rows, concatenated.
    pub fn as_slice(&self) -> &[f32] {
        match self {
            Values::Owned(values) => values,
            Values::Mapped(file) => {
                let bytes = file.get(FEATURES).expect("reading the file checked for this tensor").bytes();
                bytemuck::cast_slice(bytes)
            }
        }
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

//! Writing of a feature file, row by row.

use super::{
    CAMIDS, FEATURES, MAX_PATHS, MAX_ROWS, Origin, PATHS, PIDS, WEIGHTS, WeightsFile, fault_in_rows,
};
use crate::weights::{TensorOut, write_tensors_and_rows};
use crate::{Error, Result};
use std::path::Path;
use std::sync::Arc;

/// The contents of a feature file besides the features.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The images' identities.
    pub pids: &'a [i64],
    /// The images' cameras.
    pub camids: &'a [i64],
    /// The images' paths; empty if unknown.
    pub paths: &'a [String],
    /// The features' origin.
    pub origin: &'a Origin,
    /// The weight file of the network; `None`: not recorded.
    pub weights: Option<&'a Arc<WeightsFile>>,
}

impl About<'_> {
    /// Writes a feature file with rows of `dim` values that need not all be in memory: `rows` passes them to its
    /// argument in order, any number at a time.
    ///
    /// # Errors
    /// As [`crate::weights::write_tensors`]; for rows that [`crate::weights::Features::new`] refuses; errors of `rows`.
    ///
    /// # Panics
    /// If `rows` passes another number of rows.
    pub fn write(
        &self,
        path: &Path,
        dim: usize,
        rows: impl FnOnce(&mut dyn FnMut(&[f32]) -> Result<()>) -> Result<()>,
    ) -> Result<()> {
        let n = self.pids.len();
        if n > MAX_ROWS || self.paths.len() > MAX_PATHS {
            return Err(Error::weights(
                path,
                format!(
                    "{n} images; a file holds at most {MAX_ROWS}, and the paths of at most {MAX_PATHS}; write several \
                     files"
                ),
            ));
        }
        let lists = [TensorOut::i64(PIDS, &[n], self.pids), TensorOut::i64(CAMIDS, &[n], self.camids)];
        let mut metadata = self.origin.metadata();
        metadata.extend(self.weights.map(|weights| (WEIGHTS.to_string(), weights.to_json())));
        if !self.paths.is_empty() {
            metadata.insert(PATHS.to_string(), serde_json::json!(self.paths).to_string());
        }
        write_tensors_and_rows(path, &lists, (FEATURES, &[n, dim]), &metadata, |write| {
            let mut done = 0;
            rows(&mut |some| {
                if let Some(fault) = fault_in_rows(some, dim, done, self.paths) {
                    return Err(Error::Data(format!("features: {fault}")));
                }
                done += some.len() / dim;
                write(some).map_err(Error::io(path))
            })
        })
    }
}

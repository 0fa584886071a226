//! Feature files: the features of a list of images, one row for each image.
//!
//! A safetensors file with `features` f32 [N, D], `pids` i64 [N] and `camids` i64 [N]; the images' paths, if
//! known, are a JSON list under the metadata key `paths`, in the order of the rows. A pid is -1 for junk and
//! 0 or more for a person (0 for the distractors of Market-1501). A camid is 0 or more, or -1 in every row if the
//! cameras are unknown; distractors and junk may have -1 among rows with cameras. The metadata may hold the network
//! that extracted the features (`network`), its layer (`layer`: `pool5` or `neck`), whether the mirrored image's
//! feature was added (`mirrored`), the weight file of the network (`weights`: [`WeightsFile`] as JSON), and, where the data set names identities or cameras
//! instead of numbering them, these names (`pid_names`, `camera_names`).

mod about;
mod join;
mod names;
mod origin;
mod values;

pub use about::About;
pub use origin::Origin;

use super::header::count_texts;
use super::provenance::WeightsFile;
use super::tensors::read_tensors_as;
use crate::console::counted;
use crate::data::Labels;
use crate::files::Wanted;
use crate::{Error, Result};
use rayon::prelude::*;
use safetensors::Dtype;
use std::path::Path;
use std::sync::Arc;

use values::{Values, copy_of_unaligned};

/// The name of the tensor of features.
const FEATURES: &str = "features";
/// The name of the tensor of identities.
const PIDS: &str = "pids";
/// The name of the tensor of cameras.
const CAMIDS: &str = "camids";
/// The metadata key of the network's weight file.
const WEIGHTS: &str = "weights";
/// The metadata key of the list of paths.
const PATHS: &str = "paths";
/// Most images of a feature file. With 2,048 values each they have 160 GB; a file of a few kilobytes can claim more.
const MAX_ROWS: usize = 20_000_000;
/// Most images whose paths are stored: in memory each path takes some 60 bytes more than its text.
const MAX_PATHS: usize = 4_000_000;
/// Most values of a feature: far more than any network has, and still little memory for a row.
const MAX_VALUES: usize = 1 << 20;
/// Largest squared length of a row: squared distances between such rows are finite in f32.
const MAX_SQUARED_LENGTH: f64 = f32::MAX as f64 / 8.0;

/// Features with identities and cameras, of consistent lengths and finite values.
///
/// Features, pids and camids of a file are memory-mapped, so that a gallery that is read in order may be larger than
/// the memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    values: Values<f32>,
    dim: usize,
    pids: Values<i64>,
    camids: Values<i64>,
    paths: Vec<String>,
    labels: Labels,
    origin: Origin,
    weights: Option<Arc<WeightsFile>>,
}

impl Features {
    /// Features of `pids.len()` rows with `dim` values each. `paths` is empty if the paths are unknown.
    ///
    /// # Errors
    /// [`Error::Data`] if there are no rows or no columns, if lengths differ, for the first value that is not finite,
    /// the first row whose distances would overflow, and pids and camids outside their range.
    pub fn new(
        features: Vec<f32>,
        dim: usize,
        pids: Vec<i64>,
        camids: Vec<i64>,
        paths: Vec<String>,
    ) -> Result<Self> {
        let (pids, camids) = (Values::Owned(pids), Values::Owned(camids));
        let (labels, origin, weights) = (Labels::default(), Origin::default(), None);
        let values = Values::Owned(features);
        let features = Features { values, dim, pids, camids, paths, labels, origin, weights };
        match features.fault() {
            Some(fault) => Err(Error::Data(format!("features: {fault}"))),
            None => Ok(features),
        }
    }

    /// The same features with another origin.
    pub fn with_origin(self, origin: Origin) -> Self {
        Features { origin, ..self }
    }

    /// The same features with names of identities and cameras.
    pub fn with_labels(self, labels: Labels) -> Self {
        Features { labels, ..self }
    }

    /// The same features of a network with this weight file.
    pub fn with_weights(self, weights: Option<Arc<WeightsFile>>) -> Self {
        Features { weights, ..self }
    }

    /// Maps a feature file and checks that all values are finite.
    ///
    /// # Errors
    /// As [`Features::new`] and [`super::read_tensors`], with the file's name.
    pub fn read(path: &Path) -> Result<Self> {
        let mut file = read_tensors_as(path, Wanted::Features)?;
        let &[rows, dim] = file.tensor(FEATURES)?.shape() else {
            return Err(file.fault(format!(
                "features has shape {:?}; save a matrix [N, D], one row for each image",
                file.tensor(FEATURES)?.shape()
            )));
        };
        if rows > MAX_ROWS {
            return Err(file.fault(format!(
                "it claims {rows} images, and at most {MAX_ROWS} are read; split the gallery into several files"
            )));
        }
        for name in [PIDS, CAMIDS] {
            let shape = file.tensor(name)?.shape();
            if shape != [rows] {
                let rows = counted(rows, "row");
                return Err(file.fault(format!("{name} has shape {shape:?}; features has {rows}")));
            }
        }
        let values = copy_of_unaligned(&file, FEATURES, Dtype::F32)?;
        let pids = copy_of_unaligned(&file, PIDS, Dtype::I64)?;
        let camids = copy_of_unaligned(&file, CAMIDS, Dtype::I64)?;
        let origin = Origin::of(&file)?;
        let weights = file.take_metadata(WEIGHTS).and_then(|json| WeightsFile::from_json(&json));
        let paths = match file.take_metadata(PATHS) {
            None => Vec::new(),
            Some(list) => paths(&list, rows).map_err(|why| file.fault(why))?,
        };
        let labels = names::take(&mut file, rows).map_err(|why| file.fault(why))?;
        let file = Arc::new(file);
        let features = Features {
            values: Values::of(&file, FEATURES, values),
            dim,
            pids: Values::of(&file, PIDS, pids),
            camids: Values::of(&file, CAMIDS, camids),
            paths,
            labels,
            origin,
            weights: weights.map(Arc::new),
        };
        match features.fault() {
            Some(fault) => Err(file.fault(fault)),
            None => Ok(features),
        }
    }

    /// Writes a feature file atomically.
    ///
    /// # Errors
    /// As [`super::write_tensors`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let about = About {
            pids: self.pids(),
            camids: self.camids(),
            paths: &self.paths,
            labels: &self.labels,
            origin: &self.origin,
            weights: self.weights(),
        };
        about.write(path, self.dim, |write| write(self.features()))
    }

    /// Number of images, at least 1.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.pids().len()
    }

    /// Number of values of a feature, at least 1.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All rows, one after another.
    pub fn features(&self) -> &[f32] {
        self.values.as_slice()
    }

    /// The feature of image `index`.
    ///
    /// # Panics
    /// If there are not more than `index` images.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.features()[index * self.dim..][..self.dim]
    }

    /// The identities; -1 is junk.
    pub fn pids(&self) -> &[i64] {
        self.pids.as_slice()
    }

    /// The cameras; -1 is unknown, either in every row or for distractors and junk (pid 0 or -1).
    pub fn camids(&self) -> &[i64] {
        self.camids.as_slice()
    }

    /// The images' paths, one for each row; empty if unknown.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// The names of identities and cameras, where the data set has them.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The origin: network and kind of extraction.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The weight file of the network; `None`: not recorded.
    pub fn weights(&self) -> Option<&Arc<WeightsFile>> {
        self.weights.as_ref()
    }

    /// Whether the cameras are known.
    pub fn has_cameras(&self) -> bool {
        self.camids().iter().any(|&camid| camid != -1)
    }

    /// Other features of the same images, such as normalised ones, with the same identities, cameras, paths, origin and
    /// weight file.
    ///
    /// # Errors
    /// As [`Features::new`].
    pub fn with_values(&self, values: Vec<f32>, dim: usize) -> Result<Self> {
        let features = Features { values: Values::Owned(values), dim, ..self.clone() };
        match features.fault() {
            Some(fault) => Err(Error::Data(format!("features: {fault}"))),
            None => Ok(features),
        }
    }

    /// The same features with absolute paths, which do not depend on the current folder.
    pub fn with_absolute_paths(mut self) -> Self {
        for path in &mut self.paths {
            if let Ok(whole) = std::path::absolute(&*path) {
                *path = whole.display().to_string();
            }
        }
        self
    }

    /// The smallest and the largest Euclidean length of a row.
    pub fn lengths(&self) -> (f64, f64) {
        let lengths = self.features().par_chunks(self.dim).map(|row| squared_length(row).sqrt());
        lengths.map(|l| (l, l)).reduce(|| (f64::INFINITY, 0.0), |a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// The same features in memory, each divided by its Euclidean length; a row of zeros is unchanged.
    ///
    /// # Errors
    /// [`Error::Data`] without memory for a copy of mapped features.
    pub fn normalised(self) -> Result<Self> {
        let mut values = self.values.into_memory("normalised features")?;
        normalise_rows(&mut values, self.dim);
        Ok(Features { values: Values::Owned(values), ..self })
    }

    /// The first fault; none if the features are valid.
    fn fault(&self) -> Option<String> {
        let (pids, camids) = (self.pids(), self.camids());
        let (n, dim) = (pids.len(), self.dim);
        if dim > MAX_VALUES {
            return Some(format!("a feature has {dim} values; the most are {MAX_VALUES}"));
        }
        if n == 0 || dim == 0 {
            return Some(format!(
                "{} with {} each; give at least one of both",
                counted(n, "image"),
                counted(dim, "value")
            ));
        }
        if n.checked_mul(dim) != Some(self.features().len()) || camids.len() != n {
            let (values, camids) = (counted(self.features().len(), "value"), counted(camids.len(), "camid"));
            let pids = counted(n, "pid");
            // A matrix has whole rows; a list of values may not.
            let rows = match self.features().len() {
                values if values % dim == 0 => counted(values / dim, "row"),
                _ => format!("{values} in rows of {dim}"),
            };
            return Some(format!("{rows}, but {pids} and {camids}; give one of each for each image"));
        }
        if !self.paths.is_empty() && self.paths.len() != n {
            return Some(fault_of_paths(n, self.paths.len()));
        }
        if let Some(i) = pids.iter().position(|&p| p < -1) {
            return Some(format!("pids[{i}] is {}; a pid is -1 (junk) or at least 0", pids[i]));
        }
        if let Some(i) = camids.iter().position(|&c| c < -1) {
            return Some(format!("camids[{i}] is {}; a camid is -1 (unknown) or at least 0", camids[i]));
        }
        // Distractors and junk need no camera, because evaluation never drops them for their camera.
        let persons = || pids.iter().zip(camids).filter(|&(&pid, _)| pid > 0);
        let unknown = persons().filter(|&(_, &camid)| camid == -1).count();
        if unknown > 0 && self.has_cameras() {
            return Some(format!(
                "the camids of {unknown} of {} images of persons are unknown; give all of them, or -1 for every image",
                persons().count()
            ));
        }
        fault_in_rows(self.features(), dim, 0, &self.paths)
    }
}

/// The paths in the text of the metadata, which must be as many as `rows`.
///
/// # Errors
/// A description of the fault. No list of another length is kept in memory.
fn paths(list: &str, rows: usize) -> std::result::Result<Vec<String>, String> {
    let Some(count) = count_texts(list) else {
        return Err(format!("metadata {PATHS:?} is not a JSON list of strings; write one path for each row"));
    };
    if count != 0 && count != rows {
        return Err(fault_of_paths(rows, count));
    }
    if count > MAX_PATHS {
        return Err(format!("it names {count} paths, and at most {MAX_PATHS} are read; leave out {PATHS:?}"));
    }
    serde_json::from_str(list).map_err(|e| e.to_string())
}

fn fault_of_paths(images: usize, paths: usize) -> String {
    let (images, paths) = (counted(images, "image"), counted(paths, "path"));
    format!("{images}, but {paths}; give a path for each image or none")
}

/// The first row that is not finite or whose distances would overflow; `first` is the index of the first of `rows`.
fn fault_in_rows(rows: &[f32], dim: usize, first: usize, paths: &[String]) -> Option<String> {
    rows.par_chunks(dim).enumerate().find_map_first(|(i, row)| {
        // The sum is NaN or infinity if any value is.
        let length = squared_length(row);
        if length <= MAX_SQUARED_LENGTH {
            return None;
        }
        let i = first + i;
        let path = paths.get(i).map(|p| format!(" ({p})")).unwrap_or_default();
        Some(match row.iter().position(|v| !v.is_finite()) {
            Some(j) => format!("row {i}{path} holds {} at {j}; give finite features", row[j]),
            None => {
                let length = length.sqrt();
                format!(
                    "row {i}{path} is {length:.1e} long; its squared distances overflow single precision, so scale the \
                     features down"
                )
            }
        })
    })
}

/// Divides each row of `dim` values by its Euclidean length; a row of zeros is unchanged.
///
/// # Panics
/// If `dim` is 0.
pub fn normalise_rows(values: &mut [f32], dim: usize) {
    values.par_chunks_mut(dim).for_each(|row| {
        let length = squared_length(row).sqrt();
        if length > 0.0 {
            row.iter_mut().for_each(|v| *v = (f64::from(*v) / length) as f32);
        }
    });
}

fn squared_length(row: &[f32]) -> f64 {
    row.iter().map(|&v| f64::from(v) * f64::from(v)).sum()
}

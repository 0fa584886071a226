//! `bcreid.Extractor` and `bcreid.extract`.

use crate::error::{ToPython, fault, warn};
use crate::features::PyFeatures;
use crate::images::{self, Argument, Arrays};
use crate::{arrays, evaluate, job};
use bcreid::data::folder::Folder;
use bcreid::data::{BadImages, Images, Sample};
use bcreid::eval::extract::Extractor;
use bcreid::weights::Features;
use numpy::PyArray2;
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Number of arrays that are copied at a time.
const COPIED: usize = 256;

/// A network on a device that extracts features.
#[pyclass(name = "Extractor", module = "bcreid", frozen)]
pub struct PyExtractor {
    inner: Arc<Mutex<Extractor>>,
    dim: usize,
    device: String,
    weights: PathBuf,
}

#[pymethods]
impl PyExtractor {
    #[new]
    #[pyo3(signature = (weights, *, device="auto", precision="f32", batch=32, flip=false))]
    fn new(
        py: Python<'_>,
        weights: PathBuf,
        device: &str,
        precision: &str,
        batch: i64,
        flip: bool,
    ) -> PyResult<Self> {
        let batch = usize::try_from(batch)
            .map_err(|_| fault(format!("a batch of {batch} images: give 1 to 1024 images")))?;
        let (device, which) = evaluate::choose(py, device, precision)?;
        let path = weights.clone();
        let load = move || Ok(Extractor::load(&path, &device)?.with_batch(batch)?.with_flip(flip));
        let extractor = job::run_silently(py, load)?;
        if let Some(note) = extractor.note() {
            warn(py, note)?;
        }
        let device = which.strip_prefix("device: ").unwrap_or(&which).to_string();
        Ok(PyExtractor { dim: extractor.dim(), device, weights, inner: Arc::new(Mutex::new(extractor)) })
    }

    /// The features of images, float32 [N, D], each row of length 1.
    #[pyo3(signature = (images, *, progress=None))]
    fn extract(
        &self,
        images: &Bound<'_, PyAny>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyArray2<f32>>> {
        let py = images.py();
        let rows = match images::of_argument(images)? {
            Argument::Path(path) => self.rows(py, self.folder(py, path)?, progress)?,
            Argument::Files(paths) => {
                let sample = |path: PathBuf| Sample { path, pid: -1, camid: None };
                self.rows(py, paths.into_iter().map(sample).collect(), progress)?
            }
            Argument::Arrays(arrays) => self.rows_of_arrays(py, &arrays, progress)?,
        };
        arrays::matrix(py, rows, self.dim)
    }

    /// The features of all images in a folder, with the identities and cameras that the file names give. With
    /// bad_images="skip" an unreadable image has no row, and a warning names it.
    #[pyo3(signature = (folder, *, bad_images="refuse", progress=None))]
    fn extract_folder(
        &self,
        py: Python<'_>,
        folder: PathBuf,
        bad_images: &str,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyFeatures> {
        let bad_images = match bad_images {
            "refuse" => BadImages::Refuse,
            "skip" => BadImages::Skip,
            other => return Err(fault(format!("bad_images {other:?}: choose refuse or skip"))),
        };
        let samples = self.folder(py, folder)?;
        Ok(self.features(py, samples, bad_images, progress)?.into())
    }

    /// D, the number of values of a feature.
    #[getter]
    fn dim(&self) -> usize {
        self.dim
    }

    /// The device that computes.
    #[getter]
    fn device(&self) -> &str {
        &self.device
    }

    fn __repr__(&self) -> String {
        format!("<bcreid.Extractor: {}, {} values, {}>", self.weights.display(), self.dim, self.device)
    }
}

impl PyExtractor {
    /// The images of a folder; its notes become warnings.
    fn folder(&self, py: Python<'_>, path: PathBuf) -> PyResult<Vec<Sample>> {
        let folder = job::run_silently(py, move || Folder::open(&path))?;
        folder.notes.iter().try_for_each(|note| warn(py, note))?;
        Ok(folder.samples)
    }

    /// The features of images, in their order and without unreadable ones that are to be left out; each of those
    /// becomes a warning.
    fn features(
        &self,
        py: Python<'_>,
        samples: Vec<Sample>,
        bad_images: BadImages,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Features> {
        let (features, skipped) = job::run_with(
            py,
            |done, total| tell(progress, done, total),
            self.inner.clone(),
            move |extractor, reporter| {
                let total = samples.len();
                extractor.set_bad_images(bad_images);
                let (mut rows, mut kept) = (Vec::new(), Vec::new());
                let files = samples.iter().map(|sample| sample.path.clone()).collect();
                let done = extractor.for_each_batch(Images::Files(files), |images, batch| {
                    rows.extend_from_slice(batch);
                    kept.extend(images.iter().map(|image| &samples[*image]));
                    reporter.advance(images.last().map_or(0, |last| last + 1), total)
                });
                // Other calls give a row for each image.
                extractor.set_bad_images(BadImages::Refuse);
                let skipped = extractor.take_skipped();
                done?;
                let pids = kept.iter().map(|sample| sample.pid).collect();
                let camids = kept.iter().map(|sample| sample.camid.unwrap_or(-1)).collect();
                let paths = kept.iter().map(|sample| sample.path.display().to_string()).collect();
                let features = Features::new(rows, extractor.dim(), pids, camids, paths)?;
                let features = features.with_origin(extractor.origin());
                Ok((features.with_weights(Some(extractor.weights_file())), skipped))
            },
        )?;
        skipped.iter().try_for_each(|line| warn(py, &format!("left out: {line}")))?;
        Ok(features)
    }

    fn rows(
        &self,
        py: Python<'_>,
        samples: Vec<Sample>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<f32>> {
        arrays::copy(
            self.features(py, samples, BadImages::Refuse, progress)?.features(),
            "the features' array",
        )
        .to_python()
    }

    fn rows_of_arrays(
        &self,
        py: Python<'_>,
        images: &Arrays<'_>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<f32>> {
        let (total, dim) = (images.len(), self.dim);
        let mut all = Vec::new();
        for first in (0..total).step_by(COPIED) {
            let pictures = images.copies(first, COPIED)?;
            let rows = job::run_with(
                py,
                |done, _| tell(progress, first + done, total),
                self.inner.clone(),
                move |extractor, reporter| {
                    let (mut rows, own) = (Vec::new(), pictures.len());
                    extractor.for_each_batch(Images::Decoded(pictures), |_, batch| {
                        rows.extend_from_slice(batch);
                        reporter.advance(rows.len() / dim, own)
                    })?;
                    Ok(rows)
                },
            )?;
            all.extend(rows);
        }
        match all.iter().position(|value| !value.is_finite()) {
            Some(at) => {
                Err(fault(format!("images[{}]: its feature is not finite; check the weights", at / dim)))
            }
            None => Ok(all),
        }
    }
}

/// Calls Python's `progress(done, total)`.
fn tell(progress: Option<&Bound<'_, PyAny>>, done: usize, total: usize) -> PyResult<()> {
    progress.map_or(Ok(()), |progress| progress.call1((done, total)).map(|_| ()))
}

/// The features of images by the network of a run or a weight file, float32 [N, D], each row of length 1.
#[pyfunction]
#[pyo3(signature = (weights, images, *, device="auto", precision="f32", batch=32, flip=false, progress=None))]
#[expect(clippy::too_many_arguments, reason = "these are keywords in Python")]
pub fn extract(
    py: Python<'_>,
    weights: PathBuf,
    images: &Bound<'_, PyAny>,
    device: &str,
    precision: &str,
    batch: i64,
    flip: bool,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Py<PyArray2<f32>>> {
    PyExtractor::new(py, weights, device, precision, batch, flip)?.extract(images, progress)
}

//! `bcreid.Features` and `bcreid.read_features`.

use crate::error::{ToPython, fault};
use crate::{arrays, job};
use bcreid::data::Labels;
use bcreid::export::features;
use bcreid::weights::{Features, Origin};
use numpy::{PyArray1, PyArray2};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

/// Features of N images, D values each, with identities, cameras and paths.
#[pyclass(name = "Features", module = "bcreid", frozen)]
pub struct PyFeatures {
    /// A clone of features that were read from a file shares its mapping.
    inner: Features,
    rows: PyOnceLock<Py<PyArray2<f32>>>,
    pids: PyOnceLock<Py<PyArray1<i64>>>,
    camids: PyOnceLock<Py<PyArray1<i64>>>,
}

impl From<Features> for PyFeatures {
    fn from(inner: Features) -> Self {
        PyFeatures { inner, rows: PyOnceLock::new(), pids: PyOnceLock::new(), camids: PyOnceLock::new() }
    }
}

impl PyFeatures {
    pub fn inner(&self) -> &Features {
        &self.inner
    }
}

#[pymethods]
impl PyFeatures {
    #[new]
    #[pyo3(signature = (features, pids, camids=None, *, paths=None, network=None, mirrored=None, pid_names=None,
                        camera_names=None))]
    #[expect(clippy::too_many_arguments, reason = "these are keywords in Python")]
    fn new(
        features: &Bound<'_, PyAny>,
        pids: &Bound<'_, PyAny>,
        camids: Option<&Bound<'_, PyAny>>,
        paths: Option<Vec<String>>,
        network: Option<String>,
        mirrored: Option<bool>,
        pid_names: Option<BTreeMap<i64, String>>,
        camera_names: Option<BTreeMap<i64, String>>,
    ) -> PyResult<Self> {
        let py = features.py();
        let (rows, dim) = arrays::rows_of(features)?;
        let pids = arrays::integers_of(pids, "pids")?;
        let camids = match camids {
            Some(camids) => arrays::integers_of(camids, "camids")?,
            None => vec![-1; pids.len()],
        };
        let origin = Origin { network, mirrored, ..Origin::default() };
        let labels = Labels {
            pids: names_of(pid_names, "pid_names", &pids)?,
            cameras: names_of(camera_names, "camera_names", &camids)?,
        };
        let checked = job::run_silently(py, move || {
            let features = Features::new(rows, dim, pids, camids, paths.unwrap_or_default())?;
            Ok(features.with_origin(origin).with_labels(labels))
        })?;
        Ok(checked.into())
    }

    /// float32 [N, D], one row for each image; a copy that is made at the first use and cannot be written.
    #[getter]
    fn features(&self, py: Python<'_>) -> PyResult<Py<PyArray2<f32>>> {
        let make = || {
            let features = self.inner.clone();
            let rows =
                job::run_silently(py, move || arrays::copy(features.features(), "the features' array"))?;
            arrays::matrix(py, rows, self.inner.dim())
        };
        self.rows.get_or_try_init(py, make).map(|array| array.clone_ref(py))
    }

    /// int64 [N]: the identities; -1 is junk.
    #[getter]
    fn pids(&self, py: Python<'_>) -> PyResult<Py<PyArray1<i64>>> {
        list(py, &self.pids, self.inner.pids())
    }

    /// int64 [N]: the cameras; -1 is unknown.
    #[getter]
    fn camids(&self, py: Python<'_>) -> PyResult<Py<PyArray1<i64>>> {
        list(py, &self.camids, self.inner.camids())
    }

    /// The images' paths; empty if unknown.
    #[getter]
    fn paths(&self) -> Vec<String> {
        self.inner.paths().to_vec()
    }

    /// The names of identities by their numbers; empty where the data set has numbers itself.
    #[getter]
    fn pid_names(&self) -> BTreeMap<i64, String> {
        self.inner.labels().pids.clone()
    }

    /// The names of cameras by their numbers; empty where the data set has numbers itself.
    #[getter]
    fn camera_names(&self) -> BTreeMap<i64, String> {
        self.inner.labels().cameras.clone()
    }

    /// The origin: "network" (a fingerprint), "mirrored" (whether the mirror image's feature was added), "pooled" (how
    /// several images became one row) and "layer" ("pool5", "embedding" or "neck"), each None if unknown.
    #[getter]
    fn about<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let origin = self.inner.origin();
        let about = PyDict::new(py);
        about.set_item("network", origin.network.as_deref())?;
        about.set_item("mirrored", origin.mirrored)?;
        about.set_item("pooled", origin.pooled.as_deref())?;
        about.set_item("layer", origin.layer.as_deref())?;
        Ok(about)
    }

    /// D, the number of values of a feature.
    #[getter]
    fn dim(&self) -> usize {
        self.inner.dim()
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }

    fn __repr__(&self) -> String {
        format!("<bcreid.Features: {} images, {} values each>", self.inner.len(), self.inner.dim())
    }
}

/// The names of an argument that a row has; those of other rows are left out, so that a part of the rows may come with
/// the names of all.
fn names_of(
    names: Option<BTreeMap<i64, String>>,
    what: &str,
    numbers: &[i64],
) -> PyResult<BTreeMap<i64, String>> {
    let mut names = names.unwrap_or_default();
    let known: HashSet<i64> = numbers.iter().copied().filter(|number| *number >= 0).collect();
    for (number, name) in &names {
        if name.trim().is_empty() {
            return Err(fault(format!(
                "{what}: the name of {number} is empty; leave it out, or give a name"
            )));
        }
        if *number < 0 {
            return Err(fault(format!(
                "{what}: {number} stands for an unknown one, which has no name; leave it out"
            )));
        }
    }
    names.retain(|number, _| known.contains(number));
    Ok(names)
}

fn list(py: Python<'_>, kept: &PyOnceLock<Py<PyArray1<i64>>>, values: &[i64]) -> PyResult<Py<PyArray1<i64>>> {
    let make = || Ok::<_, PyErr>(arrays::list(py, arrays::copy(values, "a list of identities").to_python()?));
    kept.get_or_try_init(py, make).map(|array| array.clone_ref(py))
}

/// Reads a feature file: .safetensors, or .npy with the .csv beside it.
#[pyfunction]
pub fn read_features(py: Python<'_>, path: PathBuf) -> PyResult<PyFeatures> {
    Ok(job::run_silently(py, move || features::read(&path))?.into())
}

/// The features that an argument names: `bcreid.Features` or the path of a feature file.
pub fn of_argument(object: &Bound<'_, PyAny>, what: &str) -> PyResult<Features> {
    if let Ok(features) = object.cast::<PyFeatures>() {
        return Ok(features.get().inner().clone());
    }
    match object.extract::<PathBuf>() {
        Ok(path) => job::run_silently(object.py(), move || features::read(&path)),
        Err(_) => Err(fault(format!(
            "{what}: {}; give bcreid.Features or the path of a feature file",
            arrays::description(object)
        ))),
    }
}

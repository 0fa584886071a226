//! `bcreid.Run` and `bcreid.Evaluation`.

use crate::error::{ToPython, fault};
use crate::features::PyFeatures;
use crate::{arrays, evaluate, job, values};
use bcreid::eval::run_evaluations::{self, Evaluation};
use bcreid::run::metrics::StepMetrics;
use bcreid::run::{Layout, folder, metrics};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use serde_json::Value;
use std::path::PathBuf;

/// The folder of a run. What it reads is kept: another `Run` of the same folder sees later steps.
#[pyclass(name = "Run", module = "bcreid", frozen)]
pub struct PyRun {
    layout: Layout,
    config: Py<PyAny>,
    metrics: PyOnceLock<Py<PyDict>>,
    evaluations: PyOnceLock<Py<PyDict>>,
}

#[pymethods]
impl PyRun {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let config = folder::read_config(&path).to_python()?;
        let table: toml::Table =
            toml::from_str(&config.to_toml()).map_err(|e| fault(format!("the settings: {e}")))?;
        let config = values::of_toml(py, &toml::Value::Table(table))?;
        let layout = Layout::of(&path);
        Ok(PyRun { layout, config, metrics: PyOnceLock::new(), evaluations: PyOnceLock::new() })
    }

    /// The folder.
    #[getter]
    fn path(&self) -> PathBuf {
        self.layout.path().to_path_buf()
    }

    /// The settings by section, `config["solver"]["lr"]`, with the defaults of settings that the file does not have.
    #[getter]
    fn config(&self, py: Python<'_>) -> Py<PyAny> {
        self.config.clone_ref(py)
    }

    /// The metrics by name, an array with a value for each step: "step" int64, all others float32, NaN where a batch
    /// has no such value. Losses beside softmax and batch-contrastive are there if the run has them.
    #[getter]
    fn metrics(&self, py: Python<'_>) -> PyResult<Py<PyDict>> {
        let make = || {
            let path = self.layout.metrics();
            let columns = job::run_silently(py, move || Ok(columns(&metrics::read(&path)?)))?;
            let dict = PyDict::new(py);
            dict.set_item("step", arrays::list(py, columns.steps))?;
            for (name, column) in columns.values {
                dict.set_item(name, arrays::list(py, column))?;
            }
            Ok::<_, PyErr>(dict.unbind())
        };
        self.metrics.get_or_try_init(py, make).map(|dict| dict.clone_ref(py))
    }

    /// The stored evaluations by name.
    #[getter]
    fn evaluations(&self, py: Python<'_>) -> PyResult<Py<PyDict>> {
        let make = || {
            let path = self.layout.path().to_path_buf();
            let all = job::run_silently(py, move || run_evaluations::of_run(&path, 0, &[]))?;
            let dict = PyDict::new(py);
            for evaluation in all {
                let name = evaluation.kept.name.clone();
                dict.set_item(name, PyEvaluation::new(py, evaluation)?)?;
            }
            Ok::<_, PyErr>(dict.unbind())
        };
        self.evaluations.get_or_try_init(py, make).map(|dict| dict.clone_ref(py))
    }

    /// The weights of a finished run; None before its end.
    #[getter]
    fn weights(&self) -> Option<PathBuf> {
        Some(self.layout.weights()).filter(|path| path.is_file())
    }

    fn __repr__(&self) -> String {
        format!("<bcreid.Run: {}>", self.layout.path().display())
    }
}

/// The metrics of all steps by name.
struct Columns {
    steps: Vec<i64>,
    values: Vec<(String, Vec<f32>)>,
}

/// The names are those of `metrics.jsonl`, so that a metric that is added there is in the arrays too. A loss that a run
/// does not have is in no step, and has no array.
fn columns(steps: &[StepMetrics]) -> Columns {
    let fields = |step: &StepMetrics| match serde_json::to_value(step) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let in_every_run = fields(&StepMetrics::default());
    let mut values: Vec<(String, Vec<f32>)> =
        in_every_run.keys().filter(|name| *name != "step").map(|name| (name.clone(), Vec::new())).collect();
    for (earlier, step) in steps.iter().enumerate() {
        let fields = fields(step);
        for name in fields.keys().filter(|name| *name != "step") {
            if !values.iter().any(|(known, _)| known == name) {
                values.push((name.clone(), vec![f32::NAN; earlier]));
            }
        }
        for (name, column) in &mut values {
            column.push(fields.get(name).and_then(Value::as_f64).map_or(f32::NAN, |value| value as f32));
        }
    }
    let steps = steps.iter().map(|step| i64::try_from(step.step).unwrap_or(i64::MAX)).collect();
    Columns { steps, values }
}

/// A stored evaluation of a run.
#[pyclass(name = "Evaluation", module = "bcreid", frozen)]
pub struct PyEvaluation {
    name: String,
    images: Vec<String>,
    query: Py<PyFeatures>,
    gallery: Py<PyFeatures>,
    report: Py<PyAny>,
    note: Option<String>,
}

impl PyEvaluation {
    fn new(py: Python<'_>, evaluation: Evaluation) -> PyResult<Self> {
        let Evaluation { kept, note, .. } = evaluation;
        Ok(PyEvaluation {
            report: evaluate::dict(py, &kept.report)?,
            query: Py::new(py, PyFeatures::from(kept.query))?,
            gallery: Py::new(py, PyFeatures::from(kept.gallery))?,
            name: kept.name,
            images: kept.images,
            note,
        })
    }
}

#[pymethods]
impl PyEvaluation {
    /// Name of the data set's folder, followed by the options that differ from the plain protocol.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// The folders of the images.
    #[getter]
    fn images(&self) -> Vec<String> {
        self.images.clone()
    }

    /// Features of the queries.
    #[getter]
    fn query(&self, py: Python<'_>) -> Py<PyFeatures> {
        self.query.clone_ref(py)
    }

    /// Features of the gallery.
    #[getter]
    fn gallery(&self, py: Python<'_>) -> Py<PyFeatures> {
        self.gallery.clone_ref(py)
    }

    /// The figures, with the keys of `bcreid eval --json`.
    #[getter]
    fn report(&self, py: Python<'_>) -> Py<PyAny> {
        self.report.clone_ref(py)
    }

    /// A warning if the figures are not known to be of the run's result.
    #[getter]
    fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    fn __repr__(&self) -> String {
        format!("<bcreid.Evaluation: {}>", self.name)
    }
}

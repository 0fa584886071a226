//! `bcreid.evaluate`.

use crate::error::{ToPython, fault};
use crate::{features, job, values};
use bcreid::device::{Device, Precision};
use bcreid::eval::{self, Protocol, Report, Rerank, Unmatched};
use bcreid::weights::Features;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

/// Ranks the gallery for every query: CMC, both mAPs and mINP, as `bcreid eval --json` writes them.
#[pyfunction]
#[pyo3(signature = (query, gallery, *, normalise=false, count_unmatched=false, ignore_cameras=false, rerank=false,
                    k1=20, k2=6, lambda_=0.3, device="auto", precision="f32"))]
#[expect(clippy::too_many_arguments, reason = "these are keywords in Python")]
pub fn evaluate(
    query: &Bound<'_, PyAny>,
    gallery: &Bound<'_, PyAny>,
    normalise: bool,
    count_unmatched: bool,
    ignore_cameras: bool,
    rerank: bool,
    k1: i64,
    k2: i64,
    lambda_: f64,
    device: &str,
    precision: &str,
) -> PyResult<Py<PyAny>> {
    let py = query.py();
    // A negative number is refused with the words for 0, and not with Python's about its conversion.
    let count = |name: &str, value: i64| {
        usize::try_from(value)
            .map_err(|_| fault(format!("{name} is {value}; it counts neighbours: give 1 to 1000")))
    };
    let settings = Rerank { k1: count("k1", k1)?, k2: count("k2", k2)?, lambda: lambda_ };
    if rerank {
        settings.check().to_python()?;
    } else if settings != Rerank::default() {
        return Err(fault(
            "k1, k2 and lambda_ are settings of re-ranking; give rerank=True too, or leave them out",
        ));
    }
    let unmatched = if count_unmatched { Unmatched::Missed } else { Unmatched::Dropped };
    let protocol = Protocol { normalise, unmatched, ignore_cameras, rerank: rerank.then_some(settings) };
    let query = features::of_argument(query, "query")?;
    let gallery = gallery_of(gallery)?;
    let (device, _) = choose(py, device, precision)?;
    let report = job::run_silently(py, move || eval::evaluate(&query, &gallery, &protocol, &device))?;
    dict(py, &report)
}

/// A gallery, which several feature files may form.
fn gallery_of(object: &Bound<'_, PyAny>) -> PyResult<Features> {
    if !object.is_instance_of::<PyList>() && !object.is_instance_of::<PyTuple>() {
        return features::of_argument(object, "gallery");
    }
    let parts = object.try_iter()?.map(|part| features::of_argument(&part?, "gallery"));
    let parts = parts.collect::<PyResult<Vec<Features>>>()?;
    job::run_silently(object.py(), move || Features::concat(&parts))
}

/// The device of the arguments `device` and `precision`, and a line that names it.
pub fn choose(py: Python<'_>, device: &str, precision: &str) -> PyResult<(Device, String)> {
    let wanted: Precision =
        precision.parse().map_err(|why: String| fault(format!("precision {precision:?}: {why}")))?;
    let device = device.to_string();
    job::run_silently(py, move || Device::choose(&device, wanted))
}

/// A report with the keys of its JSON.
pub fn dict(py: Python<'_>, report: &Report) -> PyResult<Py<PyAny>> {
    let json = serde_json::to_value(report).map_err(|e| fault(format!("the report: {e}")))?;
    values::of_json(py, &json)
}

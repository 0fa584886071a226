//! TOML and JSON as Python's values.

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde_json::Value;

/// A value of TOML.
pub fn of_toml(py: Python<'_>, value: &toml::Value) -> PyResult<Py<PyAny>> {
    match value {
        toml::Value::String(text) => text.into_py_any(py),
        toml::Value::Integer(number) => number.into_py_any(py),
        toml::Value::Float(number) => number.into_py_any(py),
        toml::Value::Boolean(truth) => truth.into_py_any(py),
        toml::Value::Datetime(time) => time.to_string().into_py_any(py),
        toml::Value::Array(values) => {
            let items = values.iter().map(|value| of_toml(py, value)).collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, items)?.into_py_any(py)
        }
        toml::Value::Table(table) => {
            let dict = PyDict::new(py);
            table.iter().try_for_each(|(key, value)| dict.set_item(key, of_toml(py, value)?))?;
            dict.into_py_any(py)
        }
    }
}

/// A value of JSON.
pub fn of_json(py: Python<'_>, value: &Value) -> PyResult<Py<PyAny>> {
    match value {
        Value::Null => Ok(py.None()),
        Value::Bool(truth) => truth.into_py_any(py),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into_py_any(py),
            None => number.as_f64().into_py_any(py),
        },
        Value::String(text) => text.into_py_any(py),
        Value::Array(values) => {
            let items = values.iter().map(|value| of_json(py, value)).collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, items)?.into_py_any(py)
        }
        Value::Object(object) => {
            let dict = PyDict::new(py);
            object.iter().try_for_each(|(key, value)| dict.set_item(key, of_json(py, value)?))?;
            dict.into_py_any(py)
        }
    }
}

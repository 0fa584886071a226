//! NumPy arrays: of values for Python, and of Python as values.

use crate::error::fault;
use bcreid::Result;
use numpy::{
    Element, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArrayDyn,
    PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::prelude::*;

/// The values as an array `[N]` that cannot be written.
pub fn list<T: Element>(py: Python<'_>, values: Vec<T>) -> Py<PyArray1<T>> {
    let array = PyArray1::from_vec(py, values);
    array.readwrite().make_nonwriteable();
    array.unbind()
}

/// The values as an array `[N, dim]` that cannot be written.
///
/// # Errors
/// No memory.
pub fn matrix(py: Python<'_>, values: Vec<f32>, dim: usize) -> PyResult<Py<PyArray2<f32>>> {
    let rows = values.len() / dim;
    let array = PyArray1::from_vec(py, values).reshape([rows, dim])?;
    array.readwrite().make_nonwriteable();
    Ok(array.unbind())
}

/// A copy of values, or an error where there is no memory for it.
///
/// # Errors
/// No memory.
pub fn copy<T: Copy>(values: &[T], what: &str) -> Result<Vec<T>> {
    let mut copy = bcreid::files::reserve(values.len(), what)?;
    copy.extend_from_slice(values);
    Ok(copy)
}

/// A matrix float32 or float64 `[N, D]` as its rows and D; float64 is rounded.
///
/// # Errors
/// Another object or shape.
pub fn rows_of(object: &Bound<'_, PyAny>) -> PyResult<(Vec<f32>, usize)> {
    if let Ok(array) = object.extract::<PyReadonlyArray2<'_, f32>>() {
        return Ok((array.as_array().iter().copied().collect(), array.shape()[1]));
    }
    if let Ok(array) = object.extract::<PyReadonlyArray2<'_, f64>>() {
        return Ok((array.as_array().iter().map(|&value| value as f32).collect(), array.shape()[1]));
    }
    Err(fault(format!("features: {}; give a float32 or float64 array [N, D]", description(object))))
}

/// Whole numbers `[N]`: an int64 array, or any sequence of integers.
///
/// # Errors
/// Another object or shape; a number beyond 64 bits.
pub fn integers_of(object: &Bound<'_, PyAny>, what: &str) -> PyResult<Vec<i64>> {
    if let Ok(array) = object.extract::<PyReadonlyArray1<'_, i64>>() {
        return Ok(array.as_array().iter().copied().collect());
    }
    object
        .extract()
        .map_err(|_| fault(format!("{what}: {}; give integers [N], one for each row", description(object))))
}

/// A uint8 array of any shape.
pub fn bytes_of<'py>(object: &Bound<'py, PyAny>) -> Option<PyReadonlyArrayDyn<'py, u8>> {
    object.extract().ok()
}

/// True for a NumPy array.
pub fn is_array(object: &Bound<'_, PyAny>) -> bool {
    object.cast::<PyUntypedArray>().is_ok()
}

/// An object in words: `a float32 array [3, 4]`, `a list`.
pub fn description(object: &Bound<'_, PyAny>) -> String {
    match object.cast::<PyUntypedArray>() {
        Ok(array) => format!("a {} array {:?}", array.dtype(), array.shape()),
        Err(_) => match object.get_type().name() {
            Ok(name) => format!("an object of type {name}"),
            Err(_) => "an object of an unknown type".into(),
        },
    }
}

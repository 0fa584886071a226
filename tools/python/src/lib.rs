//! The Python module of `bcreid`: runs and features as NumPy arrays, evaluation, feature extraction, and the two
//! programs.
//!
//! Python's own part (`python/bcreid`) holds the types for checkers and the entry points of the programs. Arrays of the
//! caller are copied before the interpreter's lock is released, because other threads of Python may write into them.
//! Computations run on a thread of their own ([`job`]), so that Ctrl-C and other threads of Python are served.

mod arrays;
mod error;
mod evaluate;
mod extract;
mod features;
mod images;
mod job;
mod programs;
mod run;
mod values;

use pyo3::prelude::*;

/// The module `bcreid._bcreid`.
#[pymodule(name = "_bcreid")]
fn define(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("Error", module.py().get_type::<error::PyError>())?;
    module.add_class::<features::PyFeatures>()?;
    module.add_class::<run::PyRun>()?;
    module.add_class::<run::PyEvaluation>()?;
    module.add_class::<extract::PyExtractor>()?;
    module.add_function(wrap_pyfunction!(features::read_features, module)?)?;
    module.add_function(wrap_pyfunction!(evaluate::evaluate, module)?)?;
    module.add_function(wrap_pyfunction!(extract::extract, module)?)?;
    module.add_function(wrap_pyfunction!(programs::run_program, module)?)
}

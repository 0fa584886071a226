//! `bcreid.Error`, and warnings.

pub use exception::Error as PyError;

use bcreid::Error;
use bcreid::error::{Remedy, printable};
use pyo3::exceptions::PyUserWarning;
use pyo3::prelude::*;
use std::ffi::CString;

/// Tracebacks show the name of the type, and in Python it is `bcreid.Error`.
mod exception {
    pyo3::create_exception!(
        bcreid,
        Error,
        pyo3::exceptions::PyException,
        "An error of bcreid. Its text is one line that says what is wrong, where, and how to fix it. An argument of \
         another type is Python's TypeError, and a number beyond 64 bits its OverflowError."
    );
}

/// The result of a function of the library as Python's.
pub trait ToPython<T> {
    /// The value, or the exception `bcreid.Error`.
    fn to_python(self) -> PyResult<T>;
}

impl<T> ToPython<T> for bcreid::Result<T> {
    fn to_python(self) -> PyResult<T> {
        self.map_err(|error| PyError::new_err(error.line_with(argument)))
    }
}

/// An exception `bcreid.Error` with this text.
pub fn fault(text: impl Into<String>) -> PyErr {
    PyError::new_err(printable(&text.into()))
}

/// The Python argument that avoids an error.
fn argument(remedy: &Remedy) -> String {
    match remedy {
        Remedy::Precision(name) => format!("give precision={name:?}"),
        Remedy::SmallerBatch => "give a smaller batch".into(),
        Remedy::CpuDevice => "give device=\"cpu\", which has no requirements".into(),
        Remedy::IgnoreCameras => "give ignore_cameras=True if the camera numbers have no meaning".into(),
        Remedy::SkipImages => {
            "leave them out: of a folder with Extractor.extract_folder(folder, bad_images=\"skip\"), of a list yourself"
                .into()
        }
        other => other.to_string(),
    }
}

/// Warns of something that is no error, as `UserWarning`.
pub fn warn(py: Python<'_>, text: &str) -> PyResult<()> {
    let text = CString::new(printable(text)).map_err(|_| fault("a warning with a NUL character"))?;
    PyErr::warn(py, &py.get_type::<PyUserWarning>(), &text, 1)
}

/// An error of the library with this text, for functions that the library calls back.
pub fn of_library(text: &str) -> Error {
    Error::Data(text.into())
}

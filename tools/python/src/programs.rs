//! The programs `bcreid` and `bcreid-convert` in Python's process: one library in the wheel instead of three copies of
//! the engine.

use crate::error::fault;
use pyo3::prelude::*;
use std::ffi::OsString;
use std::panic::catch_unwind;
use std::process::ExitCode;

/// Exit status of a program that panicked, as the standard library has it.
const PANICKED: u8 = 101;

/// Runs a program and ends the process with its exit status. `line` is the command line, the program's name first.
#[pyfunction]
pub fn run_program(py: Python<'_>, name: &str, line: Vec<OsString>) -> PyResult<()> {
    let main: fn(Vec<OsString>) -> ExitCode = match name {
        "bcreid" => |line| bcreid::cli::main(line),
        "bcreid-convert" => |line| bcreid_convert::cli::main(line),
        other => return Err(fault(format!("{other:?} is no program of this package"))),
    };
    py.detach(move || {
        let code = catch_unwind(|| main(line)).map_or(PANICKED, number);
        // Not by way of Python: its exit would wait for its own threads and run its own handlers.
        std::process::exit(i32::from(code))
    })
}

/// The number of an exit status, which the standard library does not give.
fn number(code: ExitCode) -> u8 {
    (0..=u8::MAX).find(|&number| ExitCode::from(number) == code).unwrap_or(PANICKED)
}

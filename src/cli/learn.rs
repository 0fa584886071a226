//! `bcreid learn`: the exercises of the book, by a program of its own.

use crate::{Error, Result};
use clap::Args;
use std::env::{self, consts::EXE_SUFFIX};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Exercises of the book in docs/book: list them, begin one, grade an answer.
///
/// bcreid learn lists the exercises, bcreid learn start 1.1 makes the folder of one, bcreid learn check 1.1 grades the
/// answer in it, and bcreid learn solution 1.1 shows the solution after a failed attempt. bcreid learn help has all
/// options. The program bcreid-learn does the work; cargo build --release -p bcreid-learn builds it.
#[derive(Debug, Args)]
pub struct Learn {
    /// The arguments of bcreid-learn.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    arguments: Vec<OsString>,
}

impl Learn {
    pub fn run(self) -> Result<ExitCode> {
        let name = format!("bcreid-learn{EXE_SUFFIX}");
        // Beside this program, else on PATH.
        let beside = env::current_exe().ok().and_then(|own| Some(own.parent()?.join(&name)));
        let program = beside.filter(|program| program.is_file()).unwrap_or_else(|| PathBuf::from(&name));
        let status = Command::new(&program).args(self.arguments).status().map_err(|error| {
            let where_to = "cargo build --release -p bcreid-learn, in a checkout of the repository, builds it; it must \
                            lie beside bcreid or on PATH";
            Error::Run(format!("learn: {}: {error}; {where_to}", program.display()))
        })?;
        // Without a code a signal ended the program, as Ctrl-C does.
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
    }
}

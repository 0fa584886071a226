//! The program `bcreid`: parses the command line, runs the subcommand and prints its error.

use bcreid::{cli, tell};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match arguments.run() {
        Ok(code) => code,
        Err(error) => {
            tell!("bcreid: {}", cli::explain(&error));
            ExitCode::FAILURE
        }
    }
}

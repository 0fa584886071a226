//! The program `bcreid`.

use std::process::ExitCode;

fn main() -> ExitCode {
    bcreid::cli::main(std::env::args_os())
}

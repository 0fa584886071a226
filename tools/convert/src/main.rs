//! The program `bcreid-convert`.

use std::process::ExitCode;

fn main() -> ExitCode {
    bcreid_convert::cli::main(std::env::args_os())
}

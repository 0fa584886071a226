//! The program `bcreid-learn`, which `bcreid learn` runs.

use std::process::ExitCode;

fn main() -> ExitCode {
    bcreid_learn::cli::main(std::env::args_os())
}

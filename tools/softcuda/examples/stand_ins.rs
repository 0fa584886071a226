//! Builds the stand-in libraries with the kernels of the given files, and prints the environment with which a program
//! runs on them:
//!
//!     eval "$(cargo run --release -p softcuda --example stand_ins -- target/stand-ins cuda/*.cu)"
//!     target/release/bcreid doctor

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let (Some(folder), files) = (arguments.next(), arguments) else {
        eprintln!("usage: stand_ins FOLDER FILE.cu...");
        return ExitCode::FAILURE;
    };
    let build = files.fold(softcuda::Build::new(folder), |build, file| build.file(file));
    match build.stand_ins() {
        Ok(stand_ins) => {
            for (name, value) in stand_ins.environment() {
                println!("export {name}='{}'", value.to_string_lossy());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

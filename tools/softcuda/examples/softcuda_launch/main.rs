//! Launches one kernel of a `.cu` file with made-up arguments, on its own or in the debugger gdb, and draws what one
//! block does:
//!
//! ```text
//! softcuda_launch [OPTIONS] FILE KERNEL GRID BLOCK ARGUMENT...
//! softcuda_launch --stop 1,0,0:3,0,0 softmax.cu softmax 2 64 f32:154:noise f32:154:unwritten i32:77
//! softcuda_launch --trace softmax.svg --block 1 softmax.cu softmax 2 64 f32:154:noise f32:154:unwritten i32:77
//! ```
//!
//! GRID and BLOCK are the numbers of blocks and of threads, `2` or `2,1,1`. The README of softcuda describes the rest.

mod arguments;
mod options;

use options::{Options, Stop, Traced};
use softcuda::{Build, Device, Launch};
use std::error::Error;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| ["-h", "--help"].contains(&word.as_str())) {
        println!("{}", options::USAGE);
        return ExitCode::SUCCESS;
    }
    let done = Options::parse(&words).and_then(|options| match &options.stop {
        Some(stop) => debug(stop, &options),
        None => launch(&options),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn build(options: &Options) -> Build {
    let build = Build::new(&options.out).file(&options.file);
    options.includes.iter().fold(build, |build, folder| build.include(folder))
}

fn launch(options: &Options) -> Result<()> {
    let device = Device::new(&build(options).library()?)?;
    let given = options.arguments.iter().enumerate();
    let arguments: Vec<arguments::Argument> =
        given.map(|(index, text)| arguments::parse(&device, index, text)).collect::<Result<_>>()?;
    let mut launch = Launch::new(options.grid, options.block).shared(options.shared);
    launch = match options.seed {
        Some(seed) => launch.seed(seed),
        None => launch.keep_order(),
    };
    let values: Vec<softcuda::Arg> = arguments.iter().map(|argument| argument.arg).collect();
    if let Some(Traced { block, .. }) = &options.trace {
        launch = launch.trace(block.x + options.grid.x * (block.y + options.grid.y * block.z));
    }
    let done = device.launch(&options.kernel, &launch, &values);
    // After a fault too: the picture shows how far each thread came.
    if let Some(traced) = &options.trace {
        draw(traced, options, &device)?;
    }
    let report = done?;
    println!(
        "{}: {} threads, {} barriers, {} warp operations",
        options.kernel, report.threads, report.barriers, report.warp_operations
    );
    for output in arguments.iter().filter_map(|argument| argument.output.as_ref()) {
        println!("{}", output()?);
    }
    Ok(())
}

fn draw(traced: &Traced, options: &Options, device: &Device) -> Result<()> {
    let (block, shape) = (traced.block, options.block);
    let title = format!(
        "{}, block ({}, {}, {}) of {} threads",
        options.kernel,
        block.x,
        block.y,
        block.z,
        shape.x * shape.y * shape.z
    );
    let path = traced.file.display();
    std::fs::write(&traced.file, device.take_trace().svg(&title))
        .map_err(|error| format!("{path}: {error}"))?;
    println!("{path}: {title}");
    Ok(())
}

/// Becomes gdb, which runs this program again without the stop, with kernels that are not optimised.
fn debug(stop: &Stop, options: &Options) -> Result<()> {
    // SAFETY: this process has no other thread yet. The program in gdb inherits the variable.
    unsafe { std::env::set_var("SOFTCUDA_OPT", "-O0") };
    // Here, where the compiler's messages are not between those of gdb.
    build(options).compile()?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/debug/softcuda.py");
    let mut gdb = Command::new("gdb");
    // Without the files of the user's home, which may change what is printed, in a session without a user.
    match &stop.script {
        Some(_) => gdb.args(["-nx", "-batch", "-q"]),
        None => gdb.arg("-q"),
    };
    gdb.args(["-x", script]);
    gdb.args(["-ex", &format!("softcuda-start {} {} {}", options.kernel, stop.block, stop.thread)]);
    if let Some(commands) = &stop.script {
        gdb.arg("-x").arg(commands);
    }
    gdb.arg("--args").arg(std::env::current_exe()?).args(&options.without_stop);
    let error = gdb.exec();
    Err(format!("gdb does not start: {error} (Debian, Ubuntu: `apt install gdb`)").into())
}

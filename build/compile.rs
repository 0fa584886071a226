//! Compilation of `.cu` files into one fatbin: one module, compiled in parallel for each chip.

use crate::Result;
use crate::architectures::Targets;
use crate::toolkit::Toolkit;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::{env, fs};

/// The compiler flags of all kernels. `--use_fast_math` is not used: it flushes subnormal numbers and changes the
/// behaviour of NaN. `-lineinfo` costs no speed; profilers and compute-sanitizer need it to name source lines.
const FLAGS: [&str; 5] = ["-std=c++17", "-O3", "-lineinfo", "-Xptxas", "-v"];

/// The machine code for one chip.
pub struct Image {
    /// The compute capability, ten times major plus minor.
    pub architecture: u32,
    /// The file of the machine code.
    pub cubin: PathBuf,
    /// The output of nvcc and ptxas.
    pub report: String,
}

/// A set of `.cu` files compiled together.
pub struct Module {
    /// The file of the fatbin.
    pub fatbin: PathBuf,
    /// The images of all chips, in ascending order.
    pub images: Vec<Image>,
    /// The compiler's warnings, without duplicates.
    pub notes: Vec<String>,
}

impl Module {
    /// Compiles `sources` into `out/STEM.fatbin`. The sources become one translation unit, so that nvcc parses the
    /// headers, which take most of its time, once for each chip rather than once for each file and chip.
    ///
    /// # Errors
    /// The first error of the compiler, its file and line first, then the command.
    pub fn compile(
        toolkit: &Toolkit,
        targets: &Targets,
        sources: &[PathBuf],
        root: &Path,
        out: &Path,
        stem: &str,
    ) -> Result<Module> {
        let all = out.join(format!("{stem}.cu"));
        let mut includes = String::new();
        for source in sources {
            writeln!(includes, "#include \"{}\"", source.display()).expect("a String takes everything");
        }
        fs::write(&all, includes).map_err(|e| format!("{}: {e}", all.display()))?;

        let ptx = out.join(format!("{stem}.ptx"));
        let cubin = |architecture: &u32| out.join(format!("{stem}.sm_{architecture}.cubin"));
        let command = |kind: &str, architecture: String, to: &Path| {
            let mut nvcc = Command::new(&toolkit.nvcc);
            nvcc.args(FLAGS).args([kind, "-arch", &architecture, "-o"]).arg(to).arg(&all);
            nvcc
        };
        let mut commands: Vec<Command> = targets
            .machine_code
            .iter()
            .map(|architecture| command("-cubin", format!("sm_{architecture}"), &cubin(architecture)))
            .collect();
        commands.push(command("-ptx", format!("compute_{}", targets.ptx), &ptx));
        let reports = run_parallel(commands, root)?;

        let fatbin = out.join(format!("{stem}.fatbin"));
        let mut join = Command::new(&toolkit.fatbinary);
        // Compression reduces the size to a fifth. The file names have no folder, since a comma in it would end the
        // option.
        join.current_dir(out).args(["--64", "--compress-all"]);
        join.args(
            targets.machine_code.iter().map(|n| format!("--image3=kind=elf,sm={n},file={stem}.sm_{n}.cubin")),
        );
        join.arg(format!("--image3=kind=ptx,sm={},file={stem}.ptx", targets.ptx));
        join.arg(format!("--create={stem}.fatbin"));
        run(&mut join, root)?;

        let mut notes = Vec::new();
        for line in reports.iter().flat_map(|report| report.lines()) {
            if (line.contains(": warning") || line.contains(" warning :"))
                && !notes.iter().any(|note| note == line)
            {
                notes.push(line.to_string());
            }
        }
        let images = targets.machine_code.iter().zip(reports);
        let images = images.map(|(n, report)| Image { architecture: *n, cubin: cubin(n), report }).collect();
        Ok(Module { fatbin, images, notes })
    }
}

/// Runs the commands in parallel, with as many jobs as cargo allows, and returns the output of each. After an error no
/// further command is started; the error is that of the first failed command, since all chips report the same lines.
fn run_parallel(commands: Vec<Command>, root: &Path) -> Result<Vec<String>> {
    let jobs = env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(1);
    let workers = commands.len().min(jobs);
    let queue = Mutex::new(commands.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = queue.lock().expect("no thread panics").next();
            let Some((i, mut command)) = next else { return };
            let report = run(&mut command, root);
            if report.is_err() {
                queue.lock().expect("no thread panics").by_ref().for_each(drop);
            }
            done.lock().expect("no thread panics").push((i, report));
        }
    };
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let mut done = done.into_inner().expect("no thread panics");
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, report)| report).collect()
}

/// Runs a compiler and returns its output, with the paths of this repository relative to `root`.
fn run(command: &mut Command, root: &Path) -> Result<String> {
    let output = command.output().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    let mut report = String::from_utf8_lossy(&output.stderr).into_owned();
    report.push_str(&String::from_utf8_lossy(&output.stdout));
    let from_root = |text: &str| text.replace(&format!("{}/", root.display()), "");
    let report = from_root(&report);
    if output.status.success() {
        return Ok(report);
    }
    // Lines before the first error are warnings and gcc's list of includes. ptxas prints its figures between its
    // errors.
    let lines: Vec<&str> = report
        .lines()
        .filter(|line| !line.starts_with("ptxas info") && !line.contains("bytes stack frame"))
        .collect();
    let first = lines.iter().position(|line| {
        [": error", " error ", "fatal", "No such file"].iter().any(|word| line.contains(word))
    });
    let mut message = lines[first.unwrap_or(0)..].join("\n");
    if ["host compiler", "unsupported GNU", "unsupported clang"].iter().any(|words| report.contains(words)) {
        message.push_str(
            "\nnvcc needs a C++ compiler that it supports: install such a g++, and set NVCC_CCBIN to it \
             if it is not the system's; BCREID_CUDA_ARCHS=none builds without kernels",
        );
    }
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(|word| from_root(&word.to_string_lossy())).collect();
    Err(format!("{message}\n{}: {}", output.status, words.join(" ")))
}

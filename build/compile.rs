//! From `.cu` files to one fatbin: one module, compiled once for each chip, side by side.

use crate::Result;
use crate::architectures::Targets;
use crate::toolkit::Toolkit;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::{env, fs};

/// What every kernel is compiled with. Not `--use_fast_math`: it flushes small numbers and changes what NaN does.
/// `-lineinfo` costs no speed; profilers and compute-sanitizer name source lines with it.
const FLAGS: [&str; 5] = ["-std=c++17", "-O3", "-lineinfo", "-Xptxas", "-v"];

/// Machine code for one chip.
pub struct Image {
    /// Compute capability, ten times major plus minor.
    pub architecture: u32,
    pub cubin: PathBuf,
    /// All that nvcc and ptxas said.
    pub report: String,
}

/// A set of `.cu` files compiled together.
pub struct Module {
    pub fatbin: PathBuf,
    /// One for each chip, ascending.
    pub images: Vec<Image>,
    /// The compiler's warnings, each once.
    pub notes: Vec<String>,
}

impl Module {
    /// Compiles `sources` into `out/STEM.fatbin`. They become one translation unit, which is read once for each chip
    /// rather than once for each file and chip: the headers take most of nvcc's time.
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
        let reports = side_by_side(commands, root)?;

        let fatbin = out.join(format!("{stem}.fatbin"));
        let mut join = Command::new(&toolkit.fatbinary);
        // Compressed, it takes a fifth of the room. The names have no folder: a comma in one would end the option.
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

/// Runs the commands, as many at a time as cargo allows, and returns what each said. After an error no further one is
/// started, and the error is that of the first: the same line is wrong for every chip.
fn side_by_side(commands: Vec<Command>, root: &Path) -> Result<Vec<String>> {
    let jobs = env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(1);
    let workers = commands.len().min(jobs);
    let queue = Mutex::new(commands.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = queue.lock().expect("no thread panics").next();
            let Some((i, mut command)) = next else { return };
            let said = run(&mut command, root);
            if said.is_err() {
                queue.lock().expect("no thread panics").by_ref().for_each(drop);
            }
            done.lock().expect("no thread panics").push((i, said));
        }
    };
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let mut done = done.into_inner().expect("no thread panics");
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, said)| said).collect()
}

/// Runs a compiler and returns what it said, with the paths of this repository relative to `root`.
fn run(command: &mut Command, root: &Path) -> Result<String> {
    let output = command.output().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stdout));
    let from_root = |text: &str| text.replace(&format!("{}/", root.display()), "");
    let said = from_root(&said);
    if output.status.success() {
        return Ok(said);
    }
    // What comes before the first error is warnings and gcc's list of includes; ptxas' figures are between its errors.
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| !line.starts_with("ptxas info") && !line.contains("bytes stack frame"))
        .collect();
    let first = lines.iter().position(|line| {
        [": error", " error ", "fatal", "No such file"].iter().any(|word| line.contains(word))
    });
    let mut message = lines[first.unwrap_or(0)..].join("\n");
    if ["host compiler", "unsupported GNU", "unsupported clang"].iter().any(|words| said.contains(words)) {
        message.push_str(
            "\nnvcc needs a C++ compiler that it supports: install such a g++, and set NVCC_CCBIN to it \
             if it is not the system's; BCREID_CUDA_ARCHS=none builds without kernels",
        );
    }
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(|word| from_root(&word.to_string_lossy())).collect();
    Err(format!("{message}\n{}: {}", output.status, words.join(" ")))
}

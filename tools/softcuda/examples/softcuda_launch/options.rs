//! The command line.

use softcuda::Dim3;
use std::error::Error;
use std::path::PathBuf;

pub const USAGE: &str = "usage: softcuda_launch [OPTIONS] FILE KERNEL GRID BLOCK ARGUMENT...
  --stop BLOCK:THREAD  open gdb, stopped at the kernel's first line in this thread, such as 1,0,0:3,0,0
  --script FILE        with --stop: gdb runs these commands and ends
  --trace FILE.svg     draw what one block does: who waits where, and the memory of each access
  --block BLOCK        with --trace: the block, such as 1,0,0; without it, the first one
  --seed N             order of the threads and blocks; without it, ascending
  --shared BYTES       dynamic shared memory
  --include FOLDER     further folder of headers; may be given more than once
  --out FOLDER         for the compiled kernels; without it, a folder of the system for temporary files";

pub struct Options {
    pub file: PathBuf,
    pub kernel: String,
    pub grid: Dim3,
    pub block: Dim3,
    pub arguments: Vec<String>,
    pub seed: Option<u64>,
    pub shared: usize,
    pub includes: Vec<PathBuf>,
    pub out: PathBuf,
    pub stop: Option<Stop>,
    pub trace: Option<Traced>,
    /// The words of the command line but for `--stop` and `--script`.
    pub without_stop: Vec<String>,
}

/// Where the debugger stops: `x,y,z` of a block and of a thread in it.
pub struct Stop {
    pub block: String,
    pub thread: String,
    pub script: Option<String>,
}

/// The block that is drawn, and the file.
pub struct Traced {
    pub block: Dim3,
    pub file: PathBuf,
}

impl Options {
    /// # Errors
    /// An unknown option, a missing value, or one of the wrong form, with the usage; a stop or a trace outside of the
    /// launch.
    pub fn parse(words: &[String]) -> Result<Options, Box<dyn Error>> {
        let wrong = |what: String| format!("{what}\n{USAGE}");
        let mut plain: Vec<&str> = Vec::new();
        let (mut stop, mut script, mut seed, mut shared) = (None, None, None, 0);
        let (mut trace, mut traced_block) = (None, None);
        let (mut includes, mut out) = (Vec::new(), std::env::temp_dir().join("softcuda-launch"));
        let mut without_stop = Vec::new();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            if !word.starts_with("--") {
                plain.push(word);
                without_stop.push(word.clone());
                continue;
            }
            let value = rest.next().ok_or_else(|| wrong(format!("{word} has no value")))?;
            match word.as_str() {
                "--stop" => stop = Some(value.clone()),
                "--script" => script = Some(value.clone()),
                "--trace" => trace = Some(value.clone()),
                "--block" => traced_block = Some(value.clone()),
                "--seed" => {
                    seed = Some(value.parse().map_err(|_| wrong(format!("--seed {value}: no number")))?)
                }
                "--shared" => {
                    shared = value.parse().map_err(|_| wrong(format!("--shared {value}: no number")))?
                }
                "--include" => includes.push(value.into()),
                "--out" => out = value.into(),
                _ => return Err(wrong(format!("unknown option {word}")).into()),
            }
            if !["--stop", "--script"].contains(&word.as_str()) {
                without_stop.extend([word.clone(), value.clone()]);
            }
        }
        let [file, kernel, grid, block, arguments @ ..] = &plain[..] else {
            return Err(wrong("a file, a kernel, a grid and a block are needed".into()).into());
        };
        let shape = |text: &str| {
            triple(text, 1)
                .ok_or_else(|| wrong(format!("{text} is no shape of a grid or a block, such as 2 or 2,1,1")))
        };
        let (grid, block) = (shape(grid)?, shape(block)?);
        let stop = match stop {
            Some(text) => Some(stop_in(&text, grid, block, script).map_err(wrong)?),
            None if script.is_some() => return Err(wrong("--script needs --stop".into()).into()),
            None => None,
        };
        let trace = match trace {
            Some(_) if stop.is_some() => {
                return Err(wrong("--trace and --stop: one of them at a time".into()).into());
            }
            Some(file) => Some(trace_in(&file, grid, traced_block).map_err(wrong)?),
            None if traced_block.is_some() => return Err(wrong("--block needs --trace".into()).into()),
            None => None,
        };
        Ok(Options {
            file: file.into(),
            kernel: (*kernel).into(),
            grid,
            block,
            arguments: arguments.iter().map(|&text| text.into()).collect(),
            seed,
            shared,
            includes,
            out,
            stop,
            trace,
            without_stop,
        })
    }
}

fn stop_in(text: &str, grid: Dim3, block: Dim3, script: Option<String>) -> Result<Stop, String> {
    let form = || format!("--stop {text}: give a block and a thread, such as 1,0,0:3,0,0");
    let (at_block, at_thread) = text.split_once(':').ok_or_else(form)?;
    let place = |text: &str, shape: Dim3, what: &str| -> Result<String, String> {
        let at = triple(text, 0).ok_or_else(form)?;
        inside(&format!("--stop {text}"), at, shape, what)?;
        Ok(format!("{},{},{}", at.x, at.y, at.z))
    };
    Ok(Stop { block: place(at_block, grid, "block")?, thread: place(at_thread, block, "thread")?, script })
}

fn trace_in(file: &str, grid: Dim3, block: Option<String>) -> Result<Traced, String> {
    if !file.ends_with(".svg") {
        return Err(format!("--trace {file}: the name of an SVG file ends in .svg"));
    }
    let text = block.as_deref().unwrap_or("0");
    let block = triple(text, 0).ok_or_else(|| format!("--block {text}: give a block, such as 1,0,0"))?;
    inside(&format!("--block {text}"), block, grid, "block")?;
    Ok(Traced { block, file: file.into() })
}

fn inside(option: &str, at: Dim3, shape: Dim3, what: &str) -> Result<(), String> {
    if at.x < shape.x && at.y < shape.y && at.z < shape.z {
        return Ok(());
    }
    Err(format!("{option}: the launch has no such {what}; it has {} x {} x {}", shape.x, shape.y, shape.z))
}

/// One to three numbers; those that are missing are `missing`.
fn triple(text: &str, missing: u32) -> Option<Dim3> {
    let numbers: Vec<u32> = text.split(',').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let at = |index: usize| numbers.get(index).copied().unwrap_or(missing);
    (numbers.len() <= 3).then(|| Dim3 { x: at(0), y: at(1), z: at(2) })
}

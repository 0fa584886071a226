//! What the comments of `cuda/lab/*.cu` claim about each version of a kernel, read so that it can be checked. The
//! notation is explained in `cuda/lab/README.md`.

use super::formula::Formula;
use softcuda::{Dim3, Launch, Report};

/// The chip that the predictions are about, symbol by symbol.
const CHIP: &str = include_str!("../../../cuda/lab/README.md");
/// Bytes of that chip's L2 cache: buffers that exceed it come from memory.
const L2_BYTES: f64 = 50e6;

/// One version of a kernel.
#[derive(Clone, Debug)]
pub struct Version {
    pub kernel: String,
    /// Names of buffers and sizes, in the kernel's order.
    pub arguments: Vec<String>,
    pub block: [u32; 3],
    /// Whether the block is the version's own, written with all its dimensions, and not any number of threads.
    pub insists: bool,
    /// Names that the other formulas use, besides those of the size.
    names: Vec<(String, Formula)>,
    grid: Vec<Formula>,
    read: Formula,
    written: Formula,
    barriers: Formula,
    warp: Formula,
    memory: Formula,
    time: Formula,
    /// What the text says `time` comes to.
    pub predicted: Vec<Prediction>,
}

/// Seconds for m rows of n columns.
#[derive(Clone, Copy, Debug)]
pub struct Prediction {
    pub seconds: f64,
    pub m: usize,
    pub n: usize,
}

/// A size at which the formulas are evaluated.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub m: usize,
    pub n: usize,
    /// Threads of a block; the text's where a version insists on its own.
    pub block: [u32; 3],
}

impl Version {
    /// All versions that the text of a `.cu` file describes, in its order.
    ///
    /// # Errors
    /// What is missing or not understood, with the kernel's name.
    pub fn all(text: &str) -> Result<Vec<Version>, String> {
        let mut versions = Vec::new();
        let mut lines = text.lines().map(claim).peekable();
        while let Some(line) = lines.next() {
            let Some(("kernel", call)) = line else { continue };
            let mut claims = Vec::new();
            while let Some(Some(claim)) = lines.peek() {
                claims.push(*claim);
                lines.next();
            }
            versions.push(Version::read(call, &claims).map_err(|error| format!("{call}: {error}"))?);
        }
        Ok(versions)
    }

    fn read(call: &str, claims: &[(&str, &str)]) -> Result<Version, String> {
        const KEYS: [&str; 11] = [
            "grid",
            "block",
            "where",
            "read",
            "written",
            "barriers",
            "warp",
            "operations",
            "memory",
            "time",
            "predicted",
        ];
        if let Some((key, _)) = claims.iter().find(|(key, _)| !KEYS.contains(key)) {
            return Err(format!("there is no claim called {key}"));
        }
        let text = |key: &str| match claims.iter().find(|(other, _)| *other == key) {
            // What stands behind a colon explains.
            Some((_, value)) => Ok(value.split(':').next().unwrap_or(value).trim()),
            None => Err(format!("it claims no {key}")),
        };
        text("operations")?;
        let formula = |key: &str| Formula::parse(text(key)?);
        let (kernel, arguments) = call
            .strip_suffix(')')
            .and_then(|call| call.split_once('('))
            .ok_or("a kernel is written name(argument, ...)")?;
        let mut block = [1; 3];
        for (threads, text) in block.iter_mut().zip(text("block")?.split(" x ")) {
            *threads = text.trim().parse().map_err(|_| format!("{text:?} is no number of threads"))?;
        }
        Ok(Version {
            kernel: kernel.into(),
            arguments: arguments.split(", ").map(String::from).collect(),
            block,
            insists: text("block")?.contains(" x "),
            names: text("where").map_or(Ok(Vec::new()), definitions)?,
            grid: text("grid")?.split(" x ").map(Formula::parse).collect::<Result<_, _>>()?,
            read: formula("read")?,
            written: formula("written")?,
            barriers: formula("barriers")?,
            warp: formula("warp")?,
            memory: formula("memory")?,
            time: formula("time")?,
            predicted: text("predicted")?.split(", ").map(Prediction::parse).collect::<Result<_, _>>()?,
        })
    }

    /// The launch for a size.
    pub fn launch(&self, size: Size) -> Result<Launch, String> {
        let mut grid = [1; 3];
        for (blocks, formula) in grid.iter_mut().zip(&self.grid) {
            *blocks = formula.at(&|name| self.value(size, name))? as u32;
        }
        let dim = |[x, y, z]: [u32; 3]| Dim3 { x, y, z };
        Ok(Launch::new(dim(grid), dim(size.block)))
    }

    /// The value of a name of the size or of the version's own.
    fn value(&self, size: Size, name: &str) -> Option<f64> {
        value_of(name, size, &self.names)
    }

    /// What the host build is to count. Blocks, threads and shared memory are not claimed; they stay 0.
    pub fn report(&self, size: Size) -> Result<Report, String> {
        let count = |formula: &Formula| formula.at(&|name| self.value(size, name)).map(|value| value as u64);
        Ok(Report {
            barriers: count(&self.barriers)?,
            warp_operations: count(&self.warp)?,
            global_bytes_read: count(&self.read)?,
            global_bytes_written: count(&self.written)?,
            ..Report::default()
        })
    }

    /// Bytes between the chip and its memory.
    pub fn memory(&self, size: Size) -> Result<f64, String> {
        self.memory.at(&|name| self.value(size, name))
    }

    /// The predicted seconds, without the launch; on another chip than the text's with its bandwidth, in bytes/s.
    pub fn time(&self, size: Size, bandwidth: Option<f64>) -> Result<f64, String> {
        let memory = self.memory(size)?;
        self.time.at(&|name| match name {
            "memory" => Some(memory),
            "B" if bandwidth.is_some() => bandwidth,
            "L" if memory <= L2_BYTES => symbol("H"),
            _ => self.value(size, name).or_else(|| symbol(name)),
        })
    }
}

impl Size {
    fn value(&self, name: &str) -> Option<f64> {
        let threads = self.block.iter().product::<u32>();
        Some(match name {
            "m" => self.m as f64,
            "n" => self.n as f64,
            "b" => f64::from(threads),
            "w" => f64::from(threads / 32),
            _ => return None,
        })
    }
}

/// The value of a name of the size or of `names`, each of which sees only those in front of it: none by itself.
fn value_of(name: &str, size: Size, names: &[(String, Formula)]) -> Option<f64> {
    let own = || {
        let at = names.iter().position(|(own, _)| own == name)?;
        names[at].1.at(&|other| value_of(other, size, &names[..at])).ok()
    };
    size.value(name).or_else(own)
}

/// Such as `T = ceil(m / 16); s = 2 T`.
fn definitions(text: &str) -> Result<Vec<(String, Formula)>, String> {
    let define = |definition: &str| {
        let (name, formula) = definition.split_once('=').ok_or(format!("{definition:?} defines nothing"))?;
        Ok((name.trim().to_string(), Formula::parse(formula)?))
    };
    text.split(';').map(define).collect()
}

impl Prediction {
    /// Such as `24 us at 16 x 751`.
    fn parse(text: &str) -> Result<Prediction, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [micros, "us", "at", m, "x", n] = words[..] else {
            return Err(format!("{text:?} is not of the form `24 us at 16 x 751`"));
        };
        let number = |word: &str| word.parse().map_err(|_| format!("{word:?} is no number"));
        let micros: f64 = micros.parse().map_err(|_| format!("{micros:?} is no number"))?;
        Ok(Prediction { seconds: micros * 1e-6, m: number(m)?, n: number(n)? })
    }
}

/// Key and value of a line of claims: `//`, three spaces, a word, at least two spaces, the rest.
fn claim(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.strip_prefix("//   ")?.split_once("  ")?;
    let is_word = !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase());
    is_word.then_some((key, value.trim()))
}

/// The value of a symbol in the table of the chip.
fn symbol(name: &str) -> Option<f64> {
    let row = CHIP.lines().find_map(|line| line.strip_prefix(&format!("| `{name}` | ")))?;
    row.split(" | ").next()?.parse().ok()
}

#[test]
fn claims_that_cannot_be_checked_are_refused() {
    let text = "// Words.\n//\n//   kernel  f(x, n)\n//   grid  m\n//   block  32\n//   read  4 m: why\n\
                //   written  4\n//   barriers  0\n//   warp  0\n//   operations  none\n//   memory  4 m\n\
                //   time  memory / B + L\n//   predicted  0.13 us at 1 x 1\nextern ...";
    let [version] = &Version::all(text).unwrap()[..] else { panic!() };
    assert_eq!((version.kernel.as_str(), &version.arguments[..]), ("f", &["x".into(), "n".into()][..]));
    let size = Size { m: 2, n: 1, block: [32, 1, 1] };
    assert_eq!(version.report(size).unwrap().global_bytes_read, 8);
    assert_eq!(version.time(size, Some(8.0)).unwrap(), 1.0 + 0.13e-6);
    for (right, wrong, why) in [
        ("//   warp  0\n", "", "it claims no warp"),
        ("//   warp  0\n", "//   warps  0\n", "there is no claim called warps"),
        ("f(x, n)", "f", "a kernel is written name(argument, ...)"),
        ("block  32", "block  b", "\"b\" is no number of threads"),
        ("0.13 us at", "0.13 s at", "is not of the form"),
    ] {
        let error = Version::all(&text.replace(right, wrong)).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    let named = |definitions: &str| {
        let text = text.replace("//   read  4 m: why", &format!("//   where  {definitions}\n//   read  t m"));
        Version::all(&text)
            .and_then(|versions| versions[0].report(size))
            .map(|report| report.global_bytes_read)
    };
    assert_eq!(named("s = m + 1; t = s s"), Ok(18));
    assert_eq!(named("t = s; s = t"), Err("t stands for nothing".into()));
    assert_eq!(named("t + 1"), Err("f(x, n): \"t + 1\" defines nothing".into()));
}

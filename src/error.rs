//! The error type of this crate: a message is one line that says what is wrong, where, and how to fix it.

use std::fmt;
use std::path::{Path, PathBuf};

/// What every fallible function of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything a person, a file or a machine can get wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An operation was given shapes that do not fit together.
    #[error("{op}: {detail}")]
    Shape {
        /// The operation's stem, as its file is called.
        op: &'static str,
        /// Which shapes, and what was expected.
        detail: String,
    },
    /// The operating system refused something about a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// An image file that cannot be read as one.
    #[error("{}: {detail}", path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A data set, folder or list that is not what it should be.
    #[error("{0}")]
    Data(String),
    /// A configuration key or value.
    #[error("config: {0}")]
    Config(String),
    /// A weights, feature or checkpoint file.
    #[error("{}: {detail}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// Which tensor, which shapes, what to do.
        detail: String,
    },
    /// A run folder: it exists, it is missing, it belongs to another run.
    #[error("{0}")]
    Run(String),
    /// Training left the numbers: NaN or infinity in a loss.
    #[error("{0}")]
    Diverged(String),
    /// The device asked for is not there, or has failed.
    #[error("{0}")]
    Device(String),
    /// The memory of the device is full.
    #[error("the GPU's memory is full: no room for {tensor}; {detail}")]
    OutOfMemory {
        /// The tensor that does not fit.
        tensor: String,
        /// The sizes, and what to do.
        detail: String,
    },
    /// An error and the arguments of the caller that avoid it.
    #[error("{}", with_remedies(&error.to_string(), context, remedies, Remedy::to_string))]
    Remedied {
        /// The cause.
        error: Box<Error>,
        /// A sentence between the cause and the remedies; may be empty.
        context: String,
        /// Alternatives.
        remedies: Vec<Remedy>,
    },
}

/// A way to avoid an error by an argument of the caller. [`fmt::Display`] says it to a user of the library; the command line
/// names its flag instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Write into another folder.
    OtherFolder,
    /// Remove the folder first.
    RemoveFolder,
    /// Resume the run in its folder.
    Resume,
    /// Start a new run instead of resuming one.
    StartAnew,
    /// Use the data set that the run was started with.
    SameData,
    /// Compute in this precision.
    Precision(String),
    /// Extract features in smaller batches.
    SmallerBatch,
    /// Compute on the CPU.
    CpuDevice,
    /// Run each step plainly instead of capturing it.
    WithoutCapture,
    /// Evaluate as if all images were of different cameras.
    IgnoreCameras,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remedy::OtherFolder => f.write_str("choose another folder"),
            Remedy::RemoveFolder => f.write_str("remove the folder first"),
            Remedy::Resume => f.write_str("resume the run"),
            Remedy::StartAnew => f.write_str("start a new run in another folder"),
            Remedy::SameData => f.write_str("resume with the data set that the run was started with"),
            Remedy::Precision(name) => write!(f, "choose precision {name}"),
            Remedy::SmallerBatch => f.write_str("extract features in smaller batches"),
            Remedy::CpuDevice => f.write_str("choose the CPU device"),
            Remedy::WithoutCapture => f.write_str("run without graph capture"),
            Remedy::IgnoreCameras => f.write_str("ignore the cameras if their numbers have no meaning"),
        }
    }
}

/// The cause, the context and the alternatives in one line.
fn with_remedies(cause: &str, context: &str, remedies: &[Remedy], say: impl Fn(&Remedy) -> String) -> String {
    let alternatives = remedies.iter().map(say).collect::<Vec<_>>().join(", or ");
    [cause, context, &alternatives].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

/// The text with its control characters escaped: names and texts of others must neither break a line nor reach a
/// terminal.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { shown.extend(c.escape_debug()) } else { shown.push(c) }
    }
    shown
}

/// As [`printable`] for each line of the text.
pub fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

impl Error {
    /// The message in one line without control characters.
    pub fn line(&self) -> String {
        self.line_with(Remedy::to_string)
    }

    /// As [`Error::line`]; `say` words each remedy.
    pub fn line_with(&self, say: impl Fn(&Remedy) -> String + Copy) -> String {
        match self {
            Error::Remedied { error, context, remedies } => {
                with_remedies(&error.line_with(say), &printable(context), remedies, say)
            }
            other => printable(&other.to_string()),
        }
    }

    /// The error with alternatives that avoid it.
    pub fn with_remedies(self, remedies: impl Into<Vec<Remedy>>) -> Self {
        Error::Remedied { error: self.into(), context: String::new(), remedies: remedies.into() }
    }

    /// An operation's complaint about shapes.
    pub fn shape(op: &'static str, detail: impl Into<String>) -> Self {
        Error::Shape { op, detail: detail.into() }
    }

    /// Whether it says that a file is not there.
    pub fn is_missing_file(&self) -> bool {
        use std::io::ErrorKind::{NotADirectory, NotFound};
        matches!(self, Error::Io { source, .. } if matches!(source.kind(), NotFound | NotADirectory))
    }

    /// Names the tensor that there is no room for; other errors stay as they are.
    pub fn about_tensor(self, name: impl Into<String>) -> Self {
        match self {
            Error::OutOfMemory { detail, .. } => Error::OutOfMemory { tensor: name.into(), detail },
            Error::Remedied { error, context, remedies } => {
                Error::Remedied { error: error.about_tensor(name).into(), context, remedies }
            }
            other => other,
        }
    }

    /// An input/output error with the path it belongs to; use as `.map_err(Error::io(path))`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { path, source }
    }

    /// A weights, feature or checkpoint file's fault.
    pub fn weights(path: impl AsRef<Path>, detail: impl Into<String>) -> Self {
        Error::Weights { path: path.as_ref().to_path_buf(), detail: detail.into() }
    }

    /// An image file's fault.
    pub fn image(path: impl AsRef<Path>, detail: impl Into<String>) -> Self {
        Error::Image { path: path.as_ref().to_path_buf(), detail: detail.into() }
    }
}

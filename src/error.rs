//! The one error type: every message is a single line that names the thing and the mend.

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
    /// The device's memory is full.
    #[error("the GPU's memory is full: no room for {tensor}; {detail}")]
    OutOfMemory {
        /// What there is no room for.
        tensor: String,
        /// The sizes, and what to do.
        detail: String,
    },
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
    /// The message as a person sees it: one line, whatever the file names in it hold.
    pub fn line(&self) -> String {
        printable(&self.to_string())
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

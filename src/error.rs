//! The error type of this crate: every message is one line that names what is wrong and how to fix it.

use std::path::{Path, PathBuf};

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error, by its cause.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Shapes that do not fit together, given to an operation.
    #[error("{op}: {detail}")]
    Shape {
        /// The operation's name, which is that of its file.
        op: &'static str,
        /// The shapes, and the expected ones.
        detail: String,
    },
    /// An input or output error of the operating system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// An image file that cannot be decoded.
    #[error("{}: {detail}", path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// The fault, and how to fix it.
        detail: String,
    },
    /// A faulty data set, image folder, image list or feature file.
    #[error("{0}")]
    Data(String),
    /// An invalid configuration key or value.
    #[error("config: {0}")]
    Config(String),
    /// A faulty weights, feature or checkpoint file.
    #[error("{}: {detail}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// The tensor, the shapes, and how to fix them.
        detail: String,
    },
    /// A run folder that exists, is missing or belongs to another run.
    #[error("{0}")]
    Run(String),
    /// Diverged training: NaN or infinity in a loss.
    #[error("{0}")]
    Diverged(String),
    /// A requested device that is missing or has failed.
    #[error("{0}")]
    Device(String),
    /// Exhausted device memory.
    #[error("the GPU's memory is full: no room for {tensor}; {detail}")]
    OutOfMemory {
        /// The tensor that could not be allocated.
        tensor: String,
        /// The sizes, and how to need less memory.
        detail: String,
    },
}

/// The text with its control characters escaped: file names and metadata may hold line breaks and terminal codes.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { shown.extend(c.escape_debug()) } else { shown.push(c) }
    }
    shown
}

/// The text with each line escaped by [`printable`].
pub fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

impl Error {
    /// The message as one line, with control characters escaped.
    pub fn line(&self) -> String {
        printable(&self.to_string())
    }

    /// An [`Error::Shape`] of the operation `op`.
    pub fn shape(op: &'static str, detail: impl Into<String>) -> Self {
        Error::Shape { op, detail: detail.into() }
    }

    /// Whether the error is a missing file.
    pub fn is_missing_file(&self) -> bool {
        use std::io::ErrorKind::{NotADirectory, NotFound};
        matches!(self, Error::Io { source, .. } if matches!(source.kind(), NotFound | NotADirectory))
    }

    /// Adds the tensor's name to [`Error::OutOfMemory`]; other errors are returned unchanged.
    pub fn about_tensor(self, name: impl Into<String>) -> Self {
        match self {
            Error::OutOfMemory { detail, .. } => Error::OutOfMemory { tensor: name.into(), detail },
            other => other,
        }
    }

    /// A function that adds the path to an input/output error; use as `.map_err(Error::io(path))`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { path, source }
    }

    /// An [`Error::Weights`] of the file `path`.
    pub fn weights(path: impl AsRef<Path>, detail: impl Into<String>) -> Self {
        Error::Weights { path: path.as_ref().to_path_buf(), detail: detail.into() }
    }

    /// An [`Error::Image`] of the file `path`.
    pub fn image(path: impl AsRef<Path>, detail: impl Into<String>) -> Self {
        Error::Image { path: path.as_ref().to_path_buf(), detail: detail.into() }
    }
}

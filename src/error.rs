//! The error type of this crate: every message is one line that names what is wrong and how to fix it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Most characters of an error that are shown in a line.
const LONGEST: usize = 2_000;

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
    /// An error and the arguments of the caller that avoid it.
    #[error("{}", with_remedies(&error.to_string(), context, remedies, Remedy::to_string))]
    Remedied {
        /// The cause.
        #[source]
        error: Box<Error>,
        /// A sentence between the cause and the remedies; may be empty.
        context: String,
        /// Alternatives.
        remedies: Vec<Remedy>,
    },
}

/// A way to avoid an error by an argument of the caller. [`fmt::Display`] says it to a user of the library; the command
/// line names its flag instead.
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
    /// Let this program's kernels (`own`) or cuDNN (`cudnn`) compute batch normalisation.
    BatchNorm(String),
    /// Train with this number of ranks.
    Ranks(String),
    /// Go on with another number of ranks, no longer bit for bit.
    OtherRanks,
    /// Extract features in smaller batches.
    SmallerBatch,
    /// Compute on the CPU.
    CpuDevice,
    /// Run each step plainly instead of capturing it.
    WithoutCapture,
    /// Evaluate as if all images were of different cameras.
    IgnoreCameras,
    /// Leave unreadable images out of an extraction.
    SkipImages,
    /// Leave unreadable images out of a training.
    SkipTrainingImages,
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
            Remedy::BatchNorm(name) => write!(f, "choose batch norm by {name}"),
            Remedy::Ranks(ranks) => write!(f, "start {ranks} ranks"),
            Remedy::OtherRanks => f.write_str("go on with another number of ranks, no longer bit for bit"),
            Remedy::SmallerBatch => f.write_str("extract features in smaller batches"),
            Remedy::CpuDevice => f.write_str("choose the CPU device"),
            Remedy::WithoutCapture => f.write_str("run without graph capture"),
            Remedy::IgnoreCameras => f.write_str("ignore the cameras if their numbers have no meaning"),
            Remedy::SkipImages => f.write_str("skip unreadable images"),
            Remedy::SkipTrainingImages => f.write_str("skip unreadable images (data.bad_images=skip)"),
        }
    }
}

/// The cause, the context and the alternatives in one line.
fn with_remedies(cause: &str, context: &str, remedies: &[Remedy], say: impl Fn(&Remedy) -> String) -> String {
    let alternatives = remedies.iter().map(say).collect::<Vec<_>>().join(", or ");
    [cause, context, &alternatives].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

/// The text as one line, with control and format characters escaped: file names and metadata may hold line breaks,
/// terminal codes and marks that turn the direction of writing.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if is_visible(c) => shown.push(c),
            '\t' | '\n' | '\r' => shown.extend(c.escape_default()),
            c => shown.extend(c.escape_unicode()),
        }
    }
    shown
}

/// The first `most` characters of a text, escaped by [`printable`]; three dots follow if there are more.
pub fn excerpt(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => printable(&text[..end]) + "...",
        None => printable(text),
    }
}

/// Whether a character is visible by itself, a space, or an accent on the character before.
pub(crate) fn is_visible(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    // The standard library escapes what Unicode calls control, format, separator or unassigned. Behind a letter it
    // leaves accents as they are.
    let mut text = [b'a', 0, 0, 0, 0];
    let length = c.encode_utf8(&mut text[1..]).len();
    std::str::from_utf8(&text[..=length]).is_ok_and(|text| text.escape_debug().count() == 2)
}

impl Error {
    /// The message as one line, with control and format characters escaped.
    pub fn line(&self) -> String {
        self.line_with(Remedy::to_string)
    }

    /// As [`Error::line`]; `say` words each remedy.
    pub fn line_with(&self, say: impl Fn(&Remedy) -> String + Copy) -> String {
        match self {
            Error::Remedied { error, context, remedies } => {
                with_remedies(&error.line_with(say), &printable(context), remedies, say)
            }
            // Files from elsewhere may have a name or a value of megabytes.
            other => excerpt(&other.to_string(), LONGEST),
        }
    }

    /// The error with alternatives that avoid it.
    pub fn with_remedies(self, remedies: impl Into<Vec<Remedy>>) -> Self {
        Error::Remedied { error: self.into(), context: String::new(), remedies: remedies.into() }
    }

    /// An [`Error::Shape`] of the operation `op`.
    pub fn shape(op: &'static str, detail: impl Into<String>) -> Self {
        Error::Shape { op, detail: detail.into() }
    }

    /// True if the error is a missing file.
    pub fn is_missing_file(&self) -> bool {
        use std::io::ErrorKind::{NotADirectory, NotFound};
        match self {
            Error::Io { source, .. } => matches!(source.kind(), NotFound | NotADirectory),
            Error::Remedied { error, .. } => error.is_missing_file(),
            _ => false,
        }
    }

    /// Adds the tensor's name to [`Error::OutOfMemory`]; other errors are returned unchanged.
    pub fn about_tensor(self, name: impl Into<String>) -> Self {
        match self {
            Error::OutOfMemory { detail, .. } => Error::OutOfMemory { tensor: name.into(), detail },
            Error::Remedied { error, context, remedies } => {
                Error::Remedied { error: error.about_tensor(name).into(), context, remedies }
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_says_that_it_is_cut() {
        assert_eq!(excerpt("abc", 3), "abc");
        assert_eq!(excerpt("äb\nc", 3), "äb\\n...");
    }

    #[test]
    fn invisible_characters_are_escaped_and_names_of_all_scripts_are_not() {
        for name in ["a b\\c'd\"e", "Ünïcode", "e\u{301}", "王小明", "مرحبا", "שלום", "नमस्ते", "🙂"]
        {
            assert_eq!(printable(name), name);
        }
        assert_eq!(printable("a\n\r\tb"), "a\\n\\r\\tb");
        assert_eq!(printable("\u{1b}[31m"), "\\u{1b}[31m");
        let invisible = [
            '\0',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{61c}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{feff}',
            '\u{fff9}',
            '\u{e0041}',
        ];
        for c in invisible {
            assert_eq!(printable(&format!("a{c}b")), format!("a{}b", c.escape_unicode()));
        }
    }
}

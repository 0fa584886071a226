//! Messages on standard error, and the result of a command on standard output.

use crate::error::printable;
use crate::{Error, Result};
use std::fmt::{self, Arguments, Display};
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicU8, Ordering};

/// The amount of messages on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Nothing: what a rank other than 0 would repeat. It raises the amount before it prints an error of its own.
    Silent,
    /// Errors and warnings.
    Quiet,
    /// Also notes and progress.
    Normal,
    /// Also details: the choice of the device, saved checkpoints, the time of each part.
    Verbose,
}

static VERBOSITY: AtomicU8 = AtomicU8::new(Verbosity::Normal as u8);

/// Sets the amount of messages of this process.
pub fn set_verbosity(verbosity: Verbosity) {
    VERBOSITY.store(verbosity as u8, Ordering::Relaxed);
}

/// Whether messages of this kind are printed.
pub fn is_at_least(verbosity: Verbosity) -> bool {
    VERBOSITY.load(Ordering::Relaxed) >= verbosity as u8
}

/// Prints a message to standard error as one line: [`printable`] escapes line breaks too, because a file name may hold
/// one. [`Verbosity::Silent`] leaves it out. A failed write (a closed pipe, a full disk) is ignored, so that it never ends a training run.
pub fn tell(text: Arguments<'_>) {
    if !is_at_least(Verbosity::Quiet) {
        return;
    }
    let _ = writeln!(std::io::stderr(), "{}", printable(&text.to_string()));
}

/// Prints a line to standard output, escaped by [`printable`], because file names may hold line breaks.
///
/// # Errors
/// [`Error::Io`] if standard output cannot be written; a closed pipe (`| head`) is no error.
pub fn say(line: impl Display) -> Result<()> {
    print(&printable(&line.to_string()))
}

/// Prints several lines to standard output. Names in `text` must be escaped: a line break in one would begin a line.
///
/// # Errors
/// As [`say`].
pub fn say_lines(text: impl Display) -> Result<()> {
    print(&text.to_string().lines().map(printable).collect::<Vec<_>>().join("\n"))
}

/// Prints a text whose invisible characters are escaped.
pub(crate) fn print(text: &str) -> Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::io("standard output")(e)),
        _ => Ok(()),
    }
}

/// A number with its noun: `1 image`, `2 images`. The plural is the singular with an s.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(number: N, singular: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {singular}{plural}")
}

/// An error or a warning: `eprintln!` through [`tell()`].
#[macro_export]
macro_rules! tell {
    ($($text:tt)*) => { $crate::console::tell(format_args!($($text)*)) };
}

/// A message through [`tell()`] that [`Verbosity::Quiet`] leaves out.
#[macro_export]
macro_rules! note {
    ($($text:tt)*) => {
        if $crate::console::is_at_least($crate::console::Verbosity::Normal) {
            $crate::tell!($($text)*);
        }
    };
}

/// A message through [`tell()`] that only [`Verbosity::Verbose`] prints.
#[macro_export]
macro_rules! detail {
    ($($text:tt)*) => {
        if $crate::console::is_at_least($crate::console::Verbosity::Verbose) {
            $crate::tell!($($text)*);
        }
    };
}

/// A number of bytes for a person: `412.0 KiB`.
pub(crate) struct Bytes(pub usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        match self.0 {
            0..0x400 => write!(f, "{} bytes", self.0),
            0x400..0x10_0000 => write!(f, "{:.1} KiB", bytes / 1024.0),
            0x10_0000..0x4000_0000 => write!(f, "{:.1} MiB", bytes / f64::from(1 << 20)),
            _ => write!(f, "{:.2} GiB", bytes / f64::from(1 << 30)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_units_of_their_size() {
        assert_eq!(Bytes(0).to_string(), "0 bytes");
        assert_eq!(Bytes(1023).to_string(), "1023 bytes");
        assert_eq!(Bytes(1536).to_string(), "1.5 KiB");
        assert_eq!(Bytes(3 << 20).to_string(), "3.0 MiB");
        assert_eq!(Bytes(5 << 29).to_string(), "2.50 GiB");
    }
}

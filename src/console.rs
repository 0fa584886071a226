//! Messages on standard error, beside a command's result.

use crate::error::printable_lines;
use std::fmt::{Arguments, Display};
use std::io::Write;

/// Prints a message to standard error, with control characters escaped line by line. A failed write (a closed pipe, a
/// full disk) is ignored, so that it never ends a training run.
pub fn tell(text: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{}", printable_lines(&text.to_string()));
}

/// A number with its noun: `1 image`, `2 images`. The plural is the singular with an s.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(number: N, singular: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {singular}{plural}")
}

/// `eprintln!` through [`tell()`].
#[macro_export]
macro_rules! tell {
    ($($text:tt)*) => { $crate::console::tell(format_args!($($text)*)) };
}

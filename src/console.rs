//! What is said to a person beside the result, on standard error.

use crate::error::printable_lines;
use std::fmt::Arguments;
use std::io::Write;

/// Says something, with control characters escaped line by line. Where nobody listens any more (a closed pipe, a full
/// disk) the words are lost and nothing else: least of all a training run.
pub fn tell(text: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{}", printable_lines(&text.to_string()));
}

/// As `eprintln!`, through [`tell()`].
#[macro_export]
macro_rules! tell {
    ($($text:tt)*) => { $crate::console::tell(format_args!($($text)*)) };
}

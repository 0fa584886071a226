//! What is said to a person beside the result, on standard error.

use crate::error::printable;
use std::fmt::Arguments;
use std::io::Write;

/// Says something, with control characters escaped line by line. Where nobody listens any more (a closed pipe, a full
/// disk) the words are lost and nothing else: least of all a training run.
pub fn tell(text: Arguments<'_>) {
    let shown: Vec<String> = text.to_string().lines().map(printable).collect();
    let _ = writeln!(std::io::stderr(), "{}", shown.join("\n"));
}

/// As `eprintln!`, through [`tell()`].
#[macro_export]
macro_rules! tell {
    ($($text:tt)*) => { $crate::tell::tell(format_args!($($text)*)) };
}

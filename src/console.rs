//! What is said to a person beside the result, on standard error.

use crate::error::printable_lines;
use std::fmt::{self, Arguments};
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

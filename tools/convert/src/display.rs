//! Names and texts from files, for messages.
//!
//! Everything that is printed is escaped by [`printable`] once more, line by line; so a name cannot end a line or drive
//! the terminal. Here a name is also shortened, because a file may hold names of any length.

use bcreid::error::printable;

/// Longest name in a message, in characters.
const NAME: usize = 60;
/// Longest text in a message, in characters.
const TEXT: usize = 160;

/// A name, escaped and shortened.
pub fn plain(name: &str) -> String {
    shortened(name, NAME)
}

/// A name, escaped, shortened and quoted.
pub fn quoted(name: &str) -> String {
    let (start, dots) = start_of(name, NAME);
    format!("{start:?}{dots}")
}

/// A text that may quote the file, such as another library's error: escaped and shortened to one short line.
pub fn one_line(text: &(impl ToString + ?Sized)) -> String {
    shortened(&text.to_string(), TEXT)
}

/// The first `most` characters of a text, escaped; dots follow if there are more.
pub fn shortened(text: &str, most: usize) -> String {
    let (start, dots) = start_of(text, most);
    printable(start) + dots
}

fn start_of(text: &str, most: usize) -> (&str, &'static str) {
    match text.char_indices().nth(most) {
        Some((end, _)) => (&text[..end], "..."),
        None => (text, ""),
    }
}

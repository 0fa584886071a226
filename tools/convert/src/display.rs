//! Names and texts from files, for messages.
//!
//! Everything that is printed is escaped by [`printable`](bcreid::error::printable) once more, line by line; so a name
//! cannot end a line or drive the terminal. Here a name is also shortened, because a file may hold names of any length.

use bcreid::error::excerpt;

/// Longest name in a message, in characters.
const NAME: usize = 60;
/// Longest text in a message, in characters.
const TEXT: usize = 160;

/// A name, escaped and shortened.
pub fn plain(name: &str) -> String {
    excerpt(name, NAME)
}

/// A name, escaped, shortened and quoted.
pub fn quoted(name: &str) -> String {
    match name.char_indices().nth(NAME) {
        Some((end, _)) => format!("{:?}...", &name[..end]),
        None => format!("{name:?}"),
    }
}

/// A text that may quote the file, such as another library's error: escaped and shortened to one short line.
pub fn one_line(text: &(impl ToString + ?Sized)) -> String {
    excerpt(&text.to_string(), TEXT)
}

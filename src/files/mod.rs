//! Files as all of this program treats them: read within bounds, written whole or not at all.

mod format;
mod read;
mod write;

pub use format::{Format, HEAD, Wanted};
pub use read::{MIB, open, open_or_make, read, read_argument, read_text};
pub use write::{is_temporary_name, remove_leftovers, write_atomically, write_json};

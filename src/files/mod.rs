//! Files as all of this program treats them: read within bounds, written whole or not at all.

mod read;
mod write;

pub use read::{MIB, open, open_or_make, read, read_argument, read_text};
pub use write::{is_temporary_name, remove_leftovers, write_atomically, write_json};

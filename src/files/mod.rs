//! File input and output: bounded reading, atomic writing, symbolic links, recognition of formats.

mod format;
mod links;
mod read;
mod temporary;
mod write;

pub use format::{Format, HEAD, Wanted};
pub use links::{follow, inside, make_inside, open_to_append};
pub use read::{MIB, open, open_or_make, read, read_argument, read_text};
pub use temporary::{Temporary, remove_temporaries};
pub use write::{is_temporary_name, remove_leftovers, write_atomically, write_json};

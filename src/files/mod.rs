//! File input and output: bounded reading, atomic writing, locks, symbolic links, recognition of formats,
//! checksums as text.

mod format;
mod hex;
mod links;
mod lock;
mod memory;
mod read;
mod temporary;
mod write;

pub use format::{Format, HEAD, Wanted};
pub use hex::hex;
pub use links::{follow, has_second_name, inside, make_inside, open_to_append};
pub use lock::{Lock, is_locked};
pub use memory::{copy, reserve};
pub use read::{MIB, open, read, read_argument, read_text};
pub use temporary::{Temporary, remove_temporaries};
pub use write::{is_temporary_name, remove_leftovers, sync_folder, write_atomically, write_json};

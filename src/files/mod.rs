//! File input and output: bounded reading, atomic writing, locks, recognition of formats.

mod folder;
mod format;
mod lock;
mod memory;
mod read;
mod write;

pub use folder::{make_own_folder, sync_folder};
pub use format::{Format, HEAD, Wanted};
pub use lock::Lock;
pub use memory::{copy, reserve};
pub use read::{MIB, open, open_or_make, read, read_argument, read_text};
pub use write::{is_temporary_name, remove_leftovers, write_atomically, write_json};

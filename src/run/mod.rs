//! The run folder: the paths of its files, metrics and checkpoints. Training writes the files; evaluation, reports,
//! exports and studies read them.

pub mod checkpoint;
pub mod folder;
pub mod layout;
pub mod metrics;

pub use folder::RunFolder;
pub use layout::Layout;

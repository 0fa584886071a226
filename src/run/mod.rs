//! A run's folder: where its files are, its metrics, its checkpoints. Training writes them; evaluation, reports, exports and
//! studies read them.

pub mod checkpoint;
pub mod folder;
pub mod layout;
pub mod metrics;

pub use folder::RunFolder;
pub use layout::Layout;

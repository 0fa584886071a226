//! The run folder: the paths of its files, metrics, checkpoints and provenance. Training writes the files; evaluation, reports,
//! exports and studies read them.

pub mod checkpoint;
pub mod folder;
pub mod layout;
pub mod metrics;
pub mod provenance;
pub mod search;

pub use folder::RunFolder;
pub use layout::Layout;
pub use provenance::RunProvenance;

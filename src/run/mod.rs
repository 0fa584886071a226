//! The run folder: the paths of its files, metrics, checkpoints, weights, evaluations during training and provenance;
//! detection of collapse from the metrics. Training writes the files; evaluation, reports,
//! exports and studies read them.

pub mod checkpoint;
pub mod collapse;
pub mod folder;
pub mod layout;
pub mod metrics;
pub mod provenance;
pub mod search;
pub mod validation;
pub mod weight_file;

pub use folder::RunFolder;
pub use layout::Layout;
pub use provenance::RunProvenance;
pub use weight_file::weight_file;

//! The data pipeline: from image files to batches of normalised NHWC pixels.
//!
//! In reading order, from the disk to the batch:
//!
//! 1. [`Dataset`] lists the images with their identities and cameras, in one of the layouts of [`Layout`]. Lists and
//!    folders may name identities and cameras ([`Labels`]). [`folder`] reads any folder of images, for feature
//!    extraction. [`Classes`] numbers the identities, [`Attributes`] are theirs.
//! 2. [`decode`] reads one file, [`resize`] resizes it to the network's input, or to a larger size for crops, [`cache`]
//!    keeps the decoded training set in memory: one pass before the first step, which also finds every unreadable file.
//! 3. [`sampler`] chooses the images of a step, [`augment`] draws the view of each, [`jitter`] changes its colours,
//!    [`input`] normalises the bytes, [`erase`] overwrites a rectangle. All of them are pure functions of (seed, step):
//!    there is no state to save, and a resumed run continues with the same batches.
//! 4. [`loader`] assembles training batches: ahead of the step on dedicated threads, or on the GPU inside the step.
//!    [`stream`] reads a list of images once and in order.
//!
//! Book: [chapter 17](../../../../docs/book/src/17-data.md).

mod assemble;
mod attributes;
pub mod augment;
mod box_folders;
pub mod cache;
mod classes;
mod dataset;
pub mod decode;
mod doubtful_labels;
pub mod dukemtmc;
pub mod erase;
pub mod folder;
mod found;
pub mod held_out;
mod identity_folders;
pub mod input;
pub mod jitter;
mod joined;
mod labelled;
mod labels;
mod layout;
pub mod list;
pub mod loader;
pub mod market1501;
pub mod mars;
mod mat;
pub mod msmt17;
mod name;
mod numbering;
mod official;
mod overlap;
mod plain_list;
mod prefetch;
pub mod resize;
mod sample;
pub mod sampler;
mod source;
pub mod stream;
pub mod synth;
mod training_set;
pub mod veri776;
pub mod viper;
mod wrong_tree;

pub use attributes::Attributes;
pub use augment::{Augment, PadMode};
pub use cache::{CacheOptions, ImageCache};
pub use classes::Classes;
pub use dataset::{Dataset, OpenOptions, Part};
pub use erase::{Erase, EraseFill};
pub use found::Tracklets;
pub use input::{Channels, ImageInput};
pub use jitter::Jitter;
pub use labels::Labels;
pub use layout::Layout;
pub use loader::Loader;
pub use name::Name;
pub use sample::Sample;
pub use sampler::{PkOrder, Sampler, SamplerKind};
pub use stream::{ImageBatch, ImageStream, Images, StreamOptions};
pub use training_set::{Batch, LoaderOptions};

use serde::{Deserialize, Serialize};

/// The treatment of unreadable images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BadImages {
    /// Stop with an error that names the image.
    #[default]
    Refuse,
    /// Leave the image out and report it.
    Skip,
}

/// Number of threads that decode images: as many as compute (`--threads`, or all cores that the process may use).
pub(crate) fn decoding_threads() -> usize {
    rayon::current_num_threads()
}

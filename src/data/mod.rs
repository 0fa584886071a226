//! Image files become batches of normalised NHWC pixels.
//!
//! In reading order, from the disk to the batch:
//!
//! 1. [`Dataset`] finds the images and who is on them: the folders of Market-1501 ([`market1501`]) or
//!    DukeMTMC-reID ([`dukemtmc`]), told apart by their file names, or lists in CSV ([`list`]). [`folder`]
//!    reads any folder of images, for feature extraction. [`Classes`] numbers the identities.
//! 2. [`decode`] reads one file, [`resize`] brings it to the network's size, [`cache`] keeps the training set
//!    in that form: one pass before the first step, which also finds every unreadable file.
//! 3. [`sampler`] says which images a step takes, [`augment`] what is drawn for each, [`input`] turns bytes
//!    into the numbers the network wants. All three are pure functions of (seed, step): there is no state
//!    to save, and a resumed run goes on with the batch it would have had.
//! 4. [`loader`] puts training batches together ahead of the step, on threads of its own, or has a GPU do it inside
//!    of the step; [`stream`] does it for a list of images taken once and in order.

mod assemble;
pub mod augment;
pub mod cache;
mod classes;
mod dataset;
pub mod decode;
pub mod dukemtmc;
pub mod folder;
pub mod input;
pub mod list;
pub mod loader;
pub mod market1501;
mod name;
mod prefetch;
pub mod resize;
mod sample;
pub mod sampler;
mod source;
pub mod stream;
pub mod synth;
mod training_set;

pub use augment::{Augment, PadMode};
pub use cache::{CacheOptions, ImageCache};
pub use classes::Classes;
pub use dataset::Dataset;
pub use input::{Channels, ImageInput};
pub use loader::Loader;
pub use name::Name;
pub use sample::Sample;
pub use sampler::{Sampler, SamplerKind};
pub use stream::{ImageBatch, ImageStream, StreamOptions};
pub use training_set::{Batch, LoaderOptions};

use serde::{Deserialize, Serialize};

/// What to do about an image that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BadImages {
    /// Stop with an error that names it.
    #[default]
    Refuse,
    /// Go on without it and report it.
    Skip,
}

/// The threads this machine runs at a time.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

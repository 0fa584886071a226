//! The result of the reader of a layout: images, names, tracklets.

use super::{Labels, Sample};
use std::ops::Range;

/// The images that the reader of a layout finds.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub train: Vec<Sample>,
    pub query: Vec<Sample>,
    pub gallery: Vec<Sample>,
    pub labels: Labels,
    pub tracklets: Option<Tracklets>,
    pub notes: Vec<String>,
}

/// The frames of each tracklet, as ranges of the images. A tracklet shows one identity at one camera.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracklets {
    /// Number of training tracklets. Training uses their frames as single images.
    pub train: usize,
    /// The frames of each query tracklet in [`super::Dataset::query`].
    pub query: Vec<Range<usize>>,
    /// The frames of each gallery tracklet in [`super::Dataset::gallery`].
    pub gallery: Vec<Range<usize>>,
}

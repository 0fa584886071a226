//! Input convention of Caffe's networks, which the shapes of weights do not show.

use bcreid::config::{Channels, Input};

/// The mean image of He's ImageNet models, averaged over its pixels: blue, green, red. (The release ships it
/// as `ResNet_mean.binaryproto`; [`crate::caffe::mean`] reads that.)
pub const CAFFE_MEAN: [f32; 3] = [103.062_62, 115.902_885, 123.151_63];

/// Caffe's input convention: BGR in 0 to 255 less the mean. (torchvision's, RGB in [0, 1] less ImageNet's mean
/// over its deviation, is the engine's default.)
pub fn caffe() -> Input {
    Input { channels: Channels::Bgr, scale: 1.0, mean: CAFFE_MEAN, std: [1.0; 3], ..Input::default() }
}

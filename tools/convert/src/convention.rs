//! What the shapes of weights do not show: where the network strides and pools, and which pixels it wants.

use bcreid::config::{Channels, Input, Wiring};

/// The mean image of He's ImageNet models, averaged over its pixels: blue, green, red. (The release ships it
/// as `ResNet_mean.binaryproto`; [`crate::caffe::mean`] reads that.)
pub const CAFFE_MEAN: [f32; 3] = [103.062_62, 115.902_885, 123.151_63];

/// The input convention that goes with a wiring unless a person knows better: torchvision's RGB in [0, 1] with
/// ImageNet's mean and deviation, or Caffe's BGR in 0 to 255 less the mean.
pub fn input_of(wiring: Wiring) -> Input {
    match wiring {
        Wiring::Torchvision => Input::default(),
        Wiring::Caffe => {
            Input { channels: Channels::Bgr, scale: 1.0, mean: CAFFE_MEAN, std: [1.0; 3], ..Input::default() }
        }
    }
}

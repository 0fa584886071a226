//! Transformation of images in a data layer: mean, scale, colours.

use super::settings::decode;
use super::wire::Fault;
use prost::bytes::Bytes;
use std::borrow::Cow;

/// TransformationParameter. Mirroring, cropping and forced colours do not change pixel values.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Transformation {
    #[prost(float, optional, tag = "1")]
    scale: Option<f32>,
    #[prost(uint64, tag = "3")]
    crop_size: u64,
    /// Path of the mean image; bytes, because a path need not be UTF-8.
    #[prost(bytes = "vec", optional, tag = "4")]
    mean_file: Option<Vec<u8>>,
    #[prost(float, repeated, tag = "5")]
    mean_value: Vec<f32>,
    #[prost(bool, tag = "7")]
    force_gray: bool,
}

/// Fields of data layers from before TransformationParameter existed: DataParameter,
/// ImageDataParameter and WindowDataParameter have these fields in common.
#[derive(Clone, PartialEq, prost::Message)]
struct Older {
    #[prost(float, optional, tag = "2")]
    scale: Option<f32>,
    #[prost(bytes = "vec", optional, tag = "3")]
    mean_file: Option<Vec<u8>>,
    #[prost(uint64, tag = "5")]
    crop_size: u64,
}

impl Transformation {
    /// Parses the message and checks its numbers.
    pub fn parse(bytes: Bytes) -> Result<Self, Fault> {
        let this: Self = decode("transform_param", bytes)?;
        this.checked("transform_param")
    }

    /// Parses the older message of a data layer, called `what`.
    pub fn parse_older(what: &str, bytes: Bytes) -> Result<Self, Fault> {
        let Older { scale, mean_file, crop_size } = decode(what, bytes)?;
        Transformation { scale, crop_size, mean_file, ..Self::default() }.checked(what)
    }

    fn checked(self, message: &str) -> Result<Self, Fault> {
        let this = self;
        let (scale, means) = (this.factor(), &this.mean_value);
        let what = if !(scale.is_finite() && scale > 0.0 && (1.0 / scale).is_finite()) {
            format!("has scale {scale}; a positive number is needed")
        } else if !matches!(means.len(), 0 | 1 | 3) {
            format!("has {} mean values; 1 or 3 are needed", means.len())
        } else if means.iter().any(|mean| !mean.is_finite()) {
            "has mean values that are not finite".into()
        } else if !means.is_empty() && this.mean_file.is_some() {
            "has both mean_file and mean_value; Caffe allows one of them".into()
        } else {
            return Ok(this);
        };
        Err(format!("its {message} {what}"))
    }

    /// True if the transformation changes pixel values.
    pub fn states_pixels(&self) -> bool {
        self.scale.is_some() || self.mean_file.is_some() || !self.mean_value.is_empty() || self.force_gray
    }

    /// True if both transformations change pixel values alike.
    pub fn states_the_same(&self, other: &Self) -> bool {
        (self.factor(), &self.mean_file, self.means(), self.force_gray)
            == (other.factor(), &other.mean_file, other.means(), other.force_gray)
    }

    /// True if images are converted to grey, with one channel.
    pub fn is_grey(&self) -> bool {
        self.force_gray
    }

    /// Crop size of images, if stated.
    pub fn crop(&self) -> Option<u64> {
        Some(self.crop_size).filter(|&size| size > 0)
    }

    /// Factor of pixels, applied after the mean is subtracted.
    pub fn factor(&self) -> f32 {
        self.scale.unwrap_or(1.0)
    }

    /// Name of the mean image.
    pub fn mean_image(&self) -> Option<Cow<'_, str>> {
        self.mean_file.as_deref().map(String::from_utf8_lossy)
    }

    /// Mean of each channel in the order of the file's channels; 0 by default.
    pub fn means(&self) -> [f32; 3] {
        match self.mean_value[..] {
            [blue, green, red] => [blue, green, red],
            [all] => [all; 3],
            _ => [0.0; 3],
        }
    }
}

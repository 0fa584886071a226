//! Wiring and input convention: the options, over the statements of the file.

use super::{Arguments, ChannelsName, WiringName, values};
use crate::network::Unseen;
use crate::source::{Asked, Source};
use crate::{Error, Result, caffe};
use bcreid::config::{Channels, Input, Wiring};
use bcreid::console::say;
use std::path::Path;
impl Arguments {
    /// Options about the wiring.
    pub(super) fn asked(&self) -> Asked {
        let wiring = self.wiring.map(|name| match name {
            WiringName::Torchvision => Wiring::Torchvision,
            WiringName::Caffe => Wiring::Caffe,
        });
        Asked { wiring, last_stride: self.last_stride.map(usize::from), without_head: self.without_head }
    }

    /// Wiring and input convention of the file, overridden by the options.
    pub(super) fn unseen(&self, source: &Source) -> Result<Unseen> {
        let Unseen { wiring, last_stride, mut input, .. } = Unseen::of(source);
        let channels = match self.channels {
            Some(ChannelsName::Rgb) => Channels::Rgb,
            Some(ChannelsName::Bgr) => Channels::Bgr,
            None => input.channels,
        };
        if channels != input.channels {
            // Mean and deviation are reordered with their channels.
            input.channels = channels;
            input.mean.reverse();
            input.std.reverse();
        }
        if let Some(scale) = self.scale
            && scale != input.scale
            && self.mean.is_none()
        {
            return Err(Error::Data(format!(
                "--scale {scale} without --mean: the mean {:?} that would be taken is of pixels times {}; give --mean \
                 (and --std) of pixels times {scale}",
                input.mean, input.scale
            )));
        }
        input.scale = self.scale.unwrap_or(input.scale);
        input.std = self.std.unwrap_or(input.std);
        if let Some(mean) = &self.mean {
            input.mean = match values::triple(mean) {
                Ok(mean) => mean,
                Err(_) if Path::new(mean).exists() => mean_of_image(Path::new(mean), &input)?,
                Err(why) => {
                    return Err(Error::Data(format!("--mean: {why}, nor is there a file of that name")));
                }
            };
        }
        Ok(Unseen { wiring, last_stride, input, without_head: self.without_head })
    }

    pub(super) fn says_what_shapes_do_not(&self) -> bool {
        let network = self.wiring.is_some() || self.last_stride.is_some() || self.without_head;
        network
            || self.licence.is_some()
            || self.source.is_some()
            || self.channels.is_some()
            || self.scale.is_some()
            || self.mean.is_some()
            || self.std.is_some()
    }

    /// Prints the parts of the input convention that neither the file nor an option states.
    pub(super) fn say_assumed(&self, source: &Source, input: &Input) -> Result<()> {
        let mut assumed = Vec::new();
        if self.channels.is_none() {
            assumed.push(format!("channels {}", format!("{:?}", input.channels).to_uppercase()));
        }
        if self.mean.is_none() {
            assumed.push(format!("mean {:?}", input.mean));
        }
        if self.scale.is_none() {
            assumed.push(format!("scale {}", input.scale));
        }
        if source.states_input || assumed.is_empty() {
            return Ok(());
        }
        say(format_args!(
            "  the file does not state its input convention; assumed, as usual for such files: {} (--channels, \
             --mean, --scale and --std say otherwise)",
            assumed.join(", ")
        ))
    }
}

/// Channel means of a mean image in the input's order. The image is in grey levels, blue first.
fn mean_of_image(path: &Path, input: &Input) -> Result<[f32; 3]> {
    if input.scale != 1.0 {
        let scale = input.scale;
        return Err(Error::weights(
            path,
            format!(
                "a mean image is in grey levels of 0 to 255, and pixels are scaled by {scale}; add --scale 1"
            ),
        ));
    }
    let [blue, green, red] = caffe::mean(path)?;
    Ok(match input.channels {
        Channels::Bgr => [blue, green, red],
        Channels::Rgb => [red, green, blue],
    })
}

//! Which pixels the network wants, where its data layer says so.
//!
//! A model that was saved in training still has the layer that it read its images with. Caffe subtracts the
//! mean first and multiplies then; the engine multiplies, subtracts and divides:
//!
//! (x - mean) scale = (x 1 - mean) / (1 / scale)

use super::net::Net;
use super::wire::shown;
use crate::convention;
use bcreid::config::Input;

/// Caffe's convention with what the data layer states; adds to `notes` what that is.
pub fn input(net: &Net, notes: &mut Vec<String>) -> Input {
    let mut input = convention::caffe();
    let Some((name, stated)) = &net.pixels else { return input };
    let (name, scale) = (shown(name), stated.factor());
    if scale != 1.0 {
        input.std = [1.0 / scale; 3];
    }
    if let Some(file) = stated.mean_image() {
        let file = shown(&file);
        notes.push(format!(
            "data layer {name} scales by {scale} and subtracts the mean image {file}: give it with --mean; \
             He's mean is taken else"
        ));
    } else {
        input.mean = stated.means();
        notes.push(format!(
            "data layer {name} subtracts {:?} (blue, green, red) and scales by {scale}; this is taken over",
            input.mean
        ));
    }
    if let Some(other) = &net.other_pixels {
        notes.push(format!(
            "data layer {} states other pixels than {name}; those of {name} are taken",
            shown(other)
        ));
    }
    input
}

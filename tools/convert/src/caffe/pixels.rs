//! Input convention of a net, as stated by its data layers.
//!
//! A model that was saved in training still has its data layers. A data layer of phase TEST has priority over one of
//! phase TRAIN. Caffe subtracts the mean and then multiplies; the engine multiplies, subtracts and divides:
//!
//! (x - mean) scale = (x 1 - mean) / (1 / scale)

use super::transformation::Transformation;
use super::wire::Fault;
use crate::convention;
use crate::display::quoted;
use bcreid::config::Input;

/// Pixel transformations of the data layers of a net.
#[derive(Clone, Debug, Default)]
pub struct Pixels {
    /// First data layer of phase TEST, or of every phase, with a pixel transformation.
    in_use: Option<DataLayer>,
    /// First data layer of phase TRAIN with a pixel transformation.
    in_training: Option<DataLayer>,
    /// First data layer of phase TEST, or of every phase, that leaves pixels as they are.
    silent: Option<DataLayer>,
    /// Data layer of the deciding phase with another transformation than the first.
    others: [Option<String>; 2],
}

/// A data layer.
#[derive(Clone, Debug)]
struct DataLayer {
    name: String,
    stated: Transformation,
}

impl Pixels {
    /// Adds the transformation of a data layer.
    pub fn add(&mut self, name: &str, is_for_training: bool, stated: Transformation) {
        let [in_use, in_training] = &mut self.others;
        let (first, other) = match is_for_training {
            true => (&mut self.in_training, in_training),
            false => (&mut self.in_use, in_use),
        };
        match first {
            _ if !stated.states_pixels() => {
                if !is_for_training {
                    self.silent.get_or_insert_with(|| DataLayer { name: name.into(), stated });
                }
            }
            None => *first = Some(DataLayer { name: name.into(), stated }),
            Some(first) if !first.stated.states_the_same(&stated) => {
                other.get_or_insert_with(|| name.into());
            }
            Some(_) => {}
        }
    }

    /// True if no data layer states a transformation.
    pub fn is_empty(&self) -> bool {
        self.in_use.is_none() && self.in_training.is_none()
    }

    /// The transformations of a prototxt, which describes the data layers of both phases: where the one of phase TRAIN
    /// changes pixels, the one of phase TEST that does not leaves them as they are. (A weight file has the layers of
    /// one phase.)
    pub fn of_both_phases(mut self) -> Pixels {
        if self.in_use.is_none() && self.in_training.is_some() {
            self.in_use = self.silent.take();
        }
        self
    }

    /// Merges the transformations of a weight file and of its prototxt.
    ///
    /// # Errors
    /// If both have a data layer for phase TEST, or for every phase, and they differ.
    pub fn merge(file: Pixels, text: Pixels) -> Result<Pixels, Fault> {
        if let (Some(own), Some(described)) = (&file.in_use, &text.in_use)
            && !own.stated.states_the_same(&described.stated)
        {
            return Err(format!(
                "data layer {} of the prototxt states another mean or scale than {} of the file",
                quoted(&described.name),
                quoted(&own.name)
            ));
        }
        let [in_use, in_training] = text.others;
        let [own_in_use, own_in_training] = file.others;
        Ok(Pixels {
            in_use: text.in_use.or(file.in_use),
            in_training: text.in_training.or(file.in_training),
            silent: text.silent.or(file.silent),
            others: [in_use.or(own_in_use), in_training.or(own_in_training)],
        })
    }

    /// Caffe's convention, overridden by the deciding data layer; adds a note about it.
    ///
    /// # Errors
    /// If that layer converts its images to grey.
    pub fn input(&self, notes: &mut Vec<String>) -> Result<Input, Fault> {
        let mut input = convention::caffe();
        let (layer, phase, other) = match (&self.in_use, &self.in_training) {
            (Some(layer), _) => (layer, "", &self.others[0]),
            (None, Some(layer)) => (layer, " of phase TRAIN", &self.others[1]),
            (None, None) => return Ok(input),
        };
        let (name, scale) = (quoted(&layer.name), layer.stated.factor());
        if layer.stated.is_grey() {
            return Err(format!(
                "data layer {name}{phase} makes its images grey (force_gray: true), and a ResNet reads three colours"
            ));
        }
        if scale != 1.0 {
            input.std = [1.0 / scale; 3];
        }
        if let Some(file) = layer.stated.mean_image() {
            let file = quoted(&file);
            notes.push(format!(
                "data layer {name}{phase} scales by {scale} and subtracts the mean image {file}: give it with --mean; \
                 He's mean is taken else"
            ));
        } else {
            input.mean = layer.stated.means();
            notes.push(format!(
                "data layer {name}{phase} subtracts {:?} (blue, green, red) and scales by {scale}; this is taken over",
                input.mean
            ));
        }
        if let Some(other) = other {
            notes.push(format!(
                "data layer {}{phase} states other pixels than {name}; those of {name} are taken",
                quoted(other)
            ));
        }
        if let (Some(_), Some(training)) = (&self.in_use, &self.in_training)
            && !training.stated.states_the_same(&layer.stated)
        {
            notes.push(format!(
                "data layer {} of phase TRAIN states other pixels than {name} of phase TEST; those of {name} are taken",
                quoted(&training.name)
            ));
        }
        Ok(input)
    }
}

//! A Caffe net's layers as torchvision's tensors.
//!
//! Caffe normalises in two layers: BatchNorm keeps sums of the mean and the variance with the factor they
//! are to be divided by, Scale keeps gamma and beta. torchvision has one layer with all four, without a bias
//! in the convolution before it and with an epsilon of its own. Both differences fold into the statistics:
//!
//! gamma (x + bias - mean) / sqrt(var + eps) + beta
//!   = gamma (x - (mean - bias)) / sqrt((var + eps - EPS) + EPS) + beta
//!
//! Only conv1's bias stays as it is: the engine's Caffe wiring has a place for it.

use super::blob::Blob;
use super::names::Unit;
use super::net::{Layer, Net};
use super::pixels;
use super::units::{Units, expect_kind};
use super::wire::{Fault, shown};
use super::wiring::wiring;
use crate::source::{Source, SourceTensor};
use crate::{Error, Result};
use bcreid::config::Wiring;
use bcreid::ops::batchnorm::EPS;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

/// The net's tensors under torchvision's names. Layers behind the trunk that a ResNet has not keep their own.
pub fn source(path: &Path, net: &Net) -> std::result::Result<Source, Fault> {
    let mut notes = Vec::new();
    let units = Units::of(net, &mut notes)?;
    let pool1 = units.pool1.and_then(|layer| layer.pooling.as_deref());
    let (wiring, last_stride) = wiring(&units.convolutions, pool1, &mut notes)?;
    let input = pixels::input(net, &mut notes);
    let mut out = Tensors { path: path.into(), wiring, tensors: BTreeMap::new(), folded: Vec::new(), notes };
    for (unit, layer) in &units.convolutions {
        out.convolution(*unit, layer)?;
    }
    for (unit, layer) in &units.batch_norms {
        out.batch_norm(*unit, layer, units.convolutions.get(unit), units.scales.get(unit))?;
    }
    units.check_complete()?;
    if let Some(layer) = units.classifier {
        out.classifier(layer)?;
    }
    for layer in &units.others {
        out.other(layer)?;
    }
    let format = if net.v1 { "Caffe model with V1 layers" } else { "Caffe model" };
    Ok(Source {
        format: format.into(),
        wiring,
        last_stride,
        input,
        states_input: net.pixels.is_some(),
        is_whole: units.is_whole,
        notes: out.notes(),
        tensors: out.tensors,
    })
}

/// The tensors so far.
struct Tensors {
    path: Rc<Path>,
    wiring: Wiring,
    tensors: BTreeMap<String, SourceTensor>,
    /// The convolutions whose bias went into the mean behind them.
    folded: Vec<String>,
    notes: Vec<String>,
}

impl Tensors {
    /// A tensor whose values are one blob's, through `map`.
    fn add(
        &mut self,
        name: String,
        shape: Vec<usize>,
        blob: &Blob,
        map: impl Fn(Vec<f32>) -> std::result::Result<Vec<f32>, Fault> + 'static,
    ) {
        let (path, blob, dtype) = (Rc::clone(&self.path), blob.clone(), blob.dtype);
        let read = move || -> Result<Vec<f32>> {
            blob.values().and_then(&map).map_err(|fault| Error::weights(&*path, fault))
        };
        self.tensors.insert(name, SourceTensor::new(shape, dtype, read));
    }

    /// Whether a convolution's bias stays one.
    fn keeps_bias(&self, unit: Unit) -> bool {
        unit == Unit::Stem && self.wiring == Wiring::Caffe
    }

    fn convolution(&mut self, unit: Unit, layer: &Layer) -> std::result::Result<(), Fault> {
        let (weight, bias) = weight_and_bias(layer)?;
        let [_, _, _, _] = weight.shape[..] else {
            return Err(format!("{} has weights {:?}; a convolution's are 4-d", layer.name, weight.shape));
        };
        let name = unit.convolution();
        self.add(format!("{name}.weight"), weight.shape.clone(), weight, Ok);
        if let Some(bias) = bias {
            let length = vector(layer, bias, "bias")?;
            if length != weight.shape[0] {
                let (name, outputs) = (&layer.name, weight.shape[0]);
                return Err(format!("{name} has {outputs} outputs and a bias of {length} values"));
            }
            if self.keeps_bias(unit) {
                self.add(format!("{name}.bias"), vec![length], bias, Ok);
            }
        }
        Ok(())
    }

    fn batch_norm(
        &mut self,
        unit: Unit,
        layer: &Layer,
        convolution: Option<&&Layer>,
        scale: Option<&&Layer>,
    ) -> std::result::Result<(), Fault> {
        let name = unit.batch_norm();
        let [mean, var, factor] = &layer.blobs[..] else {
            let found = layer.blobs.len();
            return Err(format!(
                "{} has {found} blobs; Caffe's BatchNorm has mean, variance and factor",
                layer.name
            ));
        };
        let (channels, variances) = (vector(layer, mean, "mean")?, vector(layer, var, "variance")?);
        if channels != variances {
            return Err(format!("{} has {channels} means and {variances} variances", layer.name));
        }
        let inverse = self.inverse(layer, factor)?;

        let bias = match convolution.map(|layer| weight_and_bias(layer)).transpose()? {
            Some((_, bias)) if !self.keeps_bias(unit) => bias.cloned(),
            _ => None,
        };
        if let (Some(bias), Some(convolution)) = (&bias, convolution) {
            if bias.count() != channels {
                let (biases, name) = (bias.count(), &convolution.name);
                return Err(format!("{name} has {biases} biases and {} {channels} means", layer.name));
            }
            self.folded.push(convolution.name.clone());
        }
        self.add(format!("{name}.running_mean"), vec![channels], mean, move |mut values| {
            let bias = bias.as_ref().map_or_else(|| Ok(vec![0.0; channels]), Blob::values)?;
            for (mean, bias) in values.iter_mut().zip(bias) {
                *mean = (f64::from(*mean) * inverse - f64::from(bias)) as f32;
            }
            Ok(values)
        });

        let surplus = layer.eps.map_or(0.0, |eps| f64::from(eps) - f64::from(EPS));
        if surplus != 0.0 {
            let eps = layer.eps.unwrap_or_default();
            self.notes
                .push(format!("{} has epsilon {eps:e}; the variances carry the difference", layer.name));
        }
        self.add(format!("{name}.running_var"), vec![channels], var, move |mut values| {
            values.iter_mut().for_each(|var| *var = (f64::from(*var) * inverse + surplus) as f32);
            Ok(values)
        });
        self.scale(&name, layer, channels, scale)
    }

    /// One over the factor that the statistics carry; 0 for 0, which is what Caffe makes of an untrained
    /// layer.
    fn inverse(&mut self, layer: &Layer, factor: &Blob) -> std::result::Result<f64, Fault> {
        let factor = match factor.values()?[..] {
            [factor] => f64::from(factor),
            _ => return Err(format!("{} has a factor of {} values, not one", layer.name, factor.count())),
        };
        if factor == 0.0 {
            self.notes.push(format!("{} has factor 0: mean and variance are 0, as in Caffe", layer.name));
            Ok(0.0)
        } else if factor.is_finite() && factor > 0.0 {
            Ok(1.0 / factor)
        } else {
            Err(format!("{} has factor {factor}; these weights are spoilt", layer.name))
        }
    }

    /// Gamma and beta; 1 and 0 where no Scale layer says otherwise.
    fn scale(
        &mut self,
        name: &str,
        batch_norm: &Layer,
        channels: usize,
        scale: Option<&&Layer>,
    ) -> std::result::Result<(), Fault> {
        let blobs = scale.map_or(&[][..], |layer| &layer.blobs[..]);
        if blobs.len() > 2 {
            let name = scale.map_or("", |layer| &layer.name);
            return Err(format!("{name} has {} blobs; Caffe's Scale has gamma and beta", blobs.len()));
        }
        if scale.is_none() {
            self.notes.push(format!("{} has no Scale layer: gamma is 1 and beta 0", batch_norm.name));
        }
        for (at, (key, default)) in [("weight", 1.0), ("bias", 0.0)].into_iter().enumerate() {
            let key = format!("{name}.{key}");
            if let (Some(layer), Some(blob)) = (scale, blobs.get(at)) {
                let length = vector(layer, blob, "gamma or beta")?;
                self.add(key, vec![length], blob, Ok);
            } else {
                let constant = SourceTensor::new(vec![channels], "f32", move || Ok(vec![default; channels]));
                self.tensors.insert(key, constant);
            }
        }
        Ok(())
    }

    fn classifier(&mut self, layer: &Layer) -> std::result::Result<(), Fault> {
        expect_kind(layer, "InnerProduct")?;
        let (weight, bias) = weight_and_bias(layer)?;
        let shape = weight.last_axes(2).ok_or_else(|| {
            format!("{} has weights {:?}; a classifier's are [classes, features]", layer.name, weight.shape)
        })?;
        if layer.transposed {
            return Err(format!("{} keeps its matrix transposed; save it without `transpose`", layer.name));
        }
        self.add("fc.weight".into(), shape.to_vec(), weight, Ok);
        if let Some(bias) = bias {
            self.add("fc.bias".into(), vec![vector(layer, bias, "bias")?], bias, Ok);
        }
        Ok(())
    }

    /// A layer that no ResNet has: under its own name, for somebody to say that it is left out.
    fn other(&mut self, layer: &Layer) -> std::result::Result<(), Fault> {
        for (at, blob) in layer.blobs.iter().enumerate() {
            let name = format!("{}/{at}", layer.name);
            if self.tensors.contains_key(&name) {
                return Err(format!("two layers are called {}", shown(&layer.name)));
            }
            self.add(name, blob.shape.clone(), blob, Ok);
        }
        Ok(())
    }

    /// What a person should know.
    fn notes(&mut self) -> Vec<String> {
        if let [first, rest @ ..] = &self.folded[..] {
            let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            self.notes.push(format!("the bias of {first}{more} is folded into the batch norm's mean"));
        }
        std::mem::take(&mut self.notes)
    }
}

/// One or two blobs.
fn weight_and_bias(layer: &Layer) -> std::result::Result<(&Blob, Option<&Blob>), Fault> {
    match &layer.blobs[..] {
        [weight] => Ok((weight, None)),
        [weight, bias] => Ok((weight, Some(bias))),
        blobs => {
            Err(format!("{} has {} blobs; weights and perhaps a bias are needed", layer.name, blobs.len()))
        }
    }
}

/// The length of a blob that must be a vector.
fn vector(layer: &Layer, blob: &Blob, what: &str) -> std::result::Result<usize, Fault> {
    blob.vector()
        .ok_or_else(|| format!("{} has a {what} of shape {:?}; a vector is needed", layer.name, blob.shape))
}

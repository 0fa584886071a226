//! Conversion of a Caffe net's layers to torchvision's tensors.
//!
//! Caffe normalises in two layers: BatchNorm keeps sums of the mean and the variance with the factor they
//! are to be divided by, Scale keeps gamma and beta. torchvision has one layer with all four, without a bias
//! in the convolution before it and with an epsilon of its own. Both differences fold into the statistics (see
//! `statistics`); the bias into the mean:
//!
//! gamma (x + bias - mean) / sqrt(var + eps) + beta = gamma (x - (mean - bias)) / sqrt(var + eps) + beta
//!
//! Only conv1's bias stays as it is: the engine's Caffe wiring has a place for it.

use super::blob::Blob;
use super::names::Unit;
use super::net::{Layer, Net};
use super::statistics::Statistics;
use super::units::{Units, expect_kind};
use super::wire::Fault;
use super::wiring::wiring;
use crate::content::{Asked, Source, SourceTensor};
use crate::display::quoted;
use crate::toolboxes::head::Head;
use crate::{Error, Result};
use bcreid::config::Wiring;
use bcreid::weights::provenance::Conversion;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

/// Converts the net's tensors to torchvision's names. Other layers after the trunk keep their names.
pub fn source(path: &Path, net: &Net, asked: Asked) -> std::result::Result<Source, Fault> {
    let mut notes = Vec::new();
    let units = Units::of(net, &mut notes)?;
    let pool1 = units.pool1.and_then(|layer| layer.pooling.as_deref());
    let (wiring, last_stride) = wiring(&units.convolutions, pool1, asked, &mut notes)?;
    let input = net.pixels.input(&mut notes)?;
    let mut out = Tensors {
        path: path.into(),
        wiring,
        tensors: BTreeMap::new(),
        trained: Vec::new(),
        folded: Vec::new(),
        notes,
    };
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
        states_stride: true,
        pooling: None,
        head: Head::default(),
        input,
        states_input: !net.pixels.is_empty(),
        is_whole: units.is_whole,
        stated: Conversion::default(),
        notes: out.notes(),
        tensors: out.tensors,
    })
}

/// Tensors converted so far, with notes.
struct Tensors {
    path: Rc<Path>,
    wiring: Wiring,
    tensors: BTreeMap<String, SourceTensor>,
    /// Batch norms that used the statistics of the batch when the file was saved in training.
    trained: Vec<String>,
    /// Convolutions whose bias was merged into the mean of the batch norm.
    folded: Vec<String>,
    notes: Vec<String>,
}

impl Tensors {
    /// Adds a tensor with the values of a blob.
    fn copy(&mut self, name: String, shape: Vec<usize>, blob: &Blob) {
        let blob = blob.clone();
        self.add(name, shape, blob.dtype, move || blob.values());
    }

    /// Adds a tensor whose values `read` returns.
    fn add(
        &mut self,
        name: String,
        shape: Vec<usize>,
        dtype: &'static str,
        read: impl Fn() -> std::result::Result<Vec<f32>, Fault> + 'static,
    ) {
        let path = Rc::clone(&self.path);
        let read = move || -> Result<Vec<f32>> { read().map_err(|fault| Error::weights(&*path, fault)) };
        self.tensors.insert(name, SourceTensor::new(shape, dtype, read));
    }

    /// True if the bias of a convolution is kept.
    fn keeps_bias(&self, unit: Unit) -> bool {
        unit == Unit::Stem && self.wiring == Wiring::Caffe
    }

    fn convolution(&mut self, unit: Unit, layer: &Layer) -> std::result::Result<(), Fault> {
        let (weight, bias) = weight_and_bias(layer)?;
        let [_, _, _, _] = weight.shape[..] else {
            return Err(format!("{} has weights {:?}; a convolution's are 4-d", layer.title(), weight.shape));
        };
        let name = unit.convolution();
        self.copy(format!("{name}.weight"), weight.shape.clone(), weight);
        if let Some(bias) = bias {
            let length = vector(layer, bias, "bias")?;
            if length != weight.shape[0] {
                let (name, outputs) = (layer.title(), weight.shape[0]);
                return Err(format!("{name} has {outputs} outputs and a bias of {length} values"));
            }
            if self.keeps_bias(unit) {
                self.copy(format!("{name}.bias"), vec![length], bias);
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
        let statistics = Statistics::of(layer, &mut self.notes)?;
        let channels = statistics.channels;
        if layer.use_global_stats == Some(false) {
            self.trained.push(layer.title());
        }
        let bias = match convolution.map(|layer| weight_and_bias(layer)).transpose()? {
            Some((_, bias)) if !self.keeps_bias(unit) => bias.cloned(),
            _ => None,
        };
        if let (Some(bias), Some(convolution)) = (&bias, convolution) {
            if bias.count() != channels {
                let (biases, name) = (bias.count(), convolution.title());
                return Err(format!("{name} has {biases} biases and {} {channels} means", layer.title()));
            }
            self.folded.push(convolution.title());
        }
        let [mean, var, _] = &layer.blobs[..] else { unreachable!("Statistics::of has counted them") };
        let (of_mean, of_var) = (statistics.clone(), statistics.clone());
        self.add(format!("{name}.running_mean"), vec![channels], mean.dtype, move || {
            of_mean.means(bias.as_ref())
        });
        self.add(format!("{name}.running_var"), vec![channels], var.dtype, move || of_var.variances());
        self.scale(&name, layer, statistics, scale)
    }

    /// Adds gamma and beta; 1 and 0 without a Scale layer.
    fn scale(
        &mut self,
        name: &str,
        batch_norm: &Layer,
        statistics: Statistics,
        scale: Option<&&Layer>,
    ) -> std::result::Result<(), Fault> {
        let channels = statistics.channels;
        let blobs = scale.map_or(&[][..], |layer| &layer.blobs[..]);
        match scale {
            None => {
                self.notes.push(format!("{} has no Scale layer: gamma is 1 and beta 0", batch_norm.title()));
            }
            Some(layer) => check_scale(layer)?,
        }
        let (gamma, beta) = (blobs.first().cloned(), blobs.get(1).cloned());
        for (layer, blob) in scale.into_iter().flat_map(|layer| blobs.iter().map(move |blob| (layer, blob))) {
            let length = vector(layer, blob, "gamma or beta")?;
            if length != channels {
                let (title, of) = (layer.title(), batch_norm.title());
                return Err(format!("{title} has {length} gammas or betas and {of} {channels} means"));
            }
        }
        let dtype = |blob: &Option<Blob>| blob.as_ref().map_or("f32", |blob| blob.dtype);
        let (of_gamma, of_beta) = (dtype(&gamma), dtype(&beta));
        self.add(format!("{name}.weight"), vec![channels], of_gamma, move || {
            let gamma = gamma.as_ref().map_or_else(|| Ok(vec![1.0; channels]), Blob::values)?;
            if !statistics.has_gains() {
                return Ok(gamma);
            }
            let gains = gamma.into_iter().zip(statistics.gains()?);
            Ok(gains.map(|(gamma, gain)| (f64::from(gamma) * gain) as f32).collect())
        });
        self.add(format!("{name}.bias"), vec![channels], of_beta, move || {
            beta.as_ref().map_or_else(|| Ok(vec![0.0; channels]), Blob::values)
        });
        Ok(())
    }

    fn classifier(&mut self, layer: &Layer) -> std::result::Result<(), Fault> {
        expect_kind(layer, "InnerProduct")?;
        let (weight, bias) = weight_and_bias(layer)?;
        let shape = weight.last_axes(2).ok_or_else(|| {
            format!(
                "{} has weights {:?}; a classifier's are [classes, features]",
                layer.title(),
                weight.shape
            )
        })?;
        if layer.transposed {
            return Err(format!(
                "{} keeps its matrix transposed; save it without `transpose`",
                layer.title()
            ));
        }
        self.copy("fc.weight".into(), shape.to_vec(), weight);
        if let Some(bias) = bias {
            self.copy("fc.bias".into(), vec![vector(layer, bias, "bias")?], bias);
        }
        Ok(())
    }

    /// Adds a layer that is not part of a ResNet under its own name, so that it is reported as left out.
    fn other(&mut self, layer: &Layer) -> std::result::Result<(), Fault> {
        // Each of its tensors has the name in it.
        const LONGEST: usize = 1000;
        let length = layer.name.len();
        if length > LONGEST {
            let name = layer.with_kind();
            return Err(format!(
                "{name} has weights and a name of {length} bytes; at most {LONGEST} are accepted"
            ));
        }
        for (at, blob) in layer.blobs.iter().enumerate() {
            let name = format!("{}/{at}", layer.name);
            if self.tensors.contains_key(&name) {
                return Err(format!("two layers are called {}", quoted(&layer.name)));
            }
            self.copy(name, blob.shape.clone(), blob);
        }
        Ok(())
    }

    /// Notes for the user.
    fn notes(&mut self) -> Vec<String> {
        if let [first, rest @ ..] = &self.folded[..] {
            let more = more(rest);
            self.notes.push(format!("the bias of {first}{more} is folded into the batch norm's mean"));
        }
        if let [first, rest @ ..] = &self.trained[..] {
            self.notes.push(format!(
                "{first}{} took the statistics of the batch in training (use_global_stats: false); the running ones \
                 are taken, as they are at test",
                more(rest)
            ));
        }
        std::mem::take(&mut self.notes)
    }
}

/// Number of further names, in words.
fn more(rest: &[String]) -> String {
    if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) }
}

/// Checks that a Scale layer has gamma and perhaps beta, as its settings state.
fn check_scale(layer: &Layer) -> std::result::Result<(), Fault> {
    let (title, count) = (layer.title(), layer.blobs.len());
    if let [_, factors, ..] = &layer.bottoms[..] {
        let factors = quoted(&String::from_utf8_lossy(factors));
        return Err(format!(
            "{title} takes its gamma from blob {factors} and has none among its weights; a ResNet's has"
        ));
    }
    if !(1..=2).contains(&count) {
        return Err(format!("{title} has {count} blobs; Caffe's Scale has gamma and perhaps beta"));
    }
    match layer.scale.as_ref().and_then(|settings| settings.contradicts(count)) {
        None => Ok(()),
        Some(stated) => Err(format!("{title} has {count} blob(s), and its settings state {stated}")),
    }
}

/// Weights and perhaps a bias of a layer.
fn weight_and_bias(layer: &Layer) -> std::result::Result<(&Blob, Option<&Blob>), Fault> {
    match &layer.blobs[..] {
        [weight] => Ok((weight, None)),
        [weight, bias] => Ok((weight, Some(bias))),
        blobs => {
            Err(format!("{} has {} blobs; weights and perhaps a bias are needed", layer.title(), blobs.len()))
        }
    }
}

/// Length of a blob that must be a vector.
fn vector(layer: &Layer, blob: &Blob, what: &str) -> std::result::Result<usize, Fault> {
    blob.vector().ok_or_else(|| {
        format!("{} has a {what} of shape {:?}; a vector is needed", layer.title(), blob.shape)
    })
}

//! From images to features: pool5, optionally with that of the mirrored image added, L2-normalised.

use crate::autograd::{Params, Tape};
use crate::config::Config;
use crate::data::{Dataset, ImageStream, Sample, StreamOptions};
use crate::device::Device;
use crate::model::Model;
use crate::ops::add::add;
use crate::ops::batchnorm::Statistics;
use crate::ops::l2_normalize::l2_normalize;
use crate::run::checkpoint::weight_file;
use crate::tensor::{Download, Tensor};
use crate::weights::{About, Features, NetworkFile, Origin};
use crate::{Error, Result};
use std::path::Path;

/// A trained network, ready to describe images.
#[derive(Debug)]
pub struct Extractor {
    model: Model,
    params: Params,
    config: Config,
    device: Device,
    batch: usize,
    flip: bool,
    fingerprint: String,
    /// What a person should know about the weights.
    note: Option<String>,
}

impl Extractor {
    /// The network in a weight file or a run's folder (its result, or its newest checkpoint while it has
    /// none). Wiring and input convention are those the file was trained with.
    ///
    /// # Errors
    /// A file that is none of ours, or lacks a tensor.
    pub fn load(weights: &Path, device: &Device) -> Result<Self> {
        let (path, note) = weight_file(weights)?;
        let file = NetworkFile::open(&path)?;
        let config = file.config().clone();
        let (model, mut params) = Model::new(&config, 0, device)?;
        file.load(&mut params)?;
        let (fingerprint, device) = (file.fingerprint(), device.clone());
        Ok(Extractor { model, params, config, device, batch: 32, flip: false, fingerprint, note })
    }

    /// What a person should know about the weights: that their training is not finished.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// What is said of the features' origin.
    pub fn origin(&self) -> Origin {
        Origin { network: Some(self.fingerprint.clone()), mirrored: Some(self.flip), pooled: None }
    }

    /// How many images go through the network at once.
    ///
    /// # Errors
    /// If there are none, or more than 1,024.
    pub fn with_batch(self, batch: usize) -> Result<Self> {
        if !(1..=1024).contains(&batch) {
            return Err(Error::Data(format!("a batch of {batch} images: give 1 to 1024 images")));
        }
        Ok(Extractor { batch, ..self })
    }

    /// Whether the feature of the mirrored image is added.
    pub fn with_flip(self, flip: bool) -> Self {
        Extractor { flip, ..self }
    }

    /// The features of `samples`, in their order; `progress` is told how many of how many are done.
    ///
    /// # Errors
    /// No samples; an image that cannot be read, by name.
    pub fn extract(&mut self, samples: &[Sample], progress: impl Fn(usize, usize)) -> Result<Features> {
        let dim = self.model.backbone.features();
        let mut features = Vec::with_capacity(samples.len() * dim);
        self.describe(samples, |rows| {
            features.extend_from_slice(rows);
            progress(features.len() / dim, samples.len());
            Ok(())
        })?;
        let Lists { pids, camids, paths } = Lists::of(samples);
        Ok(Features::new(features, dim, pids, camids, paths)?.with_origin(self.origin()))
    }

    /// Writes the features of `samples` into a file as they come, so that they need not fit into the memory.
    ///
    /// # Errors
    /// As [`Extractor::extract`]; a disk that is full, and then there is no file.
    pub fn extract_to(
        &mut self,
        path: &Path,
        samples: &[Sample],
        progress: impl Fn(usize, usize),
    ) -> Result<()> {
        let (origin, dim) = (self.origin(), self.model.backbone.features());
        let Lists { pids, camids, paths } = Lists::of(samples);
        let about = About { pids: &pids, camids: &camids, paths: &paths, origin: &origin };
        about.write(path, dim, |write| {
            let mut done = 0;
            self.describe(samples, |rows| {
                write(rows)?;
                done += rows.len() / dim;
                progress(done, samples.len());
                Ok(())
            })
        })
    }

    /// Hands the features of `samples` to `take` in their order, a batch at a time.
    fn describe(&mut self, samples: &[Sample], mut take: impl FnMut(&[f32]) -> Result<()>) -> Result<()> {
        let options = StreamOptions {
            batch: self.batch,
            mirrored: self.flip,
            ..StreamOptions::new(self.config.image_input())
        };
        let paths = samples.iter().map(|s| s.path.clone()).collect();
        // A GPU describes one batch while the next is sent to it.
        let mut coming: Option<Download> = None;
        let mut keep = |coming: Option<Download>| coming.map_or(Ok(()), |coming| take(&coming.wait()?));
        for batch in ImageStream::new(paths, options, &self.device)? {
            let batch = batch?;
            let described = self.forward(batch.pixels, batch.mirrored)?.download_async()?;
            keep(coming.replace(described))?;
        }
        keep(coming)
    }

    /// The features of a data set's query and gallery.
    ///
    /// # Errors
    /// As [`Extractor::extract`].
    pub fn extract_test(
        &mut self,
        dataset: &Dataset,
        progress: impl Fn(usize, usize),
    ) -> Result<(Features, Features)> {
        let total = dataset.query.len() + dataset.gallery.len();
        let query = self.extract(&dataset.query, |done, _| progress(done, total))?;
        let gallery = self.extract(&dataset.gallery, |done, _| progress(query.len() + done, total))?;
        Ok((query, gallery))
    }

    /// Pixels `[m, H, W, 3]`, and the mirrored ones if wanted, to normalised features `[m, D]`.
    fn forward(&mut self, pixels: Tensor, mirrored: Option<Tensor>) -> Result<Tensor> {
        let mut tape = Tape::no_grad(&mut self.params)?;
        let pixels = tape.constant(pixels);
        let mut pool5 = self.model.backbone.forward(&mut tape, pixels, Statistics::Frozen)?;
        if let Some(mirrored) = mirrored {
            let mirrored = tape.constant(mirrored);
            let other = self.model.backbone.forward(&mut tape, mirrored, Statistics::Frozen)?;
            pool5 = add(&mut tape, pool5, other)?;
        }
        Ok(l2_normalize(&mut tape, pool5)?.value)
    }
}

/// What is known of images beside their features.
struct Lists {
    pids: Vec<i64>,
    camids: Vec<i64>,
    paths: Vec<String>,
}

impl Lists {
    fn of(samples: &[Sample]) -> Self {
        Lists {
            pids: samples.iter().map(|s| s.pid).collect(),
            camids: samples.iter().map(|s| s.camid.unwrap_or(-1)).collect(),
            paths: samples.iter().map(|s| s.path.display().to_string()).collect(),
        }
    }
}

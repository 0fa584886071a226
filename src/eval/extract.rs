//! Feature extraction: pool5 of an image, optionally with that of its mirror image added, L2-normalised.

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
use crate::weights::provenance::WeightsFile;
use crate::weights::{About, Features, NetworkFile, Origin};
use crate::{Error, Result};
use std::path::Path;
use std::sync::Arc;

/// A trained network that extracts features of images.
#[derive(Debug)]
pub struct Extractor {
    model: Model,
    params: Params,
    config: Config,
    device: Device,
    batch: usize,
    flip: bool,
    fingerprint: String,
    file: Arc<WeightsFile>,
    /// Warning that the weights come from an unfinished training.
    note: Option<String>,
}

impl Extractor {
    /// Loads the network of a weight file or of a run folder (its result, or its newest checkpoint while it has no
    /// result). The network's structure and input convention are those that the file was trained with.
    ///
    /// # Errors
    /// The file is no weight file of this program, or lacks a tensor.
    pub fn load(weights: &Path, device: &Device) -> Result<Self> {
        let (path, note) = weight_file(weights)?;
        let file = NetworkFile::open(&path)?;
        let config = file.config().clone();
        let (model, params) = file.network(device)?;
        let (fingerprint, device, file) = (file.fingerprint(), device.clone(), Arc::new(file.weights_file()));
        Ok(Extractor { model, params, config, device, batch: 32, flip: false, fingerprint, file, note })
    }

    /// Warning that the weights come from an unfinished training, if so.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The origin stored with the features: network and mirror images.
    pub fn origin(&self) -> Origin {
        Origin { network: Some(self.fingerprint.clone()), mirrored: Some(self.flip), pooled: None }
    }

    /// Sets the number of images in a batch.
    ///
    /// # Errors
    /// `batch` is 0 or above 1,024.
    pub fn with_batch(self, batch: usize) -> Result<Self> {
        if !(1..=1024).contains(&batch) {
            return Err(Error::Data(format!("a batch of {batch} images: give 1 to 1024 images")));
        }
        Ok(Extractor { batch, ..self })
    }

    /// Sets whether the feature of the mirrored image is added.
    pub fn with_flip(self, flip: bool) -> Self {
        Extractor { flip, ..self }
    }

    /// Extracts the features of `samples`, in their order; `progress` gets the number of finished images and of all.
    ///
    /// # Errors
    /// No samples; an image that cannot be read, by name.
    pub fn extract(&mut self, samples: &[Sample], progress: impl Fn(usize, usize)) -> Result<Features> {
        let dim = self.model.backbone.features();
        let mut features = Vec::with_capacity(samples.len() * dim);
        self.for_each_batch(samples, |rows| {
            features.extend_from_slice(rows);
            progress(features.len() / dim, samples.len());
            Ok(())
        })?;
        let Lists { pids, camids, paths } = Lists::of(samples);
        let features = Features::new(features, dim, pids, camids, paths)?.with_origin(self.origin());
        Ok(features.with_weights(Some(self.file.clone())))
    }

    /// Extracts the features of `samples` into a file, a batch at a time, so that they need not fit into memory.
    ///
    /// # Errors
    /// As [`Extractor::extract`]; a full disk. No file is left after an error.
    pub fn extract_to(
        &mut self,
        path: &Path,
        samples: &[Sample],
        progress: impl Fn(usize, usize),
    ) -> Result<()> {
        let (origin, file, dim) = (self.origin(), self.file.clone(), self.model.backbone.features());
        let Lists { pids, camids, paths } = Lists::of(samples);
        let about =
            About { pids: &pids, camids: &camids, paths: &paths, origin: &origin, weights: Some(&file) };
        about.write(path, dim, |write| {
            let mut done = 0;
            self.for_each_batch(samples, |rows| {
                write(rows)?;
                done += rows.len() / dim;
                progress(done, samples.len());
                Ok(())
            })
        })
    }

    /// Passes the features of `samples` to `take` in their order, a batch at a time.
    fn for_each_batch(
        &mut self,
        samples: &[Sample],
        mut take: impl FnMut(&[f32]) -> Result<()>,
    ) -> Result<()> {
        let options = StreamOptions {
            batch: self.batch,
            mirrored: self.flip,
            ..StreamOptions::new(self.config.image_input())
        };
        let paths = samples.iter().map(|s| s.path.clone()).collect();
        // A GPU computes one batch while the next is uploaded.
        let mut pending: Option<Download> = None;
        let mut finish = |pending: Option<Download>| pending.map_or(Ok(()), |pending| take(&pending.wait()?));
        for batch in ImageStream::new(paths, options, &self.device)? {
            let batch = batch?;
            let features = self.forward(batch.pixels, batch.mirrored)?.download_async()?;
            finish(pending.replace(features))?;
        }
        finish(pending)
    }

    /// Extracts the features of a data set's query and gallery.
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

    /// Computes normalised features `[m, D]` from pixels `[m, H, W, 3]` and optional mirrored pixels of that shape.
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

/// Identities, cameras and paths of samples, as lists.
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

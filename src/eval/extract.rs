//! Feature extraction: pool5 of an image, optionally with that of its mirror image added, L2-normalised.

use super::activation::FeatureMap;
use super::forward::Frozen;
use super::tracklets::TrackletPool;
use crate::autograd::Params;
use crate::config::Config;
use crate::console::counted;
use crate::data::{BadImages, Dataset, ImageStream, Images, Labels, Part, Sample, StreamOptions};
use crate::device::Device;
use crate::model::Model;
use crate::model::folded::FoldedResNet;
use crate::run::weight_file;
use crate::weights::provenance::WeightsFile;
use crate::weights::{About, Features, NetworkFile, Origin, normalise_rows};
use crate::{Error, Result};
use std::io::{BufReader, Read, Seek, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A trained network that extracts features of images.
#[derive(Debug)]
pub struct Extractor {
    model: Model,
    /// The backbone for the CPU, if the device is one and the layers can be folded.
    folded: Option<FoldedResNet>,
    params: Params,
    config: Config,
    device: Device,
    batch: usize,
    flip: bool,
    bad_images: BadImages,
    /// Images that were left out, with the reasons.
    skipped: Vec<String>,
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
        let folded = FoldedResNet::new(&model.backbone, &params)?;
        let (fingerprint, device, file) = (file.fingerprint(), device.clone(), Arc::new(file.weights_file()));
        let (bad_images, skipped) = (BadImages::Refuse, Vec::new());
        Ok(Extractor {
            model,
            folded,
            params,
            device,
            batch: default_batch(&config),
            config,
            flip: false,
            bad_images,
            skipped,
            fingerprint,
            file,
            note,
        })
    }

    /// The device that computes the features.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The weight file of the network, as features record it.
    pub fn weights_file(&self) -> Arc<WeightsFile> {
        self.file.clone()
    }

    /// Warning that the weights come from an unfinished training, if so.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The origin stored with the features: network, layer and mirror images.
    pub fn origin(&self) -> Origin {
        Origin {
            network: Some(self.fingerprint.clone()),
            mirrored: Some(self.flip),
            pooled: None,
            layer: Some(self.model.layer().into()),
        }
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

    /// The number of images in a batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Sets whether the feature of the mirrored image is added.
    pub fn with_flip(self, flip: bool) -> Self {
        Extractor { flip, ..self }
    }

    /// Sets the treatment of unreadable images: an error, or left out ([`Extractor::take_skipped`]).
    pub fn with_bad_images(self, bad_images: BadImages) -> Self {
        Extractor { bad_images, ..self }
    }

    /// As [`Extractor::with_bad_images`], between two extractions.
    pub fn set_bad_images(&mut self, bad_images: BadImages) {
        self.bad_images = bad_images;
    }

    /// The unreadable images that were left out since the last call, a line for each with the reason.
    pub fn take_skipped(&mut self) -> Vec<String> {
        std::mem::take(&mut self.skipped)
    }

    /// Extracts the features of `samples`, in their order and without those left out; `progress` gets the number of
    /// finished images and of all.
    ///
    /// # Errors
    /// No samples; an image that cannot be read, by name, unless such images are left out; no image that can be read.
    pub fn extract(&mut self, samples: &[Sample], progress: impl Fn(usize, usize)) -> Result<Features> {
        let dim = self.dim();
        let mut features = Vec::with_capacity(samples.len() * dim);
        let mut kept = Vec::with_capacity(samples.len());
        self.for_each_batch(files(samples), |images, rows| {
            features.extend_from_slice(rows);
            kept.extend_from_slice(images);
            progress(images.last().map_or(0, |last| last + 1), samples.len());
            Ok(())
        })?;
        let Lists { pids, camids, paths } = Lists::of(samples, &kept);
        let features = Features::new(features, dim, pids, camids, paths)?.with_origin(self.origin());
        Ok(features.with_weights(Some(self.file.clone())))
    }

    /// Extracts the features of tracklets: the mean of the features of the frames, divided by its length again. `tracklets`
    /// are ranges of `samples`, ascending; the path of a tracklet is that of its first frame. A tracklet without a readable
    /// frame is left out.
    ///
    /// # Errors
    /// As [`Extractor::extract`].
    ///
    /// # Panics
    /// If the ranges are not ascending or end behind the samples.
    pub fn extract_tracklets(
        &mut self,
        samples: &[Sample],
        tracklets: &[Range<usize>],
        progress: impl Fn(usize, usize),
    ) -> Result<Features> {
        let dim = self.model.features();
        let mut pool = TrackletPool::new(tracklets, dim);
        self.for_each_batch(files(samples), |images, rows| {
            images.iter().zip(rows.chunks_exact(dim)).for_each(|(image, row)| pool.add(*image, row));
            progress(images.last().map_or(0, |last| last + 1), samples.len());
            Ok(())
        })?;
        pool.finish();
        let TrackletPool { mut means, kept, .. } = pool;
        normalise_rows(&mut means, dim);
        let Lists { pids, camids, paths } = Lists::of(samples, &kept);
        let origin = Origin { pooled: Some(Origin::TRACKLETS.into()), ..self.origin() };
        Ok(Features::new(means, dim, pids, camids, paths)?
            .with_origin(origin)
            .with_weights(Some(self.file.clone())))
    }

    /// Extracts the features of `samples` into a file, a batch at a time, so that they need not fit into memory. `labels`
    /// names their identities and cameras.
    ///
    /// # Errors
    /// As [`Extractor::extract`]; a full disk. No file is left after an error.
    pub fn extract_to(
        &mut self,
        path: &Path,
        samples: &[Sample],
        labels: &Labels,
        progress: impl Fn(usize, usize),
    ) -> Result<()> {
        let (origin, file, dim) = (self.origin(), self.file.clone(), self.dim());
        let progress = |images: &[usize]| progress(images.last().map_or(0, |last| last + 1), samples.len());
        if self.bad_images == BadImages::Refuse {
            let all: Vec<usize> = (0..samples.len()).collect();
            let Lists { pids, camids, paths } = Lists::of(samples, &all);
            let (pids, camids, paths) = (&pids[..], &camids[..], &paths[..]);
            let about = About { pids, camids, paths, labels, origin: &origin, weights: Some(&file) };
            return about.write(path, dim, |write| {
                self.for_each_batch(files(samples), |images, rows| write(rows).map(|()| progress(images)))
            });
        }
        // The header of the file says how many rows follow, which is known at the end.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut draft = tempfile::tempfile_in(folder).map_err(Error::io(path))?;
        let mut kept = Vec::with_capacity(samples.len());
        self.for_each_batch(files(samples), |images, rows| {
            kept.extend_from_slice(images);
            progress(images);
            draft.write_all(bytemuck::cast_slice(rows)).map_err(Error::io(path))
        })?;
        draft.rewind().map_err(Error::io(path))?;
        let mut draft = BufReader::with_capacity(1 << 18, draft);
        let Lists { pids, camids, paths } = Lists::of(samples, &kept);
        let (pids, camids, paths) = (&pids[..], &camids[..], &paths[..]);
        let about = About { pids, camids, paths, labels, origin: &origin, weights: Some(&file) };
        about.write(path, dim, |write| {
            let mut row = vec![0.0f32; dim];
            (0..kept.len()).try_for_each(|_| {
                draft.read_exact(bytemuck::cast_slice_mut(&mut row)).map_err(Error::io(path))?;
                write(&row)
            })
        })
    }

    /// Computes the last feature map of each image, see [`super::activation`], with the image's index; none of images that
    /// are left out. Mirrored images are not added.
    ///
    /// # Errors
    /// As [`Extractor::extract`]; a map that is not finite, by the name of its image.
    pub fn feature_maps(&mut self, images: Vec<PathBuf>) -> Result<Vec<(usize, FeatureMap)>> {
        let (batch, bad_images) = (self.batch, self.bad_images);
        let options = StreamOptions { batch, bad_images, ..StreamOptions::new(self.config.image_input()) };
        let behind = self.model.projection(&self.params)?.map(Arc::new);
        let mut maps = Vec::with_capacity(images.len());
        let mut stream = ImageStream::new(images.clone(), options, &self.device)?;
        let folded = self.folded.as_ref();
        let mut frozen = Frozen { model: &self.model, folded, params: &mut self.params };
        for batch in stream.by_ref() {
            let batch = batch?;
            let map = frozen.feature_map(batch.pixels)?;
            let &[_, height, width, channels] = map.shape().dims() else {
                unreachable!("a feature map has four dimensions")
            };
            let values = map.to_host_f32()?;
            for (image, values) in batch.images.iter().zip(values.chunks_exact(height * width * channels)) {
                let map = FeatureMap::new(height, width, values.to_vec(), behind.clone());
                maps.push((*image, map.map_err(|e| Error::image(&images[*image], e.to_string()))?));
            }
        }
        self.skipped.extend(stream.skipped().iter().map(|(_, error)| error.line()));
        Ok(maps)
    }

    /// Number of values D of a feature.
    pub fn dim(&self) -> usize {
        self.model.features()
    }

    /// Passes the indices and the features of `images` to `take` in their order, a batch `[m, D]` at a time, without those
    /// left out.
    ///
    /// # Errors
    /// An image that cannot be read, by name, unless such images are left out; no image that can be read; an error of
    /// `take`, which ends the extraction.
    pub fn for_each_batch(
        &mut self,
        images: Images,
        mut take: impl FnMut(&[usize], &[f32]) -> Result<()>,
    ) -> Result<()> {
        let options = StreamOptions {
            batch: self.batch,
            mirrored: self.flip,
            bad_images: self.bad_images,
            ..StreamOptions::new(self.config.image_input())
        };
        let (all, mut read) = (images.len(), 0);
        let folded = self.folded.as_ref();
        let mut frozen = Frozen { model: &self.model, folded, params: &mut self.params };
        let skipped = frozen.for_each_batch(images, options, |images, rows| {
            read += images.len();
            take(images, rows)
        })?;
        if let Some((_, first)) = skipped.first()
            && read == 0
        {
            return Err(Error::Data(format!(
                "none of {} can be read; the first: {first}",
                counted(all, "image")
            )));
        }
        // Each error names its image.
        self.skipped.extend(skipped.iter().map(|(_, error)| error.line()));
        Ok(())
    }

    /// Extracts the features of a data set's query and gallery, of tracklets if the data set has them.
    ///
    /// # Errors
    /// As [`Extractor::extract`].
    pub fn extract_test(
        &mut self,
        dataset: &Dataset,
        progress: impl Fn(usize, usize),
    ) -> Result<(Features, Features)> {
        let (queries, total) = (dataset.query.len(), dataset.query.len() + dataset.gallery.len());
        let query = self.extract_part(dataset, Part::Query, |done, _| progress(done, total))?;
        let gallery = self.extract_part(dataset, Part::Gallery, |done, _| progress(queries + done, total))?;
        Ok((query, gallery))
    }

    /// Extracts the features of a part of a data set with the names of its identities and cameras; of tracklets if the part
    /// has them.
    ///
    /// # Errors
    /// As [`Extractor::extract`].
    pub fn extract_part(
        &mut self,
        dataset: &Dataset,
        part: Part,
        progress: impl Fn(usize, usize),
    ) -> Result<Features> {
        let (samples, tracklets) = dataset.part(part);
        let features = match tracklets {
            Some(tracklets) => self.extract_tracklets(samples, tracklets, progress),
            None => self.extract(samples, progress),
        };
        Ok(features?.with_labels(dataset.labels.clone()))
    }
}

/// The number of images in a batch without another choice: 32 of the paper's size, fewer larger ones. A file of a small
/// network may claim images of 2,048 x 2,048, of which 32 would take gigabytes.
pub(super) fn default_batch(config: &Config) -> usize {
    const PIXELS: usize = 32 * 256 * 128;
    (PIXELS / (config.input.height * config.input.width)).clamp(1, 32)
}

/// The image files of samples.
fn files(samples: &[Sample]) -> Images {
    Images::Files(samples.iter().map(|sample| sample.path.clone()).collect())
}

/// Identities, cameras and paths of samples, as lists.
struct Lists {
    pids: Vec<i64>,
    camids: Vec<i64>,
    paths: Vec<String>,
}

impl Lists {
    /// The lists of the samples `kept`.
    fn of(samples: &[Sample], kept: &[usize]) -> Self {
        let kept = || kept.iter().map(|&i| &samples[i]);
        Lists {
            pids: kept().map(|s| s.pid).collect(),
            camids: kept().map(|s| s.camid.unwrap_or(-1)).collect(),
            paths: kept().map(|s| s.path.display().to_string()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_images_make_smaller_batches() {
        let batch = |height: usize, width: usize| {
            let mut config = Config::default();
            (config.input.height, config.input.width) = (height, width);
            default_batch(&config)
        };
        assert_eq!([batch(256, 128), batch(64, 32), batch(384, 192), batch(2048, 2048)], [32, 32, 14, 1]);
    }
}

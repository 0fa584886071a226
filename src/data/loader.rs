//! Training batches, put together ahead of the step, or inside of it by a GPU (`source`).
//!
//! A batch is a pure function of (training set, options, step): the [`Sampler`] picks the images,
//! [`Augment`] draws their views, and one loop flips, shifts, normalises and writes them. So a loader started
//! at step s gives exactly what one started at 0 gives there.

use super::augment::Augment;
use super::cache::{CacheOptions, ImageCache};
use super::input::{ImageInput, Normaliser};
use super::sampler::{Sampler, SamplerKind};
use super::source::Source;
use super::{BadImages, Classes, Sample};
use crate::autograd::StepValues;
use crate::device::Device;
use crate::element::DType;
use crate::tensor::Tensor;
use crate::{Error, Result};
use crc32fast::Hasher;
use rayon::prelude::*;
use std::path::Path;
use std::sync::Arc;

/// Everything a training batch depends on besides the images, and how they are made ready.
#[derive(Clone, Debug)]
pub struct LoaderOptions {
    /// The network's input.
    pub input: ImageInput,
    /// What chance does to the images.
    pub augment: Augment,
    /// How batches are put together.
    pub sampler: SamplerKind,
    /// The run's seed.
    pub seed: u64,
    /// The first batch's step, from 0.
    pub first_step: u64,
    /// Threads that put batches together while the step runs. One is enough as long as a step takes longer
    /// than its batch, which is one look-up in a table for every value of its images.
    pub threads: usize,
    /// Batches that wait ready.
    pub prefetch: usize,
    /// Where the decoded images are kept.
    pub cache: CacheOptions,
    /// What to do about unreadable images.
    pub bad_images: BadImages,
}

impl LoaderOptions {
    /// The given input and sampler; no augmentation, seed 0, from step 0, one thread with three batches
    /// ahead, the default cache, and unreadable images refused.
    pub fn new(input: ImageInput, sampler: SamplerKind) -> Self {
        LoaderOptions {
            input,
            augment: Augment::default(),
            sampler,
            seed: 0,
            first_step: 0,
            threads: 1,
            prefetch: 3,
            cache: CacheOptions::default(),
            bad_images: BadImages::Refuse,
        }
    }

    fn check(&self) -> Result<()> {
        self.input.check()?;
        self.augment.check(&self.input)
    }
}

/// What one step trains on.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The step.
    pub step: u64,
    /// `[m, H, W, 3]`, normalised, in the type of activations.
    pub pixels: Tensor,
    /// i32 `[m]`: classes.
    pub labels: Tensor,
    /// Which training images they are: indices into the samples the loader was given. Empty where a GPU drew them.
    pub images: Vec<usize>,
}

/// An endless sequence of training batches.
pub struct Loader {
    source: Source,
    /// The step whose batch is prepared next.
    next: u64,
    steps_per_epoch: u64,
    skipped: Vec<(usize, Error)>,
    shared: Arc<Shared>,
}

/// What all threads that make batches read.
pub(super) struct Shared {
    pub cache: ImageCache,
    /// The class of each sample.
    pub labels: Vec<i32>,
    /// The samples that can be read; the sampler knows them by their place here.
    pub usable: Vec<usize>,
    pub options: LoaderOptions,
    normaliser: Normaliser,
}

impl Loader {
    /// Decodes all of `samples` (reporting to `progress`: images done, images in all; from any thread) and
    /// starts to make batches on `device`.
    ///
    /// # Errors
    /// A sample whose identity is not among `classes`; an unreadable image, unless they are to be skipped;
    /// fewer than two identities left when they are; options that do not fit together or not the training
    /// set; see also [`ImageCache::build`].
    pub fn new(
        samples: &[Sample],
        classes: &Classes,
        options: LoaderOptions,
        device: &Device,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self> {
        options.check()?;
        let labels = samples.iter().map(|s| label(s, classes)).collect::<Result<Vec<i32>>>()?;
        // Before the images are decoded, which takes seconds.
        Sampler::new(options.sampler, &labels, options.seed)?;
        let paths: Vec<&Path> = samples.iter().map(|s| s.path.as_path()).collect();
        let (height, width) = (options.input.height, options.input.width);
        let (cache, skipped) = ImageCache::build(&paths, height, width, &options.cache, progress)?;
        if options.bad_images == BadImages::Refuse {
            refuse_bad(&skipped, samples.len())?;
        }
        let mut usable: Vec<usize> = (0..samples.len()).collect();
        usable.retain(|i| skipped.binary_search_by_key(i, |(bad, _)| *bad).is_err());
        let usable_labels: Vec<i32> = usable.iter().map(|&i| labels[i]).collect();
        require_two_identities(&usable_labels, classes, &skipped)?;
        let normaliser = Normaliser::new(&options.input);
        let shared = Shared { cache, labels, usable, normaliser, options };
        Ok(Loader { skipped, ..Loader::start(shared, device)? })
    }

    /// As [`Loader::new`], of images that are decoded already: image i is of class `labels[i]`.
    ///
    /// # Errors
    /// Options that do not fit together or not the training set.
    pub fn over(
        cache: ImageCache,
        labels: Vec<i32>,
        options: LoaderOptions,
        device: &Device,
    ) -> Result<Self> {
        options.check()?;
        let usable = (0..labels.len()).collect();
        let normaliser = Normaliser::new(&options.input);
        Loader::start(Shared { cache, labels, usable, normaliser, options }, device)
    }

    fn start(shared: Shared, device: &Device) -> Result<Self> {
        let labels: Vec<i32> = shared.usable.iter().map(|&i| shared.labels[i]).collect();
        let sampler = Sampler::new(shared.options.sampler, &labels, shared.options.seed)?;
        let (next, steps_per_epoch) = (shared.options.first_step, sampler.steps_per_epoch());
        let shared = Arc::new(shared);
        let source = Source::new(&shared, &sampler, device)?;
        Ok(Loader { source, next, steps_per_epoch, skipped: Vec::new(), shared })
    }

    /// Does what the host has to do for the next step's batch: waits for the threads that make it, or sends a GPU what
    /// it lacks.
    ///
    /// # Errors
    /// A loader thread died; what the device reports.
    pub fn prepare(&mut self) -> Result<()> {
        self.source.prepare(self.next)?;
        self.next += 1;
        Ok(())
    }

    /// The batch prepared last. What a GPU does for it is work of its stream and reads the step's number from `values`,
    /// so that it can be recorded once and replayed.
    ///
    /// # Errors
    /// If none was prepared; what the device reports.
    pub fn batch(&mut self, values: &StepValues) -> Result<Batch> {
        self.source.batch(self.next.saturating_sub(1), values)
    }

    /// Steps until every image (or identity) has had its turn.
    pub fn steps_per_epoch(&self) -> u64 {
        self.steps_per_epoch
    }

    /// Unreadable images that were left out: indices into the samples, and an error each that names the file
    /// and what is wrong with it.
    pub fn skipped(&self) -> &[(usize, Error)] {
        &self.skipped
    }

    /// A CRC-32 of what is trained on: index (u64), label (i32) and decoded bytes of every image that can be
    /// read, one behind the other, numbers little-endian. A resumed run tells by it that its images are
    /// still those it began with. Reads the whole cache, on all cores.
    pub fn fingerprint(&self) -> u32 {
        let Shared { cache, labels, usable, .. } = &*self.shared;
        let image = |&i: &usize| {
            let mut hasher = Hasher::new();
            hasher.update(&(i as u64).to_le_bytes());
            hasher.update(&labels[i].to_le_bytes());
            hasher.update(cache.image(i));
            hasher
        };
        let images: Vec<Hasher> = usable.par_iter().map(image).collect();
        let mut whole = Hasher::new();
        images.iter().for_each(|image| whole.combine(image));
        whole.finalize()
    }
}

impl Shared {
    /// Copies all images that can be read one behind the other to `to`, U8 on a GPU.
    pub fn upload_all(&self, to: &mut Tensor) -> Result<()> {
        to.upload_rows_async(self.usable.iter().map(|&i| self.cache.image(i)))
    }

    /// A batch for the CPU.
    pub fn batch(&self, sampler: &mut Sampler, step: u64, device: &Device) -> Result<Batch> {
        let chosen = sampler.batch(step);
        let images: Vec<usize> = chosen.into_iter().map(|i| self.usable[i]).collect();
        let input = &self.options.input;
        let shape = [images.len(), input.height, input.width, 3];
        let mut pixels = Tensor::empty(device, shape, DType::F32)?;
        let rows = pixels.f32_mut().chunks_exact_mut(input.len());
        for (slot, (&image, out)) in images.iter().zip(rows).enumerate() {
            let view = self.options.augment.view(self.options.seed, step, slot);
            self.normaliser.write(self.cache.image(image), view, out);
        }
        let labels: Vec<i32> = images.iter().map(|&i| self.labels[i]).collect();
        let labels = Tensor::from_i32(device, [labels.len()], &labels)?;
        Ok(Batch { step, pixels, labels, images })
    }
}

fn label(sample: &Sample, classes: &Classes) -> Result<i32> {
    let class = classes.index(sample.pid).ok_or_else(|| {
        let pid = sample.pid;
        Error::image(&sample.path, format!("person {pid} is not among the identities of this run"))
    })?;
    Ok(class as i32)
}

/// One error for all unreadable images: it names the first and counts the rest.
fn refuse_bad(bad: &[(usize, Error)], of: usize) -> Result<()> {
    let Some((_, first)) = bad.first() else { return Ok(()) };
    let others = match bad.len() {
        1 => String::new(),
        n => format!(" (the first of {n} such images among {of})"),
    };
    Err(Error::Data(format!(
        "{first}{others}; mend or remove it, or skip unreadable images (data.bad_images=skip)"
    )))
}

/// Skipping may leave an identity without images, which is bearable; one identity alone cannot be trained on.
fn require_two_identities(labels: &[i32], classes: &Classes, skipped: &[(usize, Error)]) -> Result<()> {
    let Some((_, first)) = skipped.first() else { return Ok(()) };
    let left = match labels {
        [] => "no image is left".to_string(),
        [label, others @ ..] if others.iter().all(|other| other == label) => {
            format!("only images of identity {} are left", classes.pids()[*label as usize])
        }
        _ => return Ok(()),
    };
    Err(Error::Data(format!(
        "{left} after {} unreadable ones were skipped (the first: {first}); training needs two identities, so \
         mend or replace the files",
        skipped.len()
    )))
}

//! The loader of training batches: assembled by threads ahead of the step, or by a GPU inside the step (`source`).
//!
//! A batch is a pure function of (training set, options, step): the [`Sampler`] picks the images,
//! [`super::Augment`] draws their views, and one loop flips, shifts, normalises and writes them. A loader that
//! starts at step s therefore returns the batches of one that starts at step 0.
//!
//! Book: [chapter 17](../../../../../docs/book/src/17-data.md).

use super::cache::ImageCache;
use super::sampler::Sampler;
use super::source::Source;
use super::training_set::{Batch, LoaderOptions, TrainingSet};
use super::{BadImages, Classes, Sample};
use crate::autograd::StepValues;
use crate::device::Device;
use crate::error::Remedy;
use crate::ops::unlabelled::UNLABELLED;
use crate::{Error, Result};
use crc32fast::Hasher;
use rayon::prelude::*;
use std::path::Path;
use std::sync::Arc;

/// An endless sequence of training batches.
pub struct Loader {
    source: Source,
    /// The step whose batch is prepared next.
    next: u64,
    steps_per_epoch: u64,
    share_without_pairs: f64,
    share_of_equal_pairs: f64,
    skipped: Vec<(usize, Error)>,
    set: Arc<TrainingSet>,
}

impl Loader {
    /// Decodes all `samples` and starts to assemble batches for `device`. `progress` receives the number of decoded
    /// images and the number of all images, from any thread. An image of [`Sample::UNLABELLED`] has the label
    /// [`UNLABELLED`].
    ///
    /// # Errors
    /// A sample whose identity is not among `classes`; an unreadable image, unless unreadable images are skipped; fewer
    /// than two identities after skipping; options that contradict each other or the training set; errors of
    /// [`ImageCache::build`].
    pub fn new(
        samples: &[Sample],
        classes: &Classes,
        options: LoaderOptions,
        device: &Device,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self> {
        options.check()?;
        let labels = samples.iter().map(|s| label(s, classes)).collect::<Result<Vec<i32>>>()?;
        // The check comes before decoding, which takes seconds.
        Sampler::new(options.sampler, &labels, options.seed)?;
        let paths: Vec<&Path> = samples.iter().map(|s| s.path.as_path()).collect();
        let [height, width] = options.augment.image_size(options.input.height, options.input.width);
        let (cache, skipped) = ImageCache::build(&paths, height, width, &options.cache, progress)?;
        if options.bad_images == BadImages::Refuse {
            refuse_bad(&skipped, samples.len())?;
        }
        let mut usable: Vec<usize> = (0..samples.len()).collect();
        usable.retain(|i| skipped.binary_search_by_key(i, |(bad, _)| *bad).is_err());
        let usable_labels: Vec<i32> =
            usable.iter().map(|&i| labels[i]).filter(|&label| label != UNLABELLED).collect();
        require_two_identities(&usable_labels, classes, &skipped)?;
        let set = TrainingSet::new(cache, labels, usable, options);
        Ok(Loader { skipped, ..Loader::start(set, device)? })
    }

    /// As [`Loader::new`], for decoded images: image i is of class `labels[i]`.
    ///
    /// # Errors
    /// Options that contradict each other or the training set.
    pub fn over(
        cache: ImageCache,
        labels: Vec<i32>,
        options: LoaderOptions,
        device: &Device,
    ) -> Result<Self> {
        options.check()?;
        let usable = (0..labels.len()).collect();
        Loader::start(TrainingSet::new(cache, labels, usable, options), device)
    }

    fn start(set: TrainingSet, device: &Device) -> Result<Self> {
        let sampler = Sampler::new(set.options.sampler, &set.usable_labels(), set.options.seed)?;
        device.group().share().places(sampler.batch_size())?;
        let (next, steps_per_epoch) = (set.options.first_step, sampler.steps_per_epoch());
        let share_without_pairs = sampler.share_without_pairs();
        let share_of_equal_pairs = sampler.share_of_equal_pairs();
        let set = Arc::new(set);
        let source = Source::new(&set, &sampler, device)?;
        let skipped = Vec::new();
        Ok(Loader { source, next, steps_per_epoch, share_without_pairs, share_of_equal_pairs, skipped, set })
    }

    /// The host's work for the batch of the next step: waits for the threads that assemble it, or uploads bytes and
    /// indices to a GPU.
    ///
    /// # Errors
    /// A loader thread that panicked; errors of the device.
    pub fn prepare(&mut self) -> Result<()> {
        self.source.prepare(self.next)?;
        self.next += 1;
        Ok(())
    }

    /// The batch that was prepared last. A GPU assembles it in its stream and reads the step number from `values`, so
    /// that this work can be captured and replayed.
    ///
    /// # Errors
    /// No prepared batch; errors of the device.
    pub fn batch(&mut self, values: &StepValues) -> Result<Batch> {
        self.source.batch(self.next.saturating_sub(1), values)
    }

    /// Steps of an epoch: until each image (or identity) was drawn.
    pub fn steps_per_epoch(&self) -> u64 {
        self.steps_per_epoch
    }

    /// Expected share of batches without two images of one identity, by [`Sampler::share_without_pairs`].
    pub fn share_without_pairs(&self) -> f64 {
        self.share_without_pairs
    }

    /// Expected share of pairs of one identity, by [`Sampler::share_of_equal_pairs`].
    pub fn share_of_equal_pairs(&self) -> f64 {
        self.share_of_equal_pairs
    }

    /// Unreadable images that were left out: indices into the samples, each with its error.
    pub fn skipped(&self) -> &[(usize, Error)] {
        &self.skipped
    }

    /// CRC-32 of the training set: index (u64), label (i32) and decoded bytes of each readable image, concatenated,
    /// numbers little-endian. A resumed run compares it to detect changed images. Reads the whole cache, on all cores.
    pub fn fingerprint(&self) -> u32 {
        let TrainingSet { cache, labels, usable, .. } = &*self.set;
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

/// The class of a sample of the training set, or [`UNLABELLED`].
pub(crate) fn label(sample: &Sample, classes: &Classes) -> Result<i32> {
    if sample.pid == Sample::UNLABELLED {
        return Ok(UNLABELLED);
    }
    let class = classes.index(sample.pid).ok_or_else(|| {
        let pid = sample.pid;
        Error::image(&sample.path, format!("person {pid} is not among the identities of this run"))
    })?;
    Ok(class as i32)
}

/// One error for all unreadable images, with the first image and the number of all.
fn refuse_bad(bad: &[(usize, Error)], of: usize) -> Result<()> {
    let Some((_, first)) = bad.first() else { return Ok(()) };
    let others = match bad.len() {
        1 => String::new(),
        n => format!(" (the first of {n} such images among {of})"),
    };
    Err(Error::Data(format!("{first}{others}")).with_remedies([Remedy::SkipTrainingImages]))
}

/// Checks that two identities are left after skipping. An identity without images is no error.
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
         fix or replace the files",
        skipped.len()
    )))
}

//! Training batches, put together ahead of the step, or inside of it by a GPU (`source`).
//!
//! A batch is a pure function of (training set, options, step): the [`Sampler`] picks the images,
//! [`super::Augment`] draws their views, and one loop flips, shifts, normalises and writes them. So a loader started
//! at step s gives exactly what one started at 0 gives there.

use super::cache::ImageCache;
use super::sampler::Sampler;
use super::source::Source;
use super::training_set::{Batch, LoaderOptions, TrainingSet};
use super::{BadImages, Classes, Sample};
use crate::autograd::StepValues;
use crate::device::Device;
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
    skipped: Vec<(usize, Error)>,
    set: Arc<TrainingSet>,
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
        let set = TrainingSet::new(cache, labels, usable, options);
        Ok(Loader { skipped, ..Loader::start(set, device)? })
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
        Loader::start(TrainingSet::new(cache, labels, usable, options), device)
    }

    fn start(set: TrainingSet, device: &Device) -> Result<Self> {
        let sampler = Sampler::new(set.options.sampler, &set.usable_labels(), set.options.seed)?;
        let (next, steps_per_epoch) = (set.options.first_step, sampler.steps_per_epoch());
        let set = Arc::new(set);
        let source = Source::new(&set, &sampler, device)?;
        Ok(Loader { source, next, steps_per_epoch, skipped: Vec::new(), set })
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

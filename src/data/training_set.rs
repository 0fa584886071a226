//! The decoded training set and the options of its batches. With the step number they determine a batch.
//!
//! Book: [chapter 20](../../../../../docs/book/src/20-many-ranks.md), for the share of a rank.

use super::BadImages;
use super::augment::{self, Augment, View};
use super::cache::{CacheOptions, ImageCache};
use super::input::{ImageInput, Normaliser};
use super::sampler::{Sampler, SamplerKind};
use crate::Result;
use crate::device::Device;
use crate::element::DType;
use crate::tensor::Tensor;

/// Options of the loader: the content of the batches, and their preparation.
#[derive(Clone, Debug)]
pub struct LoaderOptions {
    /// The network's input.
    pub input: ImageInput,
    /// Random augmentation of the images.
    pub augment: Augment,
    /// Selection of the images of a batch.
    pub sampler: SamplerKind,
    /// The run's seed.
    pub seed: u64,
    /// The first batch's step, from 0.
    pub first_step: u64,
    /// Threads that assemble batches during a step. One is enough if a step takes longer than its batch, which is one
    /// table look-up for each value of its images.
    pub threads: usize,
    /// Batches that are assembled ahead.
    pub prefetch: usize,
    /// Storage of the decoded images.
    pub cache: CacheOptions,
    /// Treatment of unreadable images.
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

    pub(super) fn check(&self) -> Result<()> {
        self.input.check()?;
        self.augment.check(self.input.height, self.input.width)
    }
}

/// The batch of one step.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The step.
    pub step: u64,
    /// `[m, H, W, 3]`: this rank's share of the batch, normalised, in the type of activations; on a GPU with further
    /// channels of zeros
    /// ([`crate::device::cuda::cudnn::padded_channels`]).
    pub pixels: Tensor,
    /// i32 `[N m]`: the classes of the batch of all N ranks.
    pub labels: Tensor,
    /// Indices of this rank's images among the loader's samples; empty if a GPU drew them.
    pub images: Vec<usize>,
}

/// The data that all loader threads read.
pub(super) struct TrainingSet {
    pub cache: ImageCache,
    /// The class of each sample.
    pub labels: Vec<i32>,
    /// The readable samples; the sampler's indices refer to this list.
    pub usable: Vec<usize>,
    pub options: LoaderOptions,
    normaliser: Normaliser,
}

impl TrainingSet {
    pub fn new(cache: ImageCache, labels: Vec<i32>, usable: Vec<usize>, options: LoaderOptions) -> Self {
        let normaliser = Normaliser::new(&options.input);
        TrainingSet { cache, labels, usable, options, normaliser }
    }

    /// The classes of the readable samples.
    pub fn usable_labels(&self) -> Vec<i32> {
        self.usable.iter().map(|&i| self.labels[i]).collect()
    }

    /// Copies all readable images, concatenated, to `to`, u8 on a GPU.
    pub fn upload_all(&self, to: &mut Tensor) -> Result<()> {
        to.upload_rows_async(self.usable.iter().map(|&i| self.cache.image(i)))
    }

    /// A batch for the CPU.
    pub fn batch(&self, sampler: &mut Sampler, step: u64, device: &Device) -> Result<Batch> {
        // ANCHOR: share
        let chosen = sampler.batch(step);
        // Every rank draws the whole batch, since the losses need the labels of all, and decodes its share.
        let places = device.group().share().places(chosen.len())?;
        let labels: Vec<i32> = chosen.iter().map(|&i| self.labels[self.usable[i]]).collect();
        let images: Vec<usize> = places.clone().map(|place| self.usable[chosen[place]]).collect();
        // ANCHOR_END: share
        let input = &self.options.input;
        let shape = [images.len(), input.height, input.width, 3];
        let mut pixels = Tensor::empty(device, shape, DType::F32)?;
        let rows = pixels.f32_mut().chunks_exact_mut(input.len());
        let mut coloured = Vec::new();
        for (slot, (&image, out)) in places.zip(images.iter().zip(rows)) {
            self.write(image, step, slot, &mut coloured, out);
        }
        let labels = Tensor::from_i32(device, [labels.len()], &labels)?;
        let pixels = pixels.into_activations(device)?;
        Ok(Batch { step, pixels, labels, images })
    }

    /// Writes the values of an image at place `slot` of the batch of `step`. `coloured` is a buffer that is kept from
    /// image to image.
    fn write(&self, image: usize, step: u64, slot: usize, coloured: &mut Vec<u8>, out: &mut [f32]) {
        let LoaderOptions { input, augment, seed, .. } = &self.options;
        let (image, size) = (self.cache.image(image), augment.image_size(input.height, input.width));
        let view = augment.view(*seed, step, slot);
        match augment.colours(*seed, step, slot) {
            None => self.normaliser.write_crop(image, size, view, out),
            Some(factors) => {
                coloured.resize(input.len(), 0);
                view.crop(image, size, [input.height, input.width], coloured, |pixel| pixel);
                factors.apply(coloured);
                self.normaliser.write(coloured, View::PLAIN, out);
            }
        }
        if let Some(rectangle) = augment.erased(*seed, step, slot, [input.height, input.width]) {
            let draws = augment::draws(*seed, step, slot);
            self.normaliser.erase(rectangle, augment.erase.fill, &draws, out);
        }
    }
}

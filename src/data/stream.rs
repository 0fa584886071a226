//! A list of images once and in order, in batches: what feature extraction reads.
//!
//! Nothing is kept: threads decode a few batches ahead, and each batch is gone when its taker drops it, so
//! that a gallery of any size fits.

use super::assemble::{Assembler, Views};
use super::augment::View;
use super::decode;
use super::input::{ImageInput, Normaliser};
use super::prefetch::Prefetch;
use super::resize::Resizer;
use super::{BadImages, cores};
use crate::device::Device;
use crate::element::DType;
use crate::tensor::Tensor;
use crate::{Error, Result};
use std::path::PathBuf;
use std::sync::Arc;

/// How a list of images is read.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// The network's input.
    pub input: ImageInput,
    /// Images a batch; the last may be smaller.
    pub batch: usize,
    /// Whether each batch comes with its mirror images.
    pub mirrored: bool,
    /// Threads that decode.
    pub threads: usize,
    /// Batches that wait ready.
    pub prefetch: usize,
    /// What to do about unreadable images.
    pub bad_images: BadImages,
}

impl StreamOptions {
    /// Batches of 32 without mirror images, decoded on all cores, four ahead; unreadable images refused.
    pub fn new(input: ImageInput) -> Self {
        StreamOptions {
            input,
            batch: 32,
            mirrored: false,
            threads: cores(),
            prefetch: 4,
            bad_images: BadImages::Refuse,
        }
    }
}

/// Some images of a list.
#[derive(Clone, Debug)]
pub struct ImageBatch {
    /// Which they are; in order, with gaps where images were skipped. Never empty.
    pub images: Vec<usize>,
    /// `[m, H, W, 3]`, normalised, in the type of activations.
    pub pixels: Tensor,
    /// The same images mirrored left and right, if asked for.
    pub mirrored: Option<Tensor>,
}

/// The batches of a list of images, in order.
pub struct ImageStream {
    prefetch: Prefetch<Made>,
    device: Device,
    /// Makes the pixels, on a GPU.
    assembler: Option<Assembler>,
    is_mirrored: bool,
    bad_images: BadImages,
    skipped: Vec<(usize, Error)>,
    failed: bool,
}

struct Made {
    /// Which images of the list could be read.
    images: Vec<usize>,
    pixels: Pixels,
    bad: Vec<(usize, Error)>,
}

enum Pixels {
    /// On the CPU: as the network wants them, and mirrored if asked for.
    Finished(Result<(Tensor, Option<Tensor>)>),
    /// For a GPU: `[m, H, W, 3]` RGB.
    Bytes(Vec<u8>),
}

impl ImageStream {
    /// Starts reading `paths`.
    ///
    /// # Errors
    /// A senseless input, a batch of no images; threads that cannot be started.
    pub fn new(paths: Vec<PathBuf>, options: StreamOptions, device: &Device) -> Result<Self> {
        options.input.check()?;
        if options.batch == 0 {
            return Err(Error::Config("a batch of 0 images; choose at least 1".into()));
        }
        let bad_images = options.bad_images;
        let (threads, prefetch) = (options.threads, options.prefetch);
        let normaliser = Normaliser::new(&options.input);
        let assembler = match device {
            Device::Cpu(_) => None,
            Device::Cuda(gpu) => Some(Assembler::new(gpu, &options.input)?),
        };
        let is_mirrored = options.mirrored;
        let shared = Arc::new(Shared { paths, options, normaliser, device: device.clone() });
        let prefetch = Prefetch::start(threads, prefetch, || {
            let shared = shared.clone();
            let mut resizer = Resizer::default();
            move |i| shared.make(i as usize, &mut resizer)
        })?;
        let (device, skipped) = (device.clone(), Vec::new());
        Ok(ImageStream { prefetch, device, assembler, is_mirrored, bad_images, skipped, failed: false })
    }

    fn finish(&self, images: Vec<usize>, pixels: Pixels) -> Result<ImageBatch> {
        let (pixels, mirrored) = match (pixels, &self.assembler) {
            (Pixels::Finished(pixels), _) => pixels?,
            (Pixels::Bytes(bytes), Some(assembler)) => {
                let set = assembler.images_of(&bytes, images.len())?;
                let all: Vec<i32> = (0..images.len() as i32).collect();
                let mut chosen = Tensor::empty(&self.device, [all.len()], DType::I32)?;
                chosen.upload_async(bytemuck::cast_slice(&all))?;
                let pixels = |views| assembler.assemble(&set, &chosen, views).map(|(pixels, _)| pixels);
                (pixels(Views::Plain)?, self.is_mirrored.then(|| pixels(Views::Mirrored)).transpose()?)
            }
            (Pixels::Bytes(_), None) => unreachable!("bytes are made for a GPU only"),
        };
        Ok(ImageBatch { images, pixels, mirrored })
    }

    /// The unreadable images so far, and what is wrong with them.
    pub fn skipped(&self) -> &[(usize, Error)] {
        &self.skipped
    }
}

impl Iterator for ImageStream {
    type Item = Result<ImageBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            let made = match self.prefetch.take() {
                Ok(made) => made?,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            };
            let mut bad = made.bad.into_iter();
            if self.bad_images == BadImages::Refuse
                && let Some((_, error)) = bad.next()
            {
                self.failed = true;
                return Some(Err(error));
            }
            self.skipped.extend(bad);
            if !made.images.is_empty() {
                let finished = self.finish(made.images, made.pixels);
                self.failed = finished.is_err();
                return Some(finished);
            }
        }
        None
    }
}

struct Shared {
    paths: Vec<PathBuf>,
    options: StreamOptions,
    normaliser: Normaliser,
    device: Device,
}

impl Shared {
    /// Batch `i`, or `None` behind the last.
    fn make(&self, i: usize, resizer: &mut Resizer) -> Option<Made> {
        let StreamOptions { input, batch, mirrored, .. } = &self.options;
        let first = i * batch;
        if first >= self.paths.len() {
            return None;
        }
        let mut bad = Vec::new();
        let mut images = Vec::new();
        let mut bytes = Vec::new();
        for image in first..self.paths.len().min(first + batch) {
            match decode::read(&self.paths[image]) {
                Ok(picture) => {
                    let at = bytes.len();
                    bytes.resize(at + input.len(), 0);
                    resizer.resize(&picture, input.height, input.width, &mut bytes[at..]);
                    images.push(image);
                }
                Err(error) => bad.push((image, error)),
            }
        }
        if let Device::Cuda(_) = self.device {
            return Some(Made { images, pixels: Pixels::Bytes(bytes), bad });
        }
        let tensor = |view: View| -> Result<Tensor> {
            let shape = [images.len(), input.height, input.width, 3];
            let mut pixels = Tensor::empty(&self.device, shape, DType::F32)?;
            let rows = pixels.f32_mut().chunks_exact_mut(input.len());
            bytes
                .chunks_exact(input.len())
                .zip(rows)
                .for_each(|(b, out)| self.normaliser.write(b, view, out));
            Ok(pixels)
        };
        let both = || Ok((tensor(View::PLAIN)?, mirrored.then(|| tensor(View::MIRRORED)).transpose()?));
        let pixels = Pixels::Finished(both());
        Some(Made { images, pixels, bad })
    }
}

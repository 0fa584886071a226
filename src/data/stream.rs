//! Streaming of an image list in batches, once and in order, for feature extraction.
//!
//! Threads decode a few batches ahead, and a batch is freed when the consumer drops it, so that the memory does not
//! grow with the gallery.

use super::assemble::{Assembler, Views};
use super::augment::View;
use super::cache::ImageCache;
use super::decode::{self, Rgb};
use super::input::{ImageInput, Normaliser};
use super::prefetch::Prefetch;
use super::resize::Resizer;
use super::{BadImages, decoding_threads};
use crate::device::Device;
use crate::element::DType;
use crate::error::Remedy;
use crate::tensor::Tensor;
use crate::{Error, Result};
use std::path::PathBuf;
use std::sync::Arc;

/// Options of an [`ImageStream`].
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// The network's input.
    pub input: ImageInput,
    /// Images in a batch; the last batch may be smaller.
    pub batch: usize,
    /// Whether each batch also holds the mirrored images.
    pub mirrored: bool,
    /// Number of decoding threads.
    pub threads: usize,
    /// Number of batches decoded ahead.
    pub prefetch: usize,
    /// The treatment of unreadable images.
    pub bad_images: BadImages,
}

impl StreamOptions {
    /// Batches of 32 without mirrored images, decoded by as many threads as compute, four ahead; unreadable images are an error.
    pub fn new(input: ImageInput) -> Self {
        StreamOptions {
            input,
            batch: 32,
            mirrored: false,
            threads: decoding_threads(),
            prefetch: 4,
            bad_images: BadImages::Refuse,
        }
    }
}

/// A list of images.
#[derive(Clone, Debug)]
pub enum Images {
    /// Image files.
    Files(Vec<PathBuf>),
    /// Decoded images of any sizes.
    Decoded(Vec<Rgb>),
    /// Images of a cache by their numbers, in the size of the network's input.
    Cached(Arc<ImageCache>, Vec<usize>),
}

impl Images {
    /// Number of images.
    pub(crate) fn len(&self) -> usize {
        match self {
            Images::Files(paths) => paths.len(),
            Images::Decoded(pictures) => pictures.len(),
            Images::Cached(_, numbers) => numbers.len(),
        }
    }

    /// The images at these places of the list.
    pub(crate) fn part(self, places: &[usize]) -> Self {
        match self {
            Images::Files(paths) => Images::Files(places.iter().map(|&i| paths[i].clone()).collect()),
            Images::Decoded(pictures) => {
                Images::Decoded(places.iter().map(|&i| pictures[i].clone()).collect())
            }
            Images::Cached(cache, numbers) => {
                Images::Cached(cache, places.iter().map(|&i| numbers[i]).collect())
            }
        }
    }

    /// Writes image `i` in the size of `input` to `out`.
    fn read(&self, i: usize, input: &ImageInput, resizer: &mut Resizer, out: &mut [u8]) -> Result<()> {
        let mut resize = |picture: &Rgb| resizer.resize(picture, input.height, input.width, out);
        match self {
            Images::Files(paths) => resize(&*decode::read(&paths[i])?),
            Images::Decoded(pictures) => resize(&pictures[i]),
            Images::Cached(cache, numbers) => out.copy_from_slice(cache.image(numbers[i])),
        }
        Ok(())
    }
}

/// A batch of images of a list.
#[derive(Clone, Debug)]
pub struct ImageBatch {
    /// Indices in the list, ascending, with gaps where images were skipped. Never empty.
    pub images: Vec<usize>,
    /// Normalised pixels `[m, H, W, 3]`, in the type of activations; on a GPU with further channels of zeros
    /// ([`crate::device::cuda::cudnn::padded_channels`]).
    pub pixels: Tensor,
    /// The same images mirrored left and right, with [`StreamOptions::mirrored`].
    pub mirrored: Option<Tensor>,
}

/// An iterator over the batches of an image list, in order.
pub struct ImageStream {
    prefetch: Prefetch<DecodedBatch>,
    device: Device,
    /// Normalises the pixels on a GPU; none on the CPU.
    assembler: Option<Assembler>,
    is_mirrored: bool,
    bad_images: BadImages,
    skipped: Vec<(usize, Error)>,
    failed: bool,
}

/// A batch that a thread has decoded.
struct DecodedBatch {
    /// Indices of the readable images.
    images: Vec<usize>,
    pixels: Pixels,
    /// Indices and errors of the unreadable images.
    bad: Vec<(usize, Error)>,
}

enum Pixels {
    /// Normalised pixels of the CPU, and the mirrored ones.
    Finished(Result<(Tensor, Option<Tensor>)>),
    /// RGB bytes `[m, H, W, 3]`, which a GPU normalises.
    Bytes(Vec<u8>),
}

impl ImageStream {
    /// Starts reading the files `paths`.
    ///
    /// # Errors
    /// As [`ImageStream::of`].
    pub fn new(paths: Vec<PathBuf>, options: StreamOptions, device: &Device) -> Result<Self> {
        ImageStream::of(Images::Files(paths), options, device)
    }

    /// Starts reading `images`.
    ///
    /// # Errors
    /// An invalid input convention, a batch of 0 images, a decoded image without its pixels, a cache of another size; threads that cannot be
    /// started.
    pub fn of(images: Images, options: StreamOptions, device: &Device) -> Result<Self> {
        options.input.check()?;
        if let Images::Decoded(pictures) = &images {
            for (i, picture) in pictures.iter().enumerate() {
                picture.check().map_err(|why| Error::Data(format!("image {i}: {why}")))?;
            }
        }
        if let Images::Cached(cache, _) = &images
            && cache.image_bytes() != options.input.len()
        {
            return Err(Error::Data(format!(
                "cached images of {} bytes for an input of {}; build the cache in the size of the network's input",
                cache.image_bytes(),
                options.input.len()
            )));
        }
        if options.batch == 0 {
            return Err(Error::Config("the batch of image extraction is 0; choose at least 1".into()));
        }
        let bad_images = options.bad_images;
        let (threads, prefetch) = (options.threads, options.prefetch);
        let normaliser = Normaliser::new(&options.input);
        let assembler = match device {
            Device::Cpu(_) => None,
            Device::Cuda(gpu) => Some(Assembler::new(gpu, &options.input)?),
        };
        let is_mirrored = options.mirrored;
        let shared = Arc::new(Shared { images, options, normaliser, device: device.clone() });
        let prefetch = Prefetch::start(threads, prefetch, || {
            let shared = shared.clone();
            let mut resizer = Resizer::default();
            move |i| shared.decode(i as usize, &mut resizer)
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
            (Pixels::Bytes(_), None) => unreachable!("only a GPU's batches are bytes"),
        };
        Ok(ImageBatch { images, pixels, mirrored })
    }

    /// Takes the indices and errors of the unreadable images so far.
    pub fn take_skipped(&mut self) -> Vec<(usize, Error)> {
        std::mem::take(&mut self.skipped)
    }

    /// Indices and errors of the unreadable images so far.
    pub fn skipped(&self) -> &[(usize, Error)] {
        &self.skipped
    }
}

impl Iterator for ImageStream {
    type Item = Result<ImageBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            let decoded = match self.prefetch.take() {
                Ok(decoded) => decoded?,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            };
            let mut bad = decoded.bad.into_iter();
            if self.bad_images == BadImages::Refuse
                && let Some((_, error)) = bad.next()
            {
                self.failed = true;
                // A file that is not there is rather a wrong path.
                return Some(Err(match error.is_missing_file() {
                    true => error,
                    false => error.with_remedies([Remedy::SkipImages]),
                }));
            }
            self.skipped.extend(bad);
            if !decoded.images.is_empty() {
                let finished = self.finish(decoded.images, decoded.pixels);
                self.failed = finished.is_err();
                return Some(finished);
            }
        }
        None
    }
}

/// The inputs that all decoding threads share.
struct Shared {
    images: Images,
    options: StreamOptions,
    normaliser: Normaliser,
    device: Device,
}

impl Shared {
    /// Decodes batch `i`; `None` after the last.
    fn decode(&self, i: usize, resizer: &mut Resizer) -> Option<DecodedBatch> {
        let StreamOptions { input, batch, mirrored, .. } = &self.options;
        let first = i * batch;
        if first >= self.images.len() {
            return None;
        }
        let mut bad = Vec::new();
        let mut images = Vec::new();
        let mut bytes = Vec::new();
        for image in first..self.images.len().min(first + batch) {
            let at = bytes.len();
            bytes.resize(at + input.len(), 0);
            match self.images.read(image, input, resizer, &mut bytes[at..]) {
                Ok(()) => images.push(image),
                Err(error) => {
                    bytes.truncate(at);
                    bad.push((image, error));
                }
            }
        }
        if let Device::Cuda(_) = self.device {
            return Some(DecodedBatch { images, pixels: Pixels::Bytes(bytes), bad });
        }
        let tensor = |view: View| -> Result<Tensor> {
            let shape = [images.len(), input.height, input.width, 3];
            let mut pixels = Tensor::empty(&self.device, shape, DType::F32)?;
            let rows = pixels.f32_mut().chunks_exact_mut(input.len());
            bytes
                .chunks_exact(input.len())
                .zip(rows)
                .for_each(|(b, out)| self.normaliser.write(b, view, out));
            pixels.into_activations(&self.device)
        };
        let both = || Ok((tensor(View::PLAIN)?, mirrored.then(|| tensor(View::MIRRORED)).transpose()?));
        let pixels = Pixels::Finished(both());
        Some(DecodedBatch { images, pixels, bad })
    }
}

//! Batch assembly on a GPU from decoded images in its memory, by `cuda/assemble.cu`, `cuda/jitter.cu` and
//! `cuda/erase.cu`: sampling, augmentation and normalisation, bit for bit as [`super::sampler`], [`super::augment`],
//! [`super::jitter`], [`super::input`] and [`super::erase`] compute them.
//!
//! Book: [chapter 17](../../../../../docs/book/src/17-data.md).

use super::augment::{Augment, PadMode};
use super::erase::EraseFill;
use super::input::{Channels, ImageInput, Normaliser};
use crate::Result;
use crate::device::Device;
use crate::device::cuda::cudnn::{COLOURS, padded_channels};
use crate::device::cuda::{CudaDevice, Grid, kernels};
use crate::element::DType;
use crate::tensor::Tensor;
use std::sync::Arc;

/// Decoded images in device memory.
#[derive(Debug)]
pub struct DeviceImages {
    /// U8 `[n, H', W', 3]`, RGB; H' and W' are at least those of the input.
    pub bytes: Tensor,
    /// i32 `[n]`.
    pub classes: Tensor,
}

impl DeviceImages {
    fn sizes(&self) -> [usize; 4] {
        let shape = self.bytes.shape();
        let dims = shape.dims();
        [dims[0], dims[1], dims[2], dims[3]]
    }
}

/// The view of each image: plain, mirrored or augmented.
#[derive(Clone, Copy, Debug)]
pub enum Views<'a> {
    /// All images unchanged.
    Plain,
    /// All images mirrored left and right.
    Mirrored,
    /// Random views, drawn for the step whose number is in device memory.
    Augmented {
        /// The augmentations.
        augment: Augment,
        /// The run's seed.
        seed: u64,
        /// The step's number, i32 `[1]`.
        step: &'a Tensor,
    },
}

/// Conversion of image bytes into a network's input values.
#[derive(Debug)]
pub struct Assembler {
    gpu: Arc<CudaDevice>,
    input: ImageInput,
    /// f32 `[3, 256]`: the normalised value of each byte, by output channel.
    table: Tensor,
    /// i32 `[1]`: the step's number of views without random draws.
    no_step: Tensor,
}

impl Assembler {
    /// An assembler for a network's input convention.
    ///
    /// # Errors
    /// If the device lacks the memory.
    pub fn new(gpu: &Arc<CudaDevice>, input: &ImageInput) -> Result<Self> {
        let device = Device::Cuda(gpu.clone());
        let table = Tensor::from_f32(&device, [3, 256], Normaliser::new(input).values())?;
        let no_step = Tensor::cleared(&device, [1], DType::I32)?;
        Ok(Assembler { gpu: gpu.clone(), input: input.clone(), table, no_step })
    }

    /// Copies the bytes of `m` images `[m, H, W, 3]` to the device, in stream order; their classes are 0.
    ///
    /// # Errors
    /// If the device lacks the memory; errors of the device.
    pub fn images_of(&self, bytes: &[u8], m: usize) -> Result<DeviceImages> {
        let device = Device::Cuda(self.gpu.clone());
        let shape = [m, self.input.height, self.input.width, 3];
        let mut images = Tensor::empty(&device, shape, DType::U8)?;
        images.upload_async(bytes)?;
        Ok(DeviceImages { bytes: images, classes: Tensor::cleared(&device, [m], DType::I32)? })
    }

    /// The pixels `[m, H, W, C]`, in the type of activations and with the channels that the first convolution wants
    /// ([`padded_channels`]; those above 3 are 0), and the labels i32 `[m]` of the `chosen` images,
    /// i32 `[m]`.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn assemble(
        &self,
        images: &DeviceImages,
        chosen: &Tensor,
        views: Views<'_>,
    ) -> Result<(Tensor, Tensor)> {
        let ImageInput { height, width, channels, .. } = self.input;
        let m = chosen.shape().len();
        let device = Device::Cuda(self.gpu.clone());
        let depth = padded_channels(COLOURS, device.activations());
        let mut pixels = Tensor::empty(&device, [m, height, width, depth], device.activations())?;
        let mut labels = Tensor::empty(&device, [m], DType::I32)?;
        /// Values of the kernel's `flip`; 0 is never.
        const BY_CHANCE: usize = 1;
        const ALWAYS: usize = 2;
        let (augment, flip, seed, step) = match views {
            Views::Plain => (Augment::default(), 0, 0, &self.no_step),
            Views::Mirrored => (Augment::default(), ALWAYS, 0, &self.no_step),
            Views::Augmented { augment, seed, step } => {
                (augment, if augment.flip { BY_CHANCE } else { 0 }, seed, step)
            }
        };
        // Coloured images are views already.
        let coloured = match augment.jitter.is_on() {
            true => Some(self.coloured(images, chosen, &augment, flip, seed, step)?),
            false => None,
        };
        let (images, chosen, flip, pad) = match &coloured {
            Some((images, places)) => (images, places, 0, 0),
            None => (images, chosen, flip, augment.pad),
        };
        let [n, image_height, image_width, _] = images.sizes();
        let assemble = kernels::AssemblePixels {
            bytes: (&images.bytes).into(),
            classes: (&images.classes).into(),
            chosen: chosen.into(),
            table: (&self.table).into(),
            pixels: (&mut pixels).into(),
            labels: (&mut labels).into(),
            n,
            image_height,
            image_width,
            height,
            width,
            channels: depth,
            flip,
            pad,
            edge: usize::from(augment.pad_mode == PadMode::Edge),
            bgr: usize::from(channels == Channels::Bgr),
            seed,
            step: step.into(),
        };
        self.gpu.launch(Grid::tiles([m, (height * width).div_ceil(1024), 1]), assemble)?;
        if augment.erase.is_on() {
            self.erase(&mut pixels, &augment, seed, step)?;
        }
        Ok((pixels, labels))
    }

    /// The views of the chosen images with random colours, and their numbers 0..m, i32 `[m]`.
    fn coloured(
        &self,
        images: &DeviceImages,
        chosen: &Tensor,
        augment: &Augment,
        flip: usize,
        seed: u64,
        step: &Tensor,
    ) -> Result<(DeviceImages, Tensor)> {
        let ImageInput { height, width, .. } = self.input;
        let m = chosen.shape().len();
        let device = Device::Cuda(self.gpu.clone());
        let mut bytes = Tensor::empty(&device, [m, height, width, 3], DType::U8)?;
        let mut classes = Tensor::empty(&device, [m], DType::I32)?;
        let mut places = Tensor::empty(&device, [m], DType::I32)?;
        let [n, image_height, image_width, _] = images.sizes();
        let [brightness, contrast, saturation] = augment.jitter.ranges();
        let jitter = kernels::JitterBytes {
            bytes: (&images.bytes).into(),
            classes: (&images.classes).into(),
            chosen: chosen.into(),
            seen_bytes: (&mut bytes).into(),
            seen_classes: (&mut classes).into(),
            places: (&mut places).into(),
            n,
            image_height,
            image_width,
            height,
            width,
            flip,
            pad: augment.pad,
            edge: usize::from(augment.pad_mode == PadMode::Edge),
            brightness_low: brightness.low,
            brightness_span: brightness.span,
            contrast_low: contrast.low,
            contrast_span: contrast.span,
            saturation_low: saturation.low,
            saturation_span: saturation.span,
            seed,
            step: step.into(),
        };
        self.gpu.launch(Grid::blocks(m).of([1024, 1, 1]), jitter)?;
        Ok((DeviceImages { bytes, classes }, places))
    }

    /// Erases rectangles of an assembled batch.
    fn erase(&self, pixels: &mut Tensor, augment: &Augment, seed: u64, step: &Tensor) -> Result<()> {
        let ImageInput { height, width, channels, .. } = self.input;
        let erase = augment.erase;
        let (areas, aspects) = (erase.areas(), erase.aspects());
        let (m, depth) = (pixels.shape().dims()[0], pixels.shape().last());
        let launch = kernels::ErasePixels {
            pixels: pixels.into(),
            table: (&self.table).into(),
            height,
            width,
            channels: depth,
            probability: erase.probability,
            area_low: areas.low,
            area_span: areas.span,
            aspect_low: aspects.low,
            aspect_span: aspects.span,
            noise: usize::from(erase.fill == EraseFill::Noise),
            bgr: usize::from(channels == Channels::Bgr),
            seed,
            step: step.into(),
        };
        self.gpu.launch(Grid::tiles([m, (height * width).div_ceil(4096), 1]), launch)
    }

    /// Draws the images of a step as [`super::SamplerKind::Random`] does: `chosen` i32 `[m]` of `n`.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn sample(&self, chosen: &mut Tensor, n: usize, seed: u64, step: &Tensor) -> Result<()> {
        let m = chosen.shape().len();
        let threads = m.next_multiple_of(32).min(1024) as u32;
        let grid = Grid { shared: 8 * m, ..Grid::blocks(1).of([threads, 1, 1]) };
        let sample = kernels::AssembleSample { chosen: chosen.into(), m, n, seed, step: step.into() };
        self.gpu.launch(grid, sample)
    }

    /// Copies the images of a step from the epoch's order: `chosen` i32 `[m]` of `order` i32 `[turns, m]`, where an
    /// epoch has `turns` steps.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn take_turn(&self, chosen: &mut Tensor, order: &Tensor, step: &Tensor) -> Result<()> {
        let (m, turns) = (chosen.shape().len(), order.shape().dims()[0]);
        let (order, chosen, step) = (order.into(), chosen.into(), step.into());
        self.gpu
            .launch(Grid::blocks(m.div_ceil(256)), kernels::AssembleTurn { order, chosen, m, turns, step })
    }
}

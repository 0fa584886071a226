//! The kernels of `cuda/assemble.cu`, bit for bit.

use super::{SEED, caffe};
use crate::gpu::{self, Float, Gpu, Outcome, equal};
use bcreid::data::augment::View;
use bcreid::data::input::Normaliser;
use bcreid::data::{Augment, Channels, ImageInput, PadMode, PkOrder, Sampler, SamplerKind};
use bcreid::tensor::philox::{Philox, RngStream};
use softcuda::{Launch, args};

fn same(what: &str, ours: &[i32], want: &[i32]) -> Outcome {
    if ours == want { Ok(()) } else { Err(format!("{what}: {ours:?}, expected {want:?}").into()) }
}

fn images_of(sampler: &mut Sampler, step: u64) -> Vec<i32> {
    sampler.batch(step).into_iter().map(|image| image as i32).collect()
}

#[test]
fn random_batches() {
    gpu::run("assemble", random_batches_of_every_size);
}

fn random_batches_of_every_size(gpu: &Gpu) -> Outcome {
    // The fuller the batch, the more draws meet a number that is taken, and the longer the chains of them.
    for (m, n, block) in [
        (1, 1, 32),
        (1, 7, 64),
        (5, 5, 32),
        (16, 751, 32),
        (67, 70, 64),
        (130, 130, 96),
        (1024, 12_936, 1024),
        (1024, 1100, 256),
    ] {
        let mut sampler = Sampler::new(SamplerKind::Random { batch: m }, &vec![0; n], SEED)?;
        for step in [0, 1, 49_999] {
            let chosen = gpu.unwritten::<i32>("chosen", m)?;
            let device_step = gpu.upload("step", &[step])?;
            let launch = Launch::new(1, block).shared(8 * m);
            let arguments = args![&chosen, m as i32, n as i32, SEED, &device_step];
            gpu.launch("assemble_sample", launch, arguments)?;
            same("chosen", &gpu.read(&chosen)?, &images_of(&mut sampler, step as u64))?;
        }
    }
    Ok(())
}

#[test]
fn turns_of_an_epoch() {
    gpu::run("assemble", every_turn);
}

fn every_turn(gpu: &Gpu) -> Outcome {
    let labels: Vec<i32> = (0..103).map(|i| i % 11).collect();
    for (kind, grid) in [
        (SamplerKind::Epochs { batch: 9 }, Launch::new(1, 32)),
        (SamplerKind::Epochs { batch: 103 }, Launch::new(2, 32)),
        (SamplerKind::Pk { identities: 3, images: 13, order: PkOrder::Identities }, Launch::new(3, 32)),
        (SamplerKind::Pk { identities: 3, images: 4, order: PkOrder::Images }, Launch::new(1, 32)),
        (SamplerKind::Pairs { pairs: 10, positive: 0.5, decay: 0.9, least: 0.1 }, Launch::new(1, 32)),
    ] {
        let mut sampler = Sampler::new(kind, &labels, SEED)?;
        let (m, turns) = (kind.batch(), sampler.steps_per_epoch());
        for epoch in [0, 4] {
            let steps = epoch * turns..(epoch + 1) * turns;
            let order: Vec<i32> = steps.clone().flat_map(|step| images_of(&mut sampler, step)).collect();
            let order = gpu.upload("order", &order)?;
            for step in [steps.start, steps.start + turns / 2, steps.end - 1] {
                let chosen = gpu.unwritten::<i32>("chosen", m)?;
                let device_step = gpu.upload("step", &[step as i32])?;
                let arguments = args![&order, &chosen, m as i32, turns as i32, &device_step];
                gpu.launch("assemble_turn", grid, arguments)?;
                same("chosen", &gpu.read(&chosen)?, &images_of(&mut sampler, step))?;
            }
        }
    }
    Ok(())
}

/// What each byte becomes, `[3, 256]`: a picture of every byte, normalised.
fn table(input: &ImageInput) -> Vec<f32> {
    let bytes: Vec<u8> = (0..=255).flat_map(|byte| [byte; 3]).collect();
    let mut values = vec![0.0; 3 * 256];
    let input = ImageInput { height: 16, width: 16, ..input.clone() };
    Normaliser::new(&input).write(&bytes, View::PLAIN, &mut values);
    (0..3).flat_map(|c| values[c..].iter().step_by(3).copied().collect::<Vec<_>>()).collect()
}

/// Whether images are mirrored: `assemble::Flip`. By chance is 1, as the augmentation's `true`.
const ALWAYS: i32 = 2;

struct Case {
    input: ImageInput,
    augment: Augment,
    /// All images are mirrored, whatever the augmentation says.
    mirrored: bool,
    /// Images of the data set.
    n: usize,
    chosen: Vec<i32>,
    /// Values of a pixel.
    channels: usize,
    step: i32,
    /// Blocks an image.
    blocks: u32,
    block: u32,
}

impl Case {
    /// Bytes of an image of the data set.
    fn image_len(&self) -> usize {
        self.augment.image_size(self.input.height, self.input.width).iter().product::<usize>() * 3
    }

    fn bytes(&self) -> Vec<u8> {
        let stream = Philox::new(1, 0, 0, RngStream::Test);
        (0..(self.n * self.image_len()) as u32).map(|i| stream.word(i) as u8).collect()
    }

    fn classes(&self) -> Vec<i32> {
        (0..self.n as i32).map(|image| 1000 + 7 * image).collect()
    }

    /// Pixels and labels as the loader has them.
    fn reference(&self) -> (Vec<f32>, Vec<i32>) {
        let (bytes, classes, len) = (self.bytes(), self.classes(), self.image_len());
        let normaliser = Normaliser::new(&self.input);
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for (slot, &image) in self.chosen.iter().enumerate() {
            let mut values = vec![f32::NAN; self.input.len()];
            if (0..self.n as i32).contains(&image) {
                let view = self.augment.view(SEED, self.step as u64, slot);
                let view = View { flip: view.flip || self.mirrored, ..view };
                let source = &bytes[image as usize * len..][..len];
                normaliser.write_crop(
                    source,
                    self.augment.image_size(self.input.height, self.input.width),
                    view,
                    &mut values,
                );
                labels.push(classes[image as usize]);
            } else {
                labels.push(-1);
            }
            let padding = vec![0.0; self.channels - 3];
            pixels.extend(values.chunks(3).flat_map(|pixel| [pixel, &padding].concat()));
        }
        (pixels, labels)
    }

    fn check<F: Float>(&self, gpu: &Gpu) -> Outcome {
        let (want, want_labels) = self.reference();
        let bytes = gpu.upload("bytes", &self.bytes())?;
        let classes = gpu.upload("classes", &self.classes())?;
        let chosen = gpu.upload("chosen", &self.chosen)?;
        let table = gpu.upload("table", &table(&self.input))?;
        let pixels = gpu.unwritten::<F>("pixels", want.len())?;
        let labels = gpu.unwritten::<i32>("labels", self.chosen.len())?;
        let step = gpu.upload("step", &[self.step])?;
        let [image_height, image_width] = self.augment.image_size(self.input.height, self.input.width);
        let arguments = args![
            &bytes,
            &classes,
            &chosen,
            &table,
            &pixels,
            &labels,
            self.n as i32,
            image_height as i32,
            image_width as i32,
            self.input.height as i32,
            self.input.width as i32,
            self.channels as i32,
            if self.mirrored { ALWAYS } else { i32::from(self.augment.flip) },
            self.augment.pad as i32,
            i32::from(self.augment.pad_mode == PadMode::Edge),
            i32::from(self.input.channels == Channels::Bgr),
            SEED,
            &step,
        ];
        let launch = Launch::new((self.chosen.len() as u32, self.blocks), self.block);
        gpu.launch(&format!("assemble_pixels_{}", F::NAME), launch, arguments)?;
        same("labels", &gpu.read(&labels)?, &want_labels)?;
        equal("pixels", &gpu.read_f32(&pixels)?, &F::kept(&want))
    }
}

fn every_case<F: Float>(gpu: &Gpu) -> Outcome {
    let plain = Augment::default();
    let augments = [
        (plain, false),
        (plain, true),
        (Augment { flip: true, ..plain }, false),
        (Augment { flip: true, pad: 2, ..plain }, false),
        (Augment { flip: true, pad: 2, ..plain }, true),
        (Augment { pad: 6, ..plain }, false),
        (Augment { flip: true, pad: 6, pad_mode: PadMode::Edge, ..plain }, false),
        (Augment { flip: true, room: [3, 2], ..plain }, false),
        (Augment { flip: true, pad: 2, room: [0, 5], ..plain }, false),
    ];
    for channels in [3, 4, 8] {
        for (step, (augment, mirrored)) in augments.into_iter().enumerate() {
            for input in [ImageInput::imagenet(11, 7), caffe(7, 9)] {
                let chosen = vec![4, 0, 2, 2, 1, 3, 0, 4, 1];
                let (step, blocks, block) = (step as i32 * 977, 2, 32);
                Case { input, augment, mirrored, n: 5, chosen, channels, step, blocks, block }
                    .check::<F>(gpu)?;
            }
        }
    }
    let augment = Augment { flip: true, pad: 10, ..plain };
    for (input, n, m, channels, blocks, block) in [
        // The paper's size; a batch of many small images; a single pixel.
        (ImageInput::imagenet(256, 128), 1, 1, 4, 32, 256),
        (caffe(2, 3), 50, 1024, 8, 1, 32),
        (ImageInput::imagenet(1, 1), 3, 2, 3, 1, 64),
    ] {
        let chosen = (0..m).map(|slot| slot * 31 % n).collect();
        let n = n as usize;
        Case { input, augment, mirrored: false, n, chosen, channels, step: 3, blocks, block }
            .check::<F>(gpu)?;
    }
    Ok(())
}

#[test]
fn pixels_f32() {
    gpu::run("assemble", every_case::<f32>);
}

#[test]
fn pixels_bf16() {
    gpu::run("assemble", every_case::<u16>);
}

/// The images before and after them are as they should be, and nothing outside of the data set is read.
#[test]
fn images_that_are_not_there_are_nan() {
    gpu::run("assemble", strangers);
}

fn strangers(gpu: &Gpu) -> Outcome {
    let chosen = vec![1, -1, 0, 2, i32::MAX, i32::MIN, 1];
    let (input, augment) = (ImageInput::imagenet(5, 3), Augment { flip: true, ..Augment::default() });
    let case =
        Case { input, augment, mirrored: false, n: 2, chosen, channels: 4, step: 8, blocks: 1, block: 32 };
    case.check::<f32>(gpu)?;
    case.check::<u16>(gpu)
}

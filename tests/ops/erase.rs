//! Random erasing by `cuda/erase.cu`, bit for bit that of the host.

use crate::gpu::{self, Float, Gpu, Outcome, equal};
use crate::planted;
use bcreid::data::input::Normaliser;
use bcreid::data::{Augment, Channels, Erase, EraseFill, ImageInput};
use bcreid::tensor::philox::{Philox, RngStream};
use softcuda::{Launch, args};

const SEED: u64 = 0x0123_4567_89ab_cdef;

struct Case {
    input: ImageInput,
    erase: Erase,
    /// Images of the batch.
    m: usize,
    /// Values of a pixel.
    channels: usize,
    step: i32,
    /// Blocks an image.
    blocks: u32,
    block: u32,
}

impl Case {
    /// The batch before, and after the host has erased its rectangles.
    fn reference(&self) -> (Vec<f32>, Vec<f32>) {
        let ImageInput { height, width, .. } = self.input;
        let noise = Philox::new(2, 0, 0, RngStream::Test);
        let before: Vec<f32> =
            (0..(self.m * height * width * self.channels) as u32).map(|i| 1.0 + noise.uniform(i)).collect();
        let (normaliser, mut after) = (Normaliser::new(&self.input), before.clone());
        let augment = Augment { erase: self.erase, ..Augment::default() };
        for (slot, image) in after.chunks_mut(height * width * self.channels).enumerate() {
            let Some(rectangle) = augment.erased(SEED, self.step as u64, slot, [height, width]) else {
                continue;
            };
            let draws = Philox::new(SEED, self.step as u64, slot as u64, RngStream::Augment);
            let mut own: Vec<f32> =
                image.chunks(self.channels).flat_map(|pixel| pixel[..3].to_vec()).collect();
            normaliser.erase(rectangle, self.erase.fill, &draws, &mut own);
            for (pixel, own) in image.chunks_mut(self.channels).zip(own.chunks(3)) {
                pixel[..3].copy_from_slice(own);
            }
        }
        (before, after)
    }

    fn check<F: Float>(&self, gpu: &Gpu) -> Outcome {
        let (before, after) = self.reference();
        let black = Normaliser::new(&ImageInput { height: 16, width: 16, ..self.input.clone() });
        let every_byte: Vec<u8> = (0..=255).flat_map(|byte| [byte; 3]).collect();
        let mut values = vec![0.0; 3 * 256];
        black.write(&every_byte, bcreid::data::augment::View::PLAIN, &mut values);
        let by_channel = |c: usize| values[c..].iter().step_by(3).copied().collect::<Vec<f32>>();
        let table = gpu.upload("table", &[by_channel(0), by_channel(1), by_channel(2)].concat())?;
        let pixels = gpu.upload_as::<F>("pixels", &before)?;
        let step = gpu.upload("step", &[self.step])?;
        let Erase { probability, area: [low, high], aspect, fill } = self.erase;
        let arguments = args![
            &pixels,
            &table,
            self.input.height as i32,
            self.input.width as i32,
            self.channels as i32,
            probability,
            low,
            high - low,
            aspect,
            1.0 / aspect - aspect,
            i32::from(fill == EraseFill::Noise),
            i32::from(self.input.channels == Channels::Bgr),
            SEED,
            &step,
        ];
        let launch = Launch::new((self.m as u32, self.blocks), self.block);
        gpu.launch(&format!("erase_pixels_{}", F::NAME), launch, arguments)?;
        equal("pixels", &gpu.read_f32(&pixels)?, &F::kept(&after))
    }
}

pub fn every_case<F: Float>(gpu: &Gpu) -> Outcome {
    let half = Erase { probability: 0.5, ..Erase::default() };
    let all = Erase { probability: 1.0, fill: EraseFill::Noise, ..half };
    let caffe = ImageInput {
        channels: Channels::Bgr,
        scale: 1.0,
        mean: [104.0, 117.0, 124.0],
        std: [1.0, 2.0, 4.0],
        ..ImageInput::imagenet(9, 14)
    };
    for (input, erase, m, channels, blocks, block) in [
        (ImageInput::imagenet(19, 11), half, 9, 3, 2, 32),
        (ImageInput::imagenet(19, 11), Erase { probability: 0.9, ..all }, 5, 4, 1, 64),
        (caffe.clone(), all, 7, 8, 3, 32),
        (caffe.clone(), Erase { fill: EraseFill::Mean, ..all }, 4, 8, 1, 32),
        // No rectangle fits; none is drawn; the paper's size.
        (caffe.clone(), Erase { area: [1.0, 1.0], aspect: 1.0, ..all }, 2, 3, 1, 32),
        (caffe, Erase { probability: 0.0, ..all }, 2, 3, 1, 32),
        (ImageInput::imagenet(256, 128), all, 2, 3, 8, 256),
    ] {
        for step in [0, 977] {
            let (input, erase) = (input.clone(), erase);
            Case { input, erase, m, channels, step, blocks, block }.check::<F>(gpu)?;
        }
    }
    Ok(())
}

#[test]
fn pixels_f32() {
    gpu::run("erase", every_case::<f32>);
}

#[test]
fn pixels_bf16() {
    gpu::run("erase", every_case::<u16>);
}

/// A rectangle that reaches one column too far to the right.
#[test]
fn a_rectangle_off_by_one_is_seen() {
    let (right, wrong) = ("below(words.w, width - columns + 1)", "below(words.w, width - columns + 2)");
    planted::seen("erase", right, wrong, every_case::<f32>, &["pixels", "expected"]);
}

//! Colour jitter by `cuda/jitter.cu`, bit for bit that of the host, and the host's against Pillow.

use crate::gpu::{self, Gpu, Outcome};
use crate::planted;
use bcreid::data::input::Normaliser;
use bcreid::data::jitter::Factors;
use bcreid::data::{Augment, ImageInput, Jitter, PadMode};
use bcreid::tensor::philox::{Philox, RngStream};
use softcuda::{Launch, args};

const SEED: u64 = 0x0fed_cba9_8765_4321;

struct Case {
    augment: Augment,
    size: [usize; 2],
    /// Images of the data set.
    n: usize,
    chosen: Vec<i32>,
    step: i32,
    block: u32,
}

impl Case {
    fn input(&self) -> ImageInput {
        let [height, width] = self.size;
        ImageInput { scale: 1.0, mean: [0.0; 3], std: [1.0; 3], ..ImageInput::imagenet(height, width) }
    }

    fn bytes(&self) -> Vec<u8> {
        let stream = Philox::new(1, 0, 0, RngStream::Test);
        let len = self.n * self.augment.image_size(self.size[0], self.size[1]).iter().product::<usize>() * 3;
        (0..len as u32).map(|i| stream.word(i) as u8).collect()
    }

    /// The host's coloured views, black for an image that is not there.
    fn reference(&self) -> Vec<u8> {
        let (input, bytes) = (self.input(), self.bytes());
        let (normaliser, size) =
            (Normaliser::new(&input), self.augment.image_size(input.height, input.width));
        let len = size[0] * size[1] * 3;
        let view = |(slot, &image): (usize, &i32)| {
            let mut values = vec![0.0; input.len()];
            if (0..self.n as i32).contains(&image) {
                let view = self.augment.view(SEED, self.step as u64, slot);
                normaliser.write_crop(&bytes[image as usize * len..][..len], size, view, &mut values);
            }
            let mut pixels: Vec<u8> = values.iter().map(|&value| value as u8).collect();
            self.augment.colours(SEED, self.step as u64, slot).unwrap().apply(&mut pixels);
            pixels
        };
        self.chosen.iter().enumerate().flat_map(view).collect()
    }

    fn check(&self, gpu: &Gpu) -> Outcome {
        let bytes = gpu.upload("bytes", &self.bytes())?;
        let classes = gpu.upload("classes", &(0..self.n as i32).map(|i| 100 + i).collect::<Vec<_>>())?;
        let chosen = gpu.upload("chosen", &self.chosen)?;
        let m = self.chosen.len();
        let seen = gpu.unwritten::<u8>("seen_bytes", m * self.input().len())?;
        let seen_classes = gpu.unwritten::<i32>("seen_classes", m)?;
        let places = gpu.unwritten::<i32>("places", m)?;
        let step = gpu.upload("step", &[self.step])?;
        let [image_height, image_width] = self.augment.image_size(self.size[0], self.size[1]);
        let Jitter { brightness, contrast, saturation } = self.augment.jitter;
        let low = |a: f32| (1.0 - a).max(0.0);
        let span = |a: f32| 1.0 + a - low(a);
        let arguments = args![
            &bytes,
            &classes,
            &chosen,
            &seen,
            &seen_classes,
            &places,
            self.n as i32,
            image_height as i32,
            image_width as i32,
            self.size[0] as i32,
            self.size[1] as i32,
            i32::from(self.augment.flip),
            self.augment.pad as i32,
            i32::from(self.augment.pad_mode == PadMode::Edge),
            low(brightness),
            span(brightness),
            low(contrast),
            span(contrast),
            low(saturation),
            span(saturation),
            SEED,
            &step,
        ];
        gpu.launch("jitter_bytes", Launch::new(m as u32, self.block), arguments)?;
        if gpu.read(&seen)? != self.reference() {
            return Err("seen_bytes differ from the host's".into());
        }
        let known = |image: &i32| (0..self.n as i32).contains(image);
        let numbers = |of: &dyn Fn(usize, i32) -> i32| -> Vec<i32> {
            self.chosen
                .iter()
                .enumerate()
                .map(|(i, image)| if known(image) { of(i, *image) } else { -1 })
                .collect()
        };
        if gpu.read(&seen_classes)? != numbers(&|_, image| 100 + image) {
            return Err("seen_classes".into());
        }
        if gpu.read(&places)? != numbers(&|slot, _| slot as i32) {
            return Err("places".into());
        }
        Ok(())
    }
}

fn every_case(gpu: &Gpu) -> Outcome {
    let one = |brightness, contrast, saturation| Augment {
        jitter: Jitter { brightness, contrast, saturation },
        ..Augment::default()
    };
    let all = one(0.4, 0.5, 0.6);
    for (augment, size, block) in [
        (one(0.3, 0.0, 0.0), [9, 14], 32),
        (one(0.0, 0.3, 0.0), [9, 14], 64),
        (one(0.0, 0.0, 0.3), [9, 14], 96),
        (one(2.0, 3.0, 4.0), [9, 14], 1024),
        (Augment { flip: true, pad: 3, ..all }, [19, 11], 64),
        (Augment { flip: true, pad: 2, pad_mode: PadMode::Edge, room: [5, 2], ..all }, [7, 8], 32),
        (all, [1, 1], 32),
        (all, [64, 128], 1024),
    ] {
        let chosen = vec![4, 0, 2, -1, 2, 5, 3];
        Case { augment, size, n: 5, chosen, step: 33, block }.check(gpu)?;
    }
    Ok(())
}

#[test]
fn bytes() {
    gpu::run("jitter", every_case);
}

/// The mean grey is rounded, not cut.
#[test]
fn a_mean_that_is_cut_is_seen() {
    let (right, wrong) = ("+ n) / (2 * n)", ") / (2 * n)");
    planted::seen("jitter", right, wrong, every_case, &["seen_bytes"]);
}

/// `tests/golden/jitter.py`: Pillow's Brightness, Contrast and Color, one after the other, with several factors.
#[test]
fn colours_are_pillow_s() {
    let golden = crate::golden::read("jitter");
    let bytes = |name: &str| golden[name].i32().into_iter().map(|byte| byte as u8).collect::<Vec<u8>>();
    let source = bytes("source");
    let factors = &golden["factors"].values;
    assert_eq!(golden["factors"].shape, [15, 3]);
    for (i, factors) in factors.chunks(3).enumerate() {
        let mut pixels = source.clone();
        let [brightness, contrast, saturation] = [factors[0], factors[1], factors[2]];
        Factors { brightness, contrast, saturation }.apply(&mut pixels);
        assert!(pixels == bytes(&format!("out.{i}")), "factors {factors:?}");
    }
}

//! Batches assembled on the device compared, bit for bit, with those of the host, through the loader and the image
//! stream.

mod kernel;

use crate::on::{self, host};
use bcreid::autograd::StepValues;
use bcreid::data::{
    Augment, Channels, Classes, Erase, EraseFill, ImageInput, ImageStream, Jitter, Loader, LoaderOptions,
    PadMode, PkOrder, Sample, SamplerKind, StreamOptions,
};
use bcreid::device::Device;
use bcreid::tensor::Tensor;
use bcreid::tensor::philox::{Philox, RngStream};

const SEED: u64 = 0xfedc_ba98_7654_3210;

/// Caffe's convention, with three different deviations so that a mix-up of channels shows.
fn caffe(height: usize, width: usize) -> ImageInput {
    ImageInput {
        channels: Channels::Bgr,
        scale: 1.0,
        mean: [104.0, 117.0, 124.0],
        std: [1.0, 2.0, 4.0],
        ..ImageInput::imagenet(height, width)
    }
}

/// `n` PNG images of 9 x 5 pixels, three of a person, in a folder of their own.
fn images(n: usize) -> (tempfile::TempDir, Vec<Sample>) {
    let folder = tempfile::tempdir().unwrap();
    let sample = |i: usize| {
        let noise = Philox::new(i as u64, 0, 0, RngStream::Test);
        let bytes: Vec<u8> = (0..9 * 5 * 3).map(|at| noise.word(at) as u8).collect();
        let path = folder.path().join(format!("{i}.png"));
        image::save_buffer(&path, &bytes, 5, 9, image::ExtendedColorType::Rgb8).unwrap();
        Sample { path, pid: i as i64 / 3, camid: Some(1) }
    };
    let samples = (0..n).map(sample).collect();
    (folder, samples)
}

/// The three colours of pixels, whose further channels are 0.
fn colours(pixels: &Tensor) -> Vec<f32> {
    let depth = pixels.shape().last();
    let values = host(pixels);
    assert!(values.chunks(depth).all(|pixel| pixel[3..].iter().all(|&v| v == 0.0)));
    values.chunks(depth).flat_map(|pixel| pixel[..3].to_vec()).collect()
}

/// A CUDA device's values are the CPU's, rounded to its type of activations; its labels the same.
#[test]
fn training_batches_are_those_of_the_cpu() {
    on::cuda_in_each_precision(|device| {
        let (_folder, samples) = images(14);
        let classes = Classes::new(&samples).unwrap();
        let kinds = [
            SamplerKind::Random { batch: 5 },
            SamplerKind::Epochs { batch: 4 },
            SamplerKind::Pk { identities: 2, images: 3, order: PkOrder::Images },
            SamplerKind::Pairs { pairs: 3, positive: 0.5, decay: 0.9, least: 0.1 },
        ];
        let modes = [PadMode::Zero, PadMode::Edge];
        let plain = Augment { flip: true, pad: 2, ..Augment::default() };
        let jitter = Jitter { brightness: 0.4, contrast: 0.3, saturation: 0.5 };
        let erase = Erase { probability: 0.7, ..Erase::default() };
        let augments = [
            Augment { jitter, erase, room: [2, 3], ..plain },
            Augment { erase: Erase { fill: EraseFill::Noise, ..erase }, ..plain },
            plain,
            Augment { jitter, erase, ..Augment::default() },
        ];
        for ((sampler, augment), (pad_mode, input)) in kinds
            .into_iter()
            .zip(augments)
            .zip([0, 1, 0, 1].map(|i| (modes[i], [caffe(9, 5), ImageInput::imagenet(9, 5)][i].clone())))
        {
            let options = LoaderOptions {
                augment: Augment { pad_mode, ..augment },
                seed: SEED,
                threads: 1,
                ..LoaderOptions::new(input, sampler)
            };
            let [ours, cpu] = [device, &Device::cpu()].map(|on| {
                let mut loader = Loader::new(&samples, &classes, options.clone(), on, &|_, _| {}).unwrap();
                let mut values = StepValues::new(on, SEED).unwrap();
                let batches = (0..7).map(|step| {
                    values.set(step, &[]).unwrap();
                    loader.prepare().unwrap();
                    let batch = loader.batch(&values).unwrap();
                    (colours(&batch.pixels), batch.labels.to_host_i32().unwrap())
                });
                batches.collect::<Vec<_>>()
            });
            for (step, ((pixels, labels), (cpu_pixels, cpu_labels))) in ours.iter().zip(&cpu).enumerate() {
                assert_eq!(labels, cpu_labels, "labels of step {step}, {sampler:?}");
                assert!(*pixels == on::rounded(device, cpu_pixels), "pixels of step {step}, {sampler:?}");
            }
        }
    });
}

/// Images as they are and mirrored, a last batch that is smaller; each convention of channels.
#[test]
fn streams_of_images_are_those_of_the_cpu() {
    on::cuda_in_each_precision(|device| {
        let (_folder, samples) = images(7);
        for input in [caffe(9, 5), ImageInput::imagenet(9, 5)] {
            let [ours, cpu] = [device, &Device::cpu()].map(|on| {
                let options = StreamOptions {
                    batch: 4,
                    threads: 1,
                    mirrored: true,
                    ..StreamOptions::new(input.clone())
                };
                let paths = samples.iter().map(|sample| sample.path.clone()).collect();
                let batches = ImageStream::new(paths, options, on).unwrap().map(|batch| {
                    let batch = batch.unwrap();
                    (batch.images, colours(&batch.pixels), colours(&batch.mirrored.unwrap()))
                });
                batches.collect::<Vec<_>>()
            });
            assert_eq!(ours.len(), 2);
            for ((images, plain, mirrored), (cpu_images, cpu_plain, cpu_mirrored)) in ours.iter().zip(&cpu) {
                assert_eq!(images, cpu_images);
                assert!(*plain == on::rounded(device, cpu_plain), "images {images:?}");
                assert!(*mirrored == on::rounded(device, cpu_mirrored), "images {images:?}, mirrored");
            }
        }
    });
}

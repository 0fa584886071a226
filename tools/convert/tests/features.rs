//! pool5 of a converted file on eight JPEGs, compared with PyTorch on the same files read by Pillow.

use bcreid::autograd::Tape;
use bcreid::config::{Channels, Config};
use bcreid::data::{ImageStream, StreamOptions};
use bcreid::device::Device;
use bcreid::ops::batchnorm::Statistics;
use bcreid::tensor::Tensor;
use bcreid::weights::provenance::Conversion;
use bcreid::weights::{NetworkFile, read_tensors};
use bcreid_convert::{engine, network, source};
use std::path::{Path, PathBuf};

fn here(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(part)
}

/// Largest difference of features for the same pixels, due to rounding.
const SAME_PIXELS: f32 = 1e-4;
/// Largest difference of features for JPEGs decoded by `bcreid`: 1 % of the bytes differ by at most 2 grey levels.
const OWN_DECODER: f32 = 5e-3;

/// The largest difference from the golden features over the largest of them, from Pillow's pixels and from the
/// JPEG files.
fn strays(weights: &str, golden: &str) -> [f32; 2] {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (here(weights), folder.path().join("out.safetensors"));
    let found = source::open(&input).unwrap();
    let network = network::recognise(&found, &input, network::Unseen::of(&found)).unwrap();
    engine::write(&network, &input, Conversion::default(), &out).unwrap();

    let file = NetworkFile::open(&out).unwrap();
    let size = ["input.height=128".to_string(), "input.width=64".to_string()];
    let config = Config::resolve_for(Some(file.config()), &[], &size).unwrap();
    let device = Device::cpu();
    let (model, mut params) = file.network(&device).unwrap();

    let golden = read_tensors(&here(golden)).unwrap();
    let theirs = golden.tensor("features").unwrap().f32().unwrap();
    let pixels = golden.tensor("pixels").unwrap();
    let pillow = normalised(pixels.bytes(), &config);
    let pillow = Tensor::from_f32(&device, [8, 128, 64, 3], &pillow).unwrap();
    let mut images: Vec<PathBuf> =
        std::fs::read_dir(here("images")).unwrap().map(|entry| entry.unwrap().path()).collect();
    images.sort();
    let options = StreamOptions { batch: 8, ..StreamOptions::new(config.image_input()) };
    let decoded = ImageStream::new(images, options, &device).unwrap().next().unwrap().unwrap();
    [pillow, decoded.pixels].map(|pixels| {
        let mut tape = Tape::no_grad(&mut params).unwrap();
        let pixels = tape.constant(pixels);
        let ours = model.backbone.forward(&mut tape, pixels, Statistics::Frozen).unwrap();
        let ours = ours.value.to_host_f32().unwrap();
        assert_eq!(ours.len(), theirs.len());
        let largest = theirs.iter().fold(0.0f32, |largest, v| largest.max(v.abs()));
        let stray = ours.iter().zip(theirs.iter()).map(|(a, b)| (a - b).abs());
        stray.fold(0.0, f32::max) / largest
    })
}

/// RGB bytes in the file's input convention, computed from its definition.
fn normalised(rgb: &[u8], config: &Config) -> Vec<f32> {
    let input = &config.input;
    let order = if input.channels == Channels::Bgr { [2, 1, 0] } else { [0, 1, 2] };
    rgb.as_chunks::<3>()
        .0
        .iter()
        .flat_map(|pixel| order.map(|c| f32::from(pixel[c]) * input.scale))
        .enumerate()
        .map(|(i, level)| (level - input.mean[i % 3]) / input.std[i % 3])
        .collect()
}

fn check(weights: &str, golden: &str) {
    let [pillow, decoded] = strays(weights, golden);
    assert!(pillow < SAME_PIXELS, "features of the same pixels stray by {pillow:e} of the largest");
    assert!(decoded < OWN_DECODER, "features of the same files stray by {decoded:e} of the largest");
}

#[test]
fn torchvisions_network_sees_what_pytorch_sees() {
    check("golden/resnet50_width4.safetensors", "golden/torchvision.safetensors");
}

#[test]
fn caffes_network_sees_what_caffe_sees() {
    check("golden/caffe.caffemodel", "golden/caffe.safetensors");
}

//! From a file of somebody else's and eight JPEGs to pool5, beside PyTorch on the same files read by Pillow.

use bcreid::config::Config;
use bcreid::data::{ImageStream, StreamOptions};
use bcreid::device::Device;
use bcreid::model::Model;
use bcreid::ops::batchnorm::Statistics;
use bcreid::tensor::Tape;
use bcreid::weights::{NetworkFile, read_tensors};
use bcreid_convert::{convention, engine, network, source};
use std::path::{Path, PathBuf};

fn here(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(part)
}

/// The largest difference from the golden features, over the largest of them.
fn stray(weights: &str, golden: &str) -> f32 {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (here(weights), folder.path().join("out.safetensors"));
    let found = source::open(&input).unwrap();
    let convention = convention::input_of(found.wiring);
    let network = network::recognise(&found, &input, found.wiring, convention).unwrap();
    engine::write(&network, &input, None, &out).unwrap();

    let file = NetworkFile::open(&out).unwrap();
    let size = ["input.height=128".to_string(), "input.width=64".to_string()];
    let config = Config::resolve_for(Some(file.config()), None, &size).unwrap();
    let device = Device::cpu();
    let (model, mut params) = Model::new(&config, 0, &device);
    file.load(&mut params).unwrap();
    let mut images: Vec<PathBuf> =
        std::fs::read_dir(here("images")).unwrap().map(|entry| entry.unwrap().path()).collect();
    images.sort();
    let options = StreamOptions { batch: 8, ..StreamOptions::new(config.image_input()) };
    let batch = ImageStream::new(images, options, &device).unwrap().next().unwrap().unwrap();
    let mut tape = Tape::no_grad(&mut params);
    let pixels = tape.constant(batch.pixels);
    let ours = model.backbone.forward(&mut tape, pixels, Statistics::Frozen).unwrap().value.to_host_f32();

    let golden = read_tensors(&here(golden)).unwrap();
    let theirs = golden.tensor("features").unwrap().f32().unwrap();
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0.0f32, |largest, v| largest.max(v.abs()));
    ours.iter().zip(theirs.iter()).fold(0.0, |stray: f32, (a, b)| stray.max((a - b).abs())) / largest
}

#[test]
fn torchvisions_network_sees_what_pytorch_sees() {
    let stray = stray("golden/resnet50_width4.safetensors", "golden/torchvision.safetensors");
    assert!(stray < 1e-4, "features stray by {stray:e} of the largest");
}

#[test]
fn caffes_network_sees_what_caffe_sees() {
    let stray = stray("golden/caffe.caffemodel", "golden/caffe.safetensors");
    assert!(stray < 1e-4, "features stray by {stray:e} of the largest");
}

//! Small generated data sets.

use bcreid::data::{ImageInput, Sample};
use bcreid::tensor::philox::{Philox, RngStream};
use image::{ExtendedColorType, codecs::jpeg::JpegEncoder};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Noise that names its image.
pub fn pixels(seed: u64, height: u32, width: u32) -> Vec<u8> {
    let noise = Philox::new(seed, 0, 0, RngStream::Test);
    (0..height * width * 3).map(|i| (noise.word(i) >> 24) as u8).collect()
}

/// A PNG file, so that its pixels are known to the bit.
pub fn png(path: &Path, seed: u64, height: u32, width: u32) {
    image::save_buffer(path, &pixels(seed, height, width), width, height, ExtendedColorType::Rgb8).unwrap();
}

/// The bytes of a JPEG file.
pub fn jpeg(seed: u64, height: u32, width: u32) -> Vec<u8> {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, 90)
        .encode(&pixels(seed, height, width), width, height, ExtendedColorType::Rgb8)
        .unwrap();
    file
}

/// Creates a file with its folders.
pub fn put(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

/// `images` PNG images of each of `identities` persons (numbered 1, 3, 5, ...), 8 x 4 pixels, in a folder of
/// their own.
pub fn samples(identities: i64, images: i64) -> (TempDir, Vec<Sample>) {
    let folder = tempfile::tempdir().unwrap();
    let mut samples = Vec::new();
    for identity in 0..identities {
        for i in 0..images {
            let pid = 2 * identity + 1;
            let path = folder.path().join(format!("{pid:04}_c1s1_{i:06}_00.png"));
            png(&path, (identity * images + i) as u64, 8, 4);
            samples.push(Sample { path, pid, camid: Some(1) });
        }
    }
    (folder, samples)
}

/// Values are bytes, so that tests can compare exactly.
pub fn plain_input(height: usize, width: usize) -> ImageInput {
    ImageInput { scale: 1.0, mean: [0.0; 3], std: [1.0; 3], ..ImageInput::imagenet(height, width) }
}

/// Asserts that a result is an error on one line that holds all `words`.
#[track_caller]
pub fn assert_error<T>(result: bcreid::Result<T>, words: &[&str]) {
    let Err(error) = result else { panic!("no error, but one with {words:?} was expected") };
    let error = error.to_string();
    assert!(!error.contains('\n'), "{error}");
    for word in words {
        assert!(error.contains(word), "{word:?} is missing in: {error}");
    }
}

use crate::made::{assert_error, pixels, plain_input, samples};
use bcreid::data::{BadImages, ImageStream, Images, StreamOptions, decode};
use bcreid::device::Device;
use std::path::PathBuf;

fn options() -> StreamOptions {
    StreamOptions { batch: 4, threads: 3, mirrored: true, ..StreamOptions::new(plain_input(8, 4)) }
}

fn paths(samples: &[bcreid::data::Sample]) -> Vec<PathBuf> {
    samples.iter().map(|s| s.path.clone()).collect()
}

#[test]
fn every_image_comes_once_in_order_with_its_mirror_image() {
    let (_folder, samples) = samples(2, 7);
    let mut seen = Vec::new();
    for batch in ImageStream::new(paths(&samples), options(), &Device::cpu()).unwrap() {
        let batch = batch.unwrap();
        let mirrored = batch.mirrored.unwrap();
        for (slot, &image) in batch.images.iter().enumerate() {
            let expected: Vec<f32> = pixels(image as u64, 8, 4).into_iter().map(f32::from).collect();
            assert_eq!(batch.pixels.f32()[slot * 96..][..96], expected);
            for (row, expected) in mirrored.f32()[slot * 96..][..96].chunks(12).zip(expected.chunks(12)) {
                let back: Vec<f32> = row.chunks(3).rev().flatten().copied().collect();
                assert_eq!(back, expected);
            }
        }
        seen.push(batch.images);
    }
    assert_eq!(seen, [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9, 10, 11], vec![12, 13]]);
}

/// From memory they give the same pixels as from their files, also when they are resized.
#[test]
fn decoded_images_are_read_like_files() {
    let (_folder, samples) = samples(2, 7);
    let options = || StreamOptions { input: plain_input(6, 5), ..options() };
    let decoded = paths(&samples).iter().map(|path| decode::read(path).unwrap().clone()).collect();
    let of = |images| {
        let batches = ImageStream::of(images, options(), &Device::cpu()).unwrap().map(Result::unwrap);
        batches.map(|batch| (batch.images, batch.pixels.f32().to_vec())).collect::<Vec<_>>()
    };
    let files = of(Images::Files(paths(&samples)));
    assert_eq!(of(Images::Decoded(decoded)), files);
    assert_eq!((files.len(), files[0].1.len()), (4, 4 * 90));

    let image = |width, height, bytes| decode::Rgb { width, height, pixels: vec![0; bytes] };
    for (faulty, words) in [
        (image(4, 8, 95), "4 x 8 pixels, but 95 bytes"),
        (image(0, 8, 0), "the image is empty"),
        (image(70_000, 1, 210_000), "the longest side is 65535"),
        (image(usize::MAX, usize::MAX, 3), "the longest side is 65535"),
    ] {
        let images = Images::Decoded(vec![image(4, 8, 96), faulty]);
        assert_error(ImageStream::of(images, options(), &Device::cpu()), &["image 1", words]);
    }
}

#[test]
fn unreadable_images_end_the_stream_or_are_reported() {
    let (_folder, samples) = samples(2, 7);
    for bad in [5, 8, 9, 10, 11] {
        std::fs::write(&samples[bad].path, b"no image").unwrap();
    }
    let refusing = ImageStream::new(paths(&samples), options(), &Device::cpu()).unwrap();
    let mut results: Vec<_> = refusing.collect();
    assert_eq!(results.len(), 2);
    assert_error(results.pop().unwrap(), &["0001_c1s1_000005_00.png", "not a JPEG"]);

    let skip = StreamOptions { bad_images: BadImages::Skip, mirrored: false, ..options() };
    let mut skipping = ImageStream::new(paths(&samples), skip, &Device::cpu()).unwrap();
    let batches: Vec<_> = skipping.by_ref().map(Result::unwrap).collect();
    assert!(batches.iter().all(|b| b.mirrored.is_none()));
    let images: Vec<_> = batches.into_iter().map(|b| b.images).collect();
    assert_eq!(images, [vec![0, 1, 2, 3], vec![4, 6, 7], vec![12, 13]]);
    assert_eq!(skipping.skipped().iter().map(|(i, _)| *i).collect::<Vec<_>>(), [5, 8, 9, 10, 11]);
}

#[test]
fn nothing_to_read_is_an_empty_stream_and_a_batch_of_nothing_an_error() {
    assert!(ImageStream::new(Vec::new(), options(), &Device::cpu()).unwrap().next().is_none());
    assert_error(
        ImageStream::new(Vec::new(), StreamOptions { batch: 0, ..options() }, &Device::cpu()),
        &["at least 1"],
    );
}

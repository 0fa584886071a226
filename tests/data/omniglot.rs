//! Omniglot in the Market-1501 layout (`tests/common/omniglot.rs`): from the files to batches.

#[path = "../common/omniglot.rs"]
mod archive;

use bcreid::autograd::StepValues;
use bcreid::data::{
    BadImages, Classes, Dataset, ImageInput, ImageStream, Loader, LoaderOptions, PkOrder, SamplerKind,
    StreamOptions,
};
use bcreid::device::Device;
use std::path::PathBuf;

#[test]
fn the_whole_way_from_an_archive_to_batches() {
    let folder = tempfile::tempdir().unwrap();
    let Some(root) = archive::unpack(folder.path()) else { return };
    let data = Dataset::open(&root).unwrap();
    data.require_train().unwrap();
    data.require_test().unwrap();
    assert_eq!(data.name, "market1501");
    let classes = Classes::new(&data.train).unwrap();
    println!(
        "{} training images of {} identities, {} queries, {} gallery images",
        data.train.len(),
        classes.len(),
        data.query.len(),
        data.gallery.len()
    );
    assert_eq!(data.train.len() + data.query.len() + data.gallery.len(), 4840);

    let input = ImageInput::imagenet(32, 32);
    let sampler = SamplerKind::Pk { identities: 8, images: 4, order: PkOrder::Identities };
    let device = Device::cpu();
    let options = LoaderOptions::new(input.clone(), sampler);
    let mut loader = Loader::new(&data.train, &classes, options, &device, &|_, _| {}).unwrap();
    loader.prepare().unwrap();
    let batch = loader.batch(&StepValues::new(&device, 0).unwrap()).unwrap();
    assert_eq!(batch.pixels.shape().dims(), [32, 32, 32, 3]);
    for four in batch.labels.i32().chunks(4) {
        assert!(four.iter().all(|label| *label == four[0]));
    }
    let queries: Vec<PathBuf> = data.query.into_iter().map(|s| s.path).collect();
    let all = queries.len();
    let options = StreamOptions { bad_images: BadImages::Refuse, ..StreamOptions::new(input) };
    let read: usize =
        ImageStream::new(queries, options, &device).unwrap().map(|batch| batch.unwrap().images.len()).sum();
    assert_eq!(read, all);
}

//! Export of a run's decoded and resized training images, for training with other programs.
//!
//! JPEG decoders and resizers differ by a grey level in some pixels, so a training run can be reproduced exactly only
//! from the same decoded bytes. The later stages (sampler, augmentation, normalisation) are functions of seed and step;
//! `tools/reference/train.py` computes them.

use crate::config::{BadImages, Config};
use crate::data::loader::label;
use crate::data::{CacheOptions, Classes, Dataset, ImageCache};
use crate::error::Remedy;
use crate::files::write_atomically;
use crate::train::batches::unlabelled_images;
use crate::{Error, Result};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::path::Path;

/// Writes the training images of `dataset`, and those of `data.unlabelled` behind them, to the safetensors file `out`,
/// decoded and resized by the settings of `config` (`data.resize`, or the input's size) but not augmented: `images` u8
/// `[n, height, width, 3]` in RGB, `labels` i64 `[n]` (classes, or -1 without an identity) and `indices` i64 `[n]` (rows
/// of the training set; skipped unreadable images are absent). Returns n. All images are in memory twice.
///
/// # Errors
/// A data set without training images; an unreadable image, unless the settings skip it; an error of the file system.
pub fn write(dataset: &Dataset, config: &Config, out: &Path) -> Result<usize> {
    dataset.require_train()?;
    let [height, width] = config.stored_size();
    let classes = Classes::named(&dataset.train, &dataset.labels)?;
    let unlabelled = config.data.unlabelled.as_deref().map(unlabelled_images).transpose()?;
    let samples = [&dataset.train[..], &unlabelled.unwrap_or_default()].concat();
    let paths: Vec<&Path> = samples.iter().map(|sample| sample.path.as_path()).collect();
    let options = CacheOptions { limit_mib: config.data.cache_mib, folder: None };
    let (cache, mut bad) = ImageCache::build(&paths, height, width, &options, &|_, _| ())?;
    if config.data.bad_images == BadImages::Refuse && !bad.is_empty() {
        return Err(bad.swap_remove(0).1.with_remedies([Remedy::SkipTrainingImages]));
    }
    let (mut images, mut labels, mut indices) = (Vec::new(), Vec::new(), Vec::new());
    for (index, sample) in samples.iter().enumerate() {
        if bad.binary_search_by_key(&index, |(bad, _)| *bad).is_err() {
            images.extend_from_slice(cache.image(index));
            labels.extend(i64::from(label(sample, &classes)?).to_le_bytes());
            indices.extend((index as i64).to_le_bytes());
        }
    }
    let count = indices.len() / 8;
    let fault = |e: safetensors::SafeTensorError| Error::Data(format!("{}: {e}", out.display()));
    let tensors = [
        ("images", TensorView::new(Dtype::U8, vec![count, height, width, 3], &images).map_err(fault)?),
        ("labels", TensorView::new(Dtype::I64, vec![count], &labels).map_err(fault)?),
        ("indices", TensorView::new(Dtype::I64, vec![count], &indices).map_err(fault)?),
    ];
    let bytes = safetensors::serialize(tensors, None).map_err(fault)?;
    write_atomically(out, |writer| writer.write_all(&bytes))?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::synth::Synth;
    use safetensors::SafeTensors;

    #[test]
    fn images_have_the_stored_size_and_those_without_an_identity_come_last() {
        let folder = tempfile::tempdir().unwrap();
        let (data, out) = (folder.path().join("data"), folder.path().join("images.safetensors"));
        let set =
            Synth { train_ids: 3, test_ids: 2, cameras: 2, distractors: 0, junk: 0, ..Synth::default() };
        let counts = set.write(&data, |_, _| ()).unwrap();
        let settings = [
            "input.height=64".to_string(),
            "input.width=32".into(),
            "data.resize=[72, 36]".into(),
            format!("data.unlabelled={}", data.join("query").display()),
            "loss.batch_contrastive.weight=0".into(),
        ];
        let config = Config::resolve_text("", &settings).unwrap();
        let count = write(&Dataset::open(&data).unwrap(), &config, &out).unwrap();
        assert_eq!(count, counts.train + counts.query);
        let bytes = std::fs::read(&out).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.tensor("images").unwrap().shape(), [count, 72, 36, 3]);
        let numbers = |name: &str| -> Vec<i64> {
            let (chunks, []) = file.tensor(name).unwrap().data().as_chunks::<8>() else { panic!("{name}") };
            chunks.iter().map(|chunk| i64::from_le_bytes(*chunk)).collect()
        };
        let labels = numbers("labels");
        let (with, without) = labels.split_at(counts.train);
        assert!(with.iter().all(|label| (0..3).contains(label)), "{with:?}");
        assert!(without.iter().all(|label| *label == -1), "{without:?}");
        assert_eq!(numbers("indices"), (0..count as i64).collect::<Vec<_>>());
    }
}

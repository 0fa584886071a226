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

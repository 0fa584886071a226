//! The batches of a run as its settings ask for them: the loader's options, images without identities, and checks that
//! the losses find the pairs that they need.

use crate::config::{self, Config};
use crate::data::folder::Folder;
use crate::data::{Augment, CacheOptions, Erase, Jitter, Loader, LoaderOptions, Sample, SamplerKind};
use crate::{Error, Result};
use std::path::Path;

/// Share of batches or pairs beyond which a lack of pairs is worth a note.
const FEW: f64 = 0.05;

/// The loader's options for a run's training set.
pub(crate) fn loader_options(config: &Config, first_step: u64) -> LoaderOptions {
    let data = &config.data;
    let [height, width] = config.stored_size();
    LoaderOptions {
        input: config.image_input(),
        augment: Augment {
            flip: data.flip,
            pad: if data.crop { data.pad } else { 0 },
            pad_mode: data.pad_mode,
            room: [height.saturating_sub(config.input.height), width.saturating_sub(config.input.width)],
            jitter: Jitter {
                brightness: data.brightness,
                contrast: data.contrast,
                saturation: data.saturation,
            },
            erase: Erase {
                probability: data.erase,
                area: data.erase_area,
                aspect: data.erase_aspect,
                fill: data.erase_fill,
            },
        },
        sampler: match data.sampler {
            config::Sampler::Random => SamplerKind::Random { batch: config.solver.batch },
            config::Sampler::Epochs => SamplerKind::Epochs { batch: config.solver.batch },
            config::Sampler::Pk => SamplerKind::Pk {
                identities: config.solver.batch / data.pk_images,
                images: data.pk_images,
                order: data.pk_order,
            },
            config::Sampler::Pairs => SamplerKind::Pairs {
                pairs: config.solver.batch / 2,
                positive: data.pairs_positive,
                decay: data.pairs_decay,
                least: data.pairs_least,
            },
        },
        seed: config.run.seed,
        first_step,
        threads: data.workers,
        prefetch: data.workers + 2,
        cache: CacheOptions { limit_mib: data.cache_mib, folder: None },
        bad_images: data.bad_images,
    }
}

/// The images of the setting `data.unlabelled`, without identities and cameras.
pub(crate) fn unlabelled_images(folder: &Path) -> Result<Vec<Sample>> {
    if !folder.is_dir() {
        return Err(Error::Data(format!(
            "data.unlabelled: {} is not a folder; give the folder of the images without identities",
            folder.display()
        )));
    }
    let images = Folder::open(folder)?.samples.into_iter();
    Ok(images.map(|sample| Sample { pid: Sample::UNLABELLED, camid: None, ..sample }).collect())
}

/// Checks that batches can hold two images of one person, if the loss needs such pairs.
pub(super) fn require_pairs(config: &Config, loader: &Loader) -> Result<()> {
    match config.loss.of_pairs() {
        Some(loss) if loader.share_without_pairs() >= 1.0 - 1e-9 => Err(Error::Data(format!(
            "no batch can hold two images of one identity, which the {loss} loss needs: add images, so that identities have \
             two or more, or train with the softmax loss alone (loss.{}.weight = 0)",
            loss.replace('-', "_")
        ))),
        _ => Ok(()),
    }
}

/// Notes about pairs that the losses need and that are rare in these batches.
pub(super) fn notes_on_pairs(config: &Config, loader: &Loader) -> impl Iterator<Item = String> {
    note_on_pairs(config, loader).into_iter().chain(note_on_verification(config, loader))
}

/// A note about batches without two images of one person, if there are many.
fn note_on_pairs(config: &Config, loader: &Loader) -> Option<String> {
    let share = loader.share_without_pairs();
    (config.loss.of_pairs().is_some() && share > FEW).then(|| {
        format!(
            "batches: {:.0} % are expected to hold no two images of one identity, so nothing pulls features together \
             there (data.sampler = pk, or a larger solver.batch, gives more pairs)",
            100.0 * share
        )
    })
}

/// A note about a verification loss whose pairs nearly all show two persons.
fn note_on_verification(config: &Config, loader: &Loader) -> Option<String> {
    let share = loader.share_of_equal_pairs();
    (config.loss.verification.weight != 0.0 && share < FEW).then(|| {
        format!(
            "loss.verification: {:.2} % of the pairs are expected to show one person with this data.sampler, so the head \
             sees almost only pairs of two persons (Zheng et al. 2016b begin with one half of each)",
            100.0 * share
        )
    })
}

//! `bcreid synth`: the synthetic data set.

use super::counter::Counter;
use crate::data::synth;
use clap::Args;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;

/// Draw a synthetic pedestrian data set as JPEG files in the Market-1501 layout.
#[derive(Debug, Args)]
pub struct Synth {
    /// The folder for the data set; a new or an empty folder.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    size: Size,
}

/// The size and the seed of the synthetic data set.
#[derive(Clone, Debug, Args)]
pub struct Size {
    /// Seed of the data set; equal seeds give equal files.
    #[arg(long, default_value_t = synth::Synth::default().seed)]
    seed: u64,
    /// Number of training identities.
    #[arg(long, value_name = "N", default_value_t = synth::Synth::default().train_ids)]
    train_ids: usize,
    /// Number of test identities.
    #[arg(long, value_name = "N", default_value_t = synth::Synth::default().test_ids)]
    test_ids: usize,
    /// Number of cameras.
    #[arg(long, value_name = "N", default_value_t = synth::Synth::default().cameras)]
    cameras: usize,
    /// Images of each identity from each camera, a number or a range.
    #[arg(long, value_name = "A..B", default_value = "3..5", value_parser = range)]
    images_per_camera: RangeInclusive<usize>,
    /// Number of distractors: gallery images without a person (pid 0000).
    #[arg(long, value_name = "N", default_value_t = synth::Synth::default().distractors)]
    distractors: usize,
    /// Number of junk images: gallery boxes that miss most of a person (pid -1).
    #[arg(long, value_name = "N", default_value_t = synth::Synth::default().junk)]
    junk: usize,
}

impl Size {
    /// The data set of these options.
    pub fn set(&self) -> synth::Synth {
        synth::Synth {
            seed: self.seed,
            train_ids: self.train_ids,
            test_ids: self.test_ids,
            cameras: self.cameras,
            images_per_camera: self.images_per_camera.clone(),
            distractors: self.distractors,
            junk: self.junk,
            ..synth::Synth::default()
        }
    }
}

/// Parses `4` or `3..5`, ends included.
fn range(text: &str) -> Result<RangeInclusive<usize>, String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| {
        let text = text.trim_start_matches('=');
        text.parse().map_err(|_| format!("{text:?} is not a whole number; write 4 or 3..5"))
    };
    Ok(number(first)?..=number(last)?)
}

impl Synth {
    pub fn run(self) -> crate::Result<ExitCode> {
        let bar = Counter::new("drawing");
        let summary = self.size.set().write(&self.out, |done, total| bar.advance(done, total))?;
        bar.finish();
        super::say(format_args!("{}: {summary}", self.out.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

//! `bcreid synth`.

use crate::Result;
use crate::data::synth;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Draw the made-up pedestrian data set as JPEG files in the Market-1501 layout.
#[derive(Debug, Args)]
pub struct Synth {
    /// The folder to make; it must not exist or be empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    size: Size,
}

/// How large the set is, and which one.
#[derive(Clone, Debug, Args)]
pub struct Size {
    /// Seed; the same one gives the same files.
    #[arg(long, default_value_t = synth::Synth::default().seed)]
    seed: u64,
    /// Persons to train on.
    #[arg(long, value_name = "N", default_value_t = synth::Synth::default().train_ids)]
    train_ids: usize,
    /// Persons to test on.
    #[arg(long, value_name = "N", default_value_t = synth::Synth::default().test_ids)]
    test_ids: usize,
    /// Cameras.
    #[arg(long, value_name = "N", default_value_t = synth::Synth::default().cameras)]
    cameras: usize,
    /// Images of a person under each camera.
    #[arg(long, value_name = "N", default_value_t = synth::Synth::default().images_per_camera)]
    images_per_camera: usize,
}

impl Size {
    /// The set these arguments describe.
    pub fn set(&self) -> synth::Synth {
        synth::Synth {
            seed: self.seed,
            train_ids: self.train_ids,
            test_ids: self.test_ids,
            cameras: self.cameras,
            images_per_camera: self.images_per_camera,
            ..synth::Synth::default()
        }
    }
}

impl Synth {
    pub fn run(self) -> Result<ExitCode> {
        let bar = super::bar("drawing");
        let summary = self.size.set().write(&self.out, |done, total| super::advance(&bar, done, total))?;
        bar.finish_and_clear();
        println!("{}: {summary}", self.out.display());
        Ok(ExitCode::SUCCESS)
    }
}

//! `bcreid extract`.

use super::compute::Compute;
use crate::data::folder::Folder;
use crate::device::Device;
use crate::eval::extract::Extractor;
use crate::export::features::{self, Format};
use crate::weights::Features;
use crate::{Error, Result, tell};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Extract the normalised features of all images in a folder.
#[derive(Debug, Args)]
pub struct Extract {
    /// A run's folder, or a weight file.
    #[arg(long, value_name = "RUN|F.safetensors")]
    weights: PathBuf,
    /// The folder of images. Identity and camera are read from file names that have them.
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// The file to write, by its ending: .safetensors for this program, .npy with a .csv of path,pid,camid beside
    /// it, or .arrow.
    #[arg(long, value_name = "F.safetensors|F.npy|F.arrow")]
    out: PathBuf,
    /// Overwrite the file if it exists.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    how: How,
}

/// How features are extracted.
#[derive(Clone, Debug, Args)]
pub struct How {
    /// Add the feature of the mirrored image before normalising.
    #[arg(long)]
    pub flip: bool,
    /// Images in a forward pass; changes memory and speed, not the result's meaning.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub batch: usize,
    #[command(flatten)]
    pub compute: Compute,
}

impl How {
    /// Succeeds if nothing was asked of an extraction, where features come from files.
    pub fn require_unasked(&self) -> Result<()> {
        if self.flip {
            return Err(Error::Data(
                "--flip: these features are extracted already; give it to bcreid extract".into(),
            ));
        }
        Ok(())
    }

    /// The network in `weights`, ready on `device`.
    pub fn extractor(&self, weights: &std::path::Path, device: &Device) -> Result<Extractor> {
        let extractor = Extractor::load(weights, device)?.with_batch(self.batch)?.with_flip(self.flip);
        if let Some(note) = extractor.note() {
            tell!("{note}");
        }
        Ok(extractor)
    }
}

impl Extract {
    pub fn run(self) -> Result<ExitCode> {
        super::require_room_for_features(&self.out, self.force)?;
        let folder = Folder::open(&self.images)?;
        for note in &folder.notes {
            tell!("{note}");
        }
        let (device, which) = self.how.compute.choose()?;
        let mut extractor = self.how.extractor(&self.weights, &device)?;
        tell!("{which}");
        let bar = super::bar("extracting");
        let mut extract = |to: &Path| {
            extractor.extract_to(to, &folder.samples, |done, total| super::advance(&bar, done, total))?;
            bar.finish_and_clear();
            Features::read(to)
        };
        let features = match Format::of(&self.out)? {
            Format::Safetensors => extract(&self.out)?,
            _ => {
                // Through a file, because features may be larger than the memory.
                let around = super::folder_of(&self.out);
                let draft = tempfile::Builder::new().prefix(".bcreid-").suffix(".tmp").tempdir_in(around);
                let draft = draft.map_err(|e| Error::io(&self.out)(e.kind().into()))?;
                let file = draft.path().join("features.safetensors");
                let features = extract(&file).map_err(|e| match e {
                    Error::Io { path, source } if path == file => Error::io(&self.out)(source),
                    other => other,
                })?;
                features::write(&features, &self.out)?;
                features
            }
        };
        super::say_features(&features, &self.out)?;
        Ok(ExitCode::SUCCESS)
    }
}

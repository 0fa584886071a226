//! `bcreid extract`: feature extraction from a folder of images.

use super::compute::Compute;
use super::counter::Counter;
use crate::data::folder::Folder;
use crate::device::Device;
use crate::eval::extract::Extractor;
use crate::export::features::{self, Format};
use crate::files::{Temporary, follow};
use crate::weights::Features;
use crate::{Error, Result, note, tell};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Extract the normalised features of all images in a folder.
#[derive(Debug, Args)]
pub struct Extract {
    /// A run folder or a weight file.
    #[arg(long, value_name = "RUN|F.safetensors")]
    weights: PathBuf,
    /// The folder of images. Identity and camera are read from the file names where possible.
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// The file to write. Its extension sets the format: .safetensors for this program, .npy with a .csv of
    /// path,pid,camid beside it, or .arrow.
    #[arg(long, value_name = "F.safetensors|F.npy|F.arrow")]
    out: PathBuf,
    /// Overwrite the file if it exists.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    how: How,
}

/// Options of feature extraction.
#[derive(Clone, Debug, Args)]
pub struct How {
    /// Add the feature of the mirrored image before normalising.
    #[arg(long)]
    pub flip: bool,
    /// Images in a forward pass; affects memory and speed.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub batch: usize,
    #[command(flatten)]
    pub compute: Compute,
}

impl How {
    /// Refuses --flip for features that are read from files.
    pub fn refuse_for_files(&self) -> Result<()> {
        if self.flip {
            return Err(Error::Data(
                "--flip: the features of these files are extracted already; give --flip to bcreid extract"
                    .into(),
            ));
        }
        Ok(())
    }

    /// An extractor with the network of `weights` on `device`.
    pub fn extractor(&self, weights: &std::path::Path, device: &Device) -> Result<Extractor> {
        let extractor = Extractor::load(weights, device)?.with_batch(self.batch)?.with_flip(self.flip);
        if let Some(note) = extractor.note() {
            tell!("{note}");
        }
        Ok(extractor)
    }
}

impl Extract {
    pub fn run(mut self) -> Result<ExitCode> {
        self.out = follow(&self.out)?;
        super::require_room_for_features(&self.out, self.force)?;
        let folder = Folder::open(&self.images)?;
        for note in &folder.notes {
            tell!("{note}");
        }
        let (device, which) = self.how.compute.choose()?;
        let mut extractor = self.how.extractor(&self.weights, &device)?;
        note!("{which}");
        let bar = Counter::new("extracting");
        let mut extract = |to: &Path| {
            extractor.extract_to(to, &folder.samples, |done, total| bar.advance(done, total))?;
            bar.finish();
            Features::read(to)
        };
        let features = match Format::of(&self.out)? {
            Format::Safetensors => extract(&self.out)?,
            _ => {
                // A temporary file holds the features, because they may be larger than the memory.
                let around = super::output::folder_of(&self.out);
                let draft = tempfile::Builder::new().prefix(".bcreid-").suffix(".tmp").tempdir_in(around);
                let draft = draft.map_err(|e| Error::io(&self.out)(e.kind().into()))?;
                let _registered = Temporary::register(draft.path());
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

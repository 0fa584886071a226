//! `bcreid extract`: feature extraction from a folder of images.

use super::compute::Compute;
use super::counter::Counter;
use super::data::Opening;
use super::shard::Shard;
use crate::command_help::require_new;
use crate::console::counted;
use crate::data::folder::Folder;
use crate::data::{BadImages, Dataset, Labels, Part, Sample};
use crate::device::Device;
use crate::eval::extract::Extractor;
use crate::export::features::{self, Format};
use crate::files::{Temporary, follow, inside, write_atomically};
use crate::weights::Features;
use crate::{Error, Result, note, tell};
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Extract the normalised features of all images in a folder.
#[derive(Debug, Args)]
pub struct Extract {
    /// A run folder or a weight file.
    #[arg(long, visible_alias = "run", value_name = "RUN|F.safetensors")]
    weights: PathBuf,
    /// The folder of images. Identity and camera are read from the file names where possible.
    #[arg(long, value_name = "DIR", required_unless_present = "data", conflicts_with = "data")]
    images: Option<PathBuf>,
    /// A data set, whose layout gives identities and cameras, in place of --images; requires --part.
    #[arg(long, value_name = "DIR", requires = "part")]
    data: Option<PathBuf>,
    /// The part of the data set.
    #[arg(long, value_name = "PART", value_enum, requires = "data", conflicts_with = "images")]
    part: Option<Part>,
    #[command(flatten)]
    opening: Opening,
    /// Extract part K of N of the images, into a file of its own: gallery-00003-of-00008.arrow with --out gallery.arrow
    /// --shard 3/8. The parts together have the features of one extraction, bit for bit. Under mpirun, srun or torchrun
    /// rank r of N takes part r + 1.
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,
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

/// The values of the flag. The library itself does not use clap.
impl ValueEnum for Part {
    fn value_variants<'a>() -> &'a [Self] {
        &[Part::Train, Part::Query, Part::Gallery]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Part::Train => "train",
            Part::Query => "query",
            Part::Gallery => "gallery",
        }))
    }
}

impl ValueEnum for BadImages {
    fn value_variants<'a>() -> &'a [Self] {
        &[BadImages::Refuse, BadImages::Skip]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            BadImages::Refuse => "refuse",
            BadImages::Skip => "skip",
        }))
    }
}

/// Options of feature extraction.
#[derive(Clone, Debug, Args)]
pub struct How {
    /// Add the feature of the mirrored image before normalising.
    #[arg(long)]
    pub flip: bool,
    /// Images in a forward pass; affects memory and speed (default: 32 of 256 x 128, fewer larger ones).
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Unreadable images: refuse (stop with an error), or skip (leave them out and list them).
    #[arg(long, value_name = "refuse|skip", value_enum, default_value_t = BadImages::Refuse)]
    pub bad_images: BadImages,
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

    /// The list of left-out images beside the features `out`; none if unreadable images are refused.
    ///
    /// # Errors
    /// An existing list without --force; a symbolic link in its place.
    pub fn list_of_skipped(&self, out: &Path, force: bool) -> Result<Option<PathBuf>> {
        if self.bad_images == BadImages::Refuse {
            return Ok(None);
        }
        let mut name = out.file_name().unwrap_or_default().to_os_string();
        name.push(".skipped.txt");
        // The program chose this name, so that it is not written through a link; before the work, not behind it.
        let list = inside(super::output::folder_of(out), name)?;
        require_new(&list, force)?;
        Ok(Some(list))
    }

    /// An extractor with the network of `weights` on `device`.
    pub fn extractor(&self, weights: &std::path::Path, device: &Device) -> Result<Extractor> {
        let extractor = Extractor::load(weights, device)?.with_flip(self.flip);
        let extractor = match self.batch {
            Some(batch) => extractor.with_batch(batch)?,
            None => extractor,
        };
        let extractor = extractor.with_bad_images(self.bad_images);
        if let Some(note) = extractor.note() {
            tell!("{note}");
        }
        Ok(extractor)
    }
}

/// The images of an extraction.
enum Images {
    Folder(Folder),
    Part(Box<Dataset>, Part),
}

impl Extract {
    /// The images, after all notes about them.
    fn images(&self) -> Result<Images> {
        self.opening.require_data(self.data.is_some())?;
        if let (Some(data), Some(part)) = (&self.data, self.part) {
            let dataset = self.opening.open(data)?;
            dataset.require_part(part)?;
            super::tell_notes(&dataset.notes);
            return Ok(Images::Part(Box::new(dataset), part));
        }
        let Some(images) = &self.images else {
            return Err(Error::Data("extract needs --images DIR, or --data DIR with --part".into()));
        };
        let folder = Folder::open(images)?;
        super::tell_notes(&folder.notes);
        Ok(Images::Folder(folder))
    }

    pub fn run(mut self) -> Result<ExitCode> {
        let shard = match self.shard {
            Some(_) if Shard::of_rank()?.is_some() => {
                return Err(Error::Config(
                    "--shard: the ranks of a launcher take a shard each; leave --shard out, or start one process".into(),
                ));
            }
            Some(shard) => Some(shard),
            None => Shard::of_rank()?,
        };
        if let Some(shard) = shard {
            self.out = shard.file(&self.out);
        }
        self.out = follow(&self.out)?;
        super::require_room_for_features(&self.out, self.force, &[&self.weights])?;
        let list = self.how.list_of_skipped(&self.out, self.force)?;
        let images = self.images()?;
        let (device, which) = self.how.compute.choose()?;
        let mut extractor = self.how.extractor(&self.weights, &device)?;
        note!("{which}");
        let batch = extractor.batch();
        let of_shard = |samples: &'_ [Sample]| match shard {
            Some(shard) => shard.images(samples.len(), batch),
            None => Ok(0..samples.len()),
        };
        let mut extract = |to: &Path| {
            let bar = Counter::new("extracting");
            let advance = |done, total| bar.advance(done, total);
            match &images {
                Images::Folder(folder) => {
                    let samples = &folder.samples[of_shard(&folder.samples)?];
                    extractor.extract_to(to, samples, &Labels::default(), advance)?;
                }
                Images::Part(dataset, part) if dataset.part(*part).1.is_some() => {
                    if shard.is_some() {
                        return Err(Error::Data(
                            "the features of this part are means over tracklets, which shards would cut; extract it in one \
                             process, without --shard and without a launcher"
                                .into(),
                        ));
                    }
                    extractor.extract_part(dataset, *part, advance)?.write(to)?;
                }
                Images::Part(dataset, part) => {
                    let samples = dataset.part(*part).0;
                    extractor.extract_to(to, &samples[of_shard(samples)?], &dataset.labels, advance)?;
                }
            }
            bar.finish();
            Features::read(to)
        };
        let features = match Format::of(&self.out)? {
            Format::Safetensors => extract(&self.out)?,
            _ => {
                // A temporary file holds the features, because they may be larger than the memory.
                let around = super::output::folder_of(&self.out);
                let draft = || tempfile::Builder::new().prefix(".bcreid-").suffix(".tmp").tempdir_in(around);
                let created = Temporary::create(draft);
                let (draft, _registered) = created.map_err(|e| Error::io(&self.out)(e.kind().into()))?;
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
        let skipped = extractor.take_skipped();
        let Some(list) = list else { return Ok(ExitCode::SUCCESS) };
        if skipped.is_empty() && list.exists() {
            // With --force; it is of the features that were overwritten.
            std::fs::remove_file(&list).map_err(Error::io(&list))?;
        }
        if let Some(first) = skipped.first() {
            write_atomically(&list, |w| w.write_all((skipped.join("\n") + "\n").as_bytes()))?;
            let images = counted(skipped.len(), "unreadable image");
            super::say(format_args!("left out {images}, listed in {} (the first: {first})", list.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

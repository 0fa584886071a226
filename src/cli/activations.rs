//! `bcreid activations`: activation maps of images as files.

use super::counter::Counter;
use super::extract::How;
use super::output;
use crate::console::counted;
use crate::data::decode::{self, Rgb};
use crate::data::folder::Folder;
use crate::data::resize::Resizer;
use crate::files::{inside, write_atomically};
use crate::report::{heat, png};
use crate::{Error, Result, note, tell};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Longest side of a written picture, in pixels; larger images are shrunk.
const LONGEST: usize = 512;

/// Draw where a network responds to images: the sum of the squared channels of its last feature map, over each image.
///
/// The parts that bring two images near each other are drawn by `bcreid query --out FILE --maps`.
#[derive(Debug, Args)]
pub struct Activations {
    /// A run folder or a weight file.
    #[arg(long, value_name = "RUN|F.safetensors")]
    weights: PathBuf,
    /// The folder of images, or one image.
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// The folder to write to: for each image a file of the same name with .png added, in the same sub-folders.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Overwrite files that exist.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    how: How,
}

impl Activations {
    pub fn run(self) -> Result<ExitCode> {
        if self.how.flip {
            return Err(Error::Data("--flip: a map is of one image, and not of two; leave it out".into()));
        }
        let folder = Folder::open(&self.images)?;
        let images: Vec<PathBuf> = folder.samples.into_iter().map(|sample| sample.path).collect();
        let targets = images.iter().map(|image| self.target(image)).collect::<Result<Vec<_>>>()?;
        targets.iter().try_for_each(|target| output::require_new(target, self.force))?;
        let (device, which) = self.how.compute.choose()?;
        let mut extractor = self.how.extractor(&self.weights, &device)?;
        note!("{which}");
        let bar = Counter::new("activations");
        let (mut done, mut drawn, all) = (0, 0, images.len());
        let batch = extractor.batch();
        for (images, targets) in images.chunks(batch).zip(targets.chunks(batch)) {
            let maps = extractor.feature_maps(images.to_vec())?;
            drawn += maps.len();
            for (index, map) in maps {
                let (image, target) = (&images[index], &targets[index]);
                let folder = output::folder_of(target);
                std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
                let bytes = png::encode_rgb(heat::over(&picture(image)?, &map.strength()))?;
                write_atomically(target, |writer| writer.write_all(&bytes))?;
            }
            done += images.len();
            bar.advance(done, all);
        }
        bar.finish();
        let skipped = extractor.take_skipped();
        skipped.iter().for_each(|line| tell!("left out: {line}"));
        if drawn == 0 {
            return Err(Error::Data(format!(
                "none of {} can be read, so no map is drawn",
                counted(all, "image")
            )));
        }
        super::say(format_args!("{}: {}", self.out.display(), counted(drawn, "map")))?;
        Ok(ExitCode::SUCCESS)
    }

    /// The file of an image's map.
    fn target(&self, image: &Path) -> Result<PathBuf> {
        let within = image.strip_prefix(&self.images).ok().filter(|path| path.file_name().is_some());
        let within = within.or(image.file_name().map(Path::new)).unwrap_or(image);
        let mut name = within.as_os_str().to_owned();
        name.push(".png");
        inside(&self.out, PathBuf::from(name))
    }
}

/// An image in its own size, or shrunk to [`LONGEST`].
fn picture(image: &Path) -> Result<Rgb> {
    let picture = decode::read(image)?;
    let longest = picture.width.max(picture.height);
    if longest <= LONGEST {
        return Ok(picture.clone());
    }
    let side = |pixels: usize| (pixels * LONGEST / longest).max(1);
    let (width, height) = (side(picture.width), side(picture.height));
    let mut pixels = vec![0; width * height * 3];
    Resizer::default().resize(&picture, height, width, &mut pixels);
    Ok(Rgb { width, height, pixels })
}

//! `bcreid activations`: activation maps of images as files.

use super::counter::Counter;
use super::extract::How;
use super::output;
use crate::command_help::{require_new, require_outside};
use crate::console::counted;
use crate::data::BadImages;
use crate::data::decode::{self, Rgb};
use crate::data::folder::Folder;
use crate::data::resize::Resizer;
use crate::eval::activation::{Heat, Pair};
use crate::eval::extract::Extractor;
use crate::export::features::write_matrix;
use crate::files::{inside, write_atomically};
use crate::report::{heat, png};
use crate::{Error, Result, note, tell};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Longest side of a written picture, in pixels; larger images are shrunk.
const LONGEST: usize = 512;

/// Names of the files of --pair, for the first and the second image.
const PAIR: [&str; 2] = ["first", "second"];

/// Draw where a network responds to images, or what brings two images near each other.
///
/// --images draws the sum of the squared channels of the last feature map over each image. --pair draws Grad-CAM of the
/// distance between the features of two images over both of them. The latter is drawn for the images of a ranked list
/// by `bcreid query --out FILE --maps`.
#[derive(Debug, Args)]
pub struct Activations {
    /// A run folder or a weight file.
    #[arg(long, visible_alias = "run", value_name = "RUN|F.safetensors")]
    weights: PathBuf,
    /// The folder of images, or one image.
    #[arg(long, value_name = "DIR", required_unless_present = "pair", conflicts_with = "pair")]
    images: Option<PathBuf>,
    /// Two images: what brings each near the other.
    #[arg(long, value_names = ["A", "B"], num_args = 2)]
    pair: Vec<PathBuf>,
    /// The folder to write to. --images: for each image a file of the same name with .png added, in the same
    /// sub-folders. --pair: first.png and second.png, and the values of the maps as first.npy and second.npy.
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
        if self.how.bad_images == BadImages::Skip && !self.pair.is_empty() {
            return Err(Error::Data("--bad-images skip: a pair needs both images; leave it out".into()));
        }
        if self.out.exists() && !self.out.is_dir() {
            return Err(Error::Data(format!("--out {}: not a folder; give a folder", self.out.display())));
        }
        match (&self.images, &self.pair[..]) {
            (Some(images), []) => {
                require_outside(&self.out, [("--images", images.as_path())])?;
                self.draw_images(images)?;
            }
            (None, [first, second]) => self.draw_pair([first, second])?,
            _ => return Err(Error::Data("activations needs --images DIR, or --pair A B".into())),
        }
        Ok(ExitCode::SUCCESS)
    }

    fn draw_images(&self, root: &Path) -> Result<()> {
        let folder = Folder::open(root)?;
        let images: Vec<PathBuf> = folder.samples.into_iter().map(|sample| sample.path).collect();
        let targets = images.iter().map(|image| self.target(root, image)).collect::<Result<Vec<_>>>()?;
        targets.iter().try_for_each(|target| require_new(target, self.force))?;
        let mut extractor = self.extractor()?;
        let bar = Counter::new("activations");
        let (mut done, mut drawn, all) = (0, 0, images.len());
        let batch = extractor.batch();
        for (images, targets) in images.chunks(batch).zip(targets.chunks(batch)) {
            let maps = extractor.feature_maps(images.to_vec())?;
            drawn += maps.len();
            for (index, map) in maps {
                draw(&images[index], &map.strength(), &targets[index])?;
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
        super::say(format_args!("{}: {}", self.out.display(), counted(drawn, "map")))
    }

    fn draw_pair(&self, images: [&PathBuf; 2]) -> Result<()> {
        let files = |ending: &str| -> Result<Vec<PathBuf>> {
            let targets = PAIR.iter().map(|name| inside(&self.out, format!("{name}.{ending}")));
            let targets = targets.collect::<Result<Vec<_>>>()?;
            targets.iter().try_for_each(|target| require_new(target, self.force))?;
            Ok(targets)
        };
        super::require_images("--pair", images)?;
        let (pictures, values) = (files("png")?, files("npy")?);
        let mut extractor = self.extractor()?;
        let maps = extractor.feature_maps(images.map(PathBuf::clone).to_vec())?;
        let [(_, first), (_, second)] = &maps[..] else { unreachable!("one map for each image") };
        let pair = Pair::of(first, second)?;
        for (((image, heat), picture), values) in
            images.into_iter().zip(&pair.similarity).zip(&pictures).zip(&values)
        {
            draw(image, heat, picture)?;
            write_matrix(&heat.values, heat.width, values)?;
        }
        let [a, b] = images.map(|image| image.display());
        super::say(format_args!("distance {:.4} between {a} and {b}", pair.distance))?;
        if pair.similarity.iter().all(|heat| heat.values.iter().all(|value| *value == 0.0)) {
            tell!("the maps are empty: no place of either image brings it nearer to the other");
        }
        let names: Vec<String> =
            pictures.iter().chain(&values).map(|file| file.display().to_string()).collect();
        super::say(names.join(", "))
    }

    fn extractor(&self) -> Result<Extractor> {
        let (device, which) = self.how.compute.choose()?;
        let extractor = self.how.extractor(&self.weights, &device)?;
        note!("{which}");
        Ok(extractor)
    }

    /// The file of an image's map.
    fn target(&self, root: &Path, image: &Path) -> Result<PathBuf> {
        let within = image.strip_prefix(root).ok().filter(|path| path.file_name().is_some());
        let within = within.or(image.file_name().map(Path::new)).unwrap_or(image);
        let mut name = within.as_os_str().to_owned();
        name.push(".png");
        inside(&self.out, PathBuf::from(name))
    }
}

/// Writes a map over its image.
fn draw(image: &Path, heat: &Heat, target: &Path) -> Result<()> {
    let folder = output::folder_of(target);
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let bytes = png::encode_rgb(heat::over(&picture(image)?, heat))?;
    write_atomically(target, |writer| writer.write_all(&bytes))
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

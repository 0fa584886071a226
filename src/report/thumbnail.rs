//! Thumbnails, embedded in the page.

use crate::data::decode::{self, Rgb};
use crate::data::resize::Resizer;
use crate::eval::image_folders::{Absent, ImageFolders};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest height and width of a thumbnail, in pixels.
const BOX: usize = 128;
/// JPEG quality: persons stay recognisable, and an image of 128 x 64 has about 2 kB.
const QUALITY: u8 = 75;

/// A thumbnail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// Data URI, `data:image/jpeg;base64,...`.
    pub uri: String,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
}

/// A thumbnail, or the reason why the image cannot be read.
pub type ThumbnailResult = Result<Arc<Thumbnail>, String>;

/// Thumbnails by path; each is made once.
#[derive(Debug)]
pub struct Thumbnails {
    made: HashMap<String, ThumbnailResult>,
    folders: ImageFolders,
}

impl Thumbnails {
    /// Creates an empty set, for images in `folders`.
    pub fn new(folders: ImageFolders) -> Self {
        Thumbnails { made: HashMap::new(), folders }
    }

    /// Makes the missing thumbnails of `paths`, on all threads.
    pub fn make<'a>(&mut self, paths: impl Iterator<Item = &'a str>) {
        let missing: BTreeSet<&str> = paths.filter(|path| !self.made.contains_key(*path)).collect();
        let missing: Vec<&str> = missing.into_iter().collect();
        let make = |path: &&str| (path.to_string(), thumbnail(path, &self.folders).map(Arc::new));
        let made: Vec<(String, ThumbnailResult)> = missing.par_iter().map(make).collect();
        self.made.extend(made);
    }

    /// The thumbnail of an image; an error without a path and for paths that were not made.
    pub fn get(&self, path: Option<&str>) -> ThumbnailResult {
        let unknown = || Err("the evaluation does not say where the image is".to_string());
        path.and_then(|path| self.made.get(path).cloned()).unwrap_or_else(unknown)
    }

    /// A picture in the size of its thumbnail, with its file; `None` for an image that may not or cannot be read.
    pub fn picture(&self, path: &str) -> Option<(PathBuf, Rgb)> {
        let (file, _) = self.folders.find(Path::new(path)).ok()?;
        let picture = decode::read(&file).ok()?;
        Some((file, shrunk(&picture)))
    }

    /// The folders of the images.
    pub fn folders(&self) -> &ImageFolders {
        &self.folders
    }
}

fn thumbnail(path: &str, folders: &ImageFolders) -> Result<Thumbnail, String> {
    let shown = folders.shown_path(Path::new(path));
    let (file, _) = folders.find(Path::new(path)).map_err(|absent| match absent {
        Absent::Missing => format!("{shown}: no such file"),
        Absent::Outside => {
            format!("{shown}: left out, because it is not in a folder of the evaluation's images")
        }
    })?;
    let failed = |why: String| why.replace(&file.display().to_string(), &shown);
    let picture = decode::read(&file).map_err(|e| failed(e.to_string()))?;
    encode(&picture).map_err(|e| format!("{shown}: {e}"))
}

/// Shrinks a picture into [`BOX`]. Pictures are not enlarged, and each side has at least one pixel.
fn shrunk(picture: &Rgb) -> Rgb {
    let scale = (BOX as f64 / picture.height as f64).min(BOX as f64 / picture.width as f64).min(1.0);
    let side = |pixels: usize| ((pixels as f64 * scale).round() as usize).clamp(1, BOX);
    let (width, height) = (side(picture.width), side(picture.height));
    let mut pixels = vec![0; width * height * 3];
    Resizer::default().resize(picture, height, width, &mut pixels);
    Rgb { width, height, pixels }
}

/// The thumbnail of a picture.
///
/// # Errors
/// An error of the encoder.
pub(super) fn encode(picture: &Rgb) -> Result<Thumbnail, image::ImageError> {
    let Rgb { width, height, pixels: small } = shrunk(picture);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode(
        &small,
        width as u32,
        height as u32,
        image::ExtendedColorType::Rgb8,
    )?;
    Ok(Thumbnail { uri: format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)), width, height })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_fit_into_the_box_and_are_not_enlarged() {
        for ((height, width), small) in
            [((128, 64), (128, 64)), ((256, 128), (128, 64)), ((40, 20), (40, 20)), ((10, 4000), (1, 128))]
        {
            let thumbnail = encode(&Rgb { width, height, pixels: vec![90; width * height * 3] }).unwrap();
            assert_eq!((thumbnail.height, thumbnail.width), small);
            let bytes =
                STANDARD.decode(thumbnail.uri.strip_prefix("data:image/jpeg;base64,").unwrap()).unwrap();
            let back = decode::decode(&bytes).unwrap();
            assert_eq!((back.height, back.width), small);
        }
    }
}

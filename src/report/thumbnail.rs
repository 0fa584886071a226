//! Thumbnails, embedded in the page.

use crate::data::decode::{self, Rgb};
use crate::data::resize::Resizer;
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
#[derive(Debug, Default)]
pub struct Thumbnails {
    made: HashMap<String, ThumbnailResult>,
    /// Folder in which images are searched that are missing at their path.
    folder: Option<PathBuf>,
}

impl Thumbnails {
    /// Creates an empty set. `folder` is searched for images that are missing at their path: first for the whole path,
    /// then for ever shorter ends of it.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Thumbnails { made: HashMap::new(), folder }
    }

    /// Makes the missing thumbnails of `paths`, on all threads.
    pub fn make<'a>(&mut self, paths: impl Iterator<Item = &'a str>) {
        let missing: BTreeSet<&str> = paths.filter(|path| !self.made.contains_key(*path)).collect();
        let missing: Vec<&str> = missing.into_iter().collect();
        let folder = self.folder.as_deref();
        let make = |path: &&str| (path.to_string(), thumbnail(path, folder).map(Arc::new));
        let made: Vec<(String, ThumbnailResult)> = missing.par_iter().map(make).collect();
        self.made.extend(made);
    }

    /// The thumbnail of an image; an error without a path and for paths that were not made.
    pub fn get(&self, path: Option<&str>) -> ThumbnailResult {
        let unknown = || Err("the evaluation does not say where the image is".to_string());
        path.and_then(|path| self.made.get(path).cloned()).unwrap_or_else(unknown)
    }
}

fn thumbnail(path: &str, folder: Option<&Path>) -> Result<Thumbnail, String> {
    let path = find(Path::new(path), folder);
    let picture = decode::read(&path).map_err(|e| e.to_string())?;
    encode(&picture).map_err(|e| format!("{}: {e}", path.display()))
}

/// `path` if it exists, else the longest end of it that exists in `folder`.
fn find(path: &Path, folder: Option<&Path>) -> PathBuf {
    let Some(folder) = folder.filter(|_| !path.exists()) else { return path.to_path_buf() };
    let parts: Vec<_> = path.components().filter(|c| matches!(c, std::path::Component::Normal(_))).collect();
    let end = |from: usize| parts[from..].iter().fold(folder.to_path_buf(), |whole, part| whole.join(part));
    let found = (0..parts.len()).map(end).find(|candidate| candidate.is_file());
    found.unwrap_or_else(|| path.to_path_buf())
}

fn encode(picture: &Rgb) -> Result<Thumbnail, image::ImageError> {
    // Pictures are not enlarged, and each side has at least one pixel.
    let scale = (BOX as f64 / picture.height as f64).min(BOX as f64 / picture.width as f64).min(1.0);
    let side = |pixels: usize| ((pixels as f64 * scale).round() as usize).clamp(1, BOX);
    let (width, height) = (side(picture.width), side(picture.height));
    let mut small = vec![0; width * height * 3];
    Resizer::default().resize(picture, height, width, &mut small);
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

    #[test]
    fn moved_images_are_found_by_the_end_of_their_path() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("query")).unwrap();
        let image = folder.path().join("query/0001_c1.jpg");
        std::fs::write(&image, b"x").unwrap();
        let old = Path::new("/elsewhere/market/query/0001_c1.jpg");
        assert_eq!(find(old, Some(folder.path())), image);
        assert_eq!(find(old, None), old);
        assert_eq!(
            find(Path::new("/elsewhere/../../x.jpg"), Some(folder.path())),
            Path::new("/elsewhere/../../x.jpg")
        );
        assert_eq!(find(&image, Some(Path::new("/nowhere"))), image);
    }
}

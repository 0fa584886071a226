//! Images made small and put into the page itself.

use crate::data::decode::{self, Rgb};
use crate::data::resize::Resizer;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest height and width.
const BOX: usize = 128;
/// Of the JPEG encoder: clear enough to tell persons apart, about 2 kB an image of 128 x 64.
const QUALITY: u8 = 75;

/// A small picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// `data:image/jpeg;base64,...`.
    pub uri: String,
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
}

/// A thumbnail, or why there is none.
pub type Made = Result<Arc<Thumbnail>, String>;

/// Makes thumbnails, each image's once.
#[derive(Debug, Default)]
pub struct Thumbnails {
    made: HashMap<String, Made>,
    /// Where images are looked for that are not where their path says.
    folder: Option<PathBuf>,
}

impl Thumbnails {
    /// `folder` is searched for images that are not where their path says: with the whole of their path, then with ever
    /// less of its beginning.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Thumbnails { made: HashMap::new(), folder }
    }

    /// Makes those of `paths` that are not made yet, on all threads.
    pub fn make<'a>(&mut self, paths: impl Iterator<Item = &'a str>) {
        let missing: BTreeSet<&str> = paths.filter(|path| !self.made.contains_key(*path)).collect();
        let missing: Vec<&str> = missing.into_iter().collect();
        let folder = self.folder.as_deref();
        let make = |path: &&str| (path.to_string(), thumbnail(path, folder).map(Arc::new));
        let made: Vec<(String, Made)> = missing.par_iter().map(make).collect();
        self.made.extend(made);
    }

    /// The thumbnail of an image; one that was never asked for counts as unknown.
    pub fn get(&self, path: Option<&str>) -> Made {
        let unknown = || Err("the evaluation does not say where the image is".to_string());
        path.and_then(|path| self.made.get(path).cloned()).unwrap_or_else(unknown)
    }
}

fn thumbnail(path: &str, folder: Option<&Path>) -> Result<Thumbnail, String> {
    let path = find(Path::new(path), folder);
    let picture = decode::read(&path).map_err(|e| e.to_string())?;
    encode(&picture).map_err(|e| format!("{}: {e}", path.display()))
}

/// The path itself if there is something, else the longest end of it that exists in `folder`.
fn find(path: &Path, folder: Option<&Path>) -> PathBuf {
    let Some(folder) = folder.filter(|_| !path.exists()) else { return path.to_path_buf() };
    let parts: Vec<_> = path.components().filter(|c| matches!(c, std::path::Component::Normal(_))).collect();
    let end = |from: usize| parts[from..].iter().fold(folder.to_path_buf(), |whole, part| whole.join(part));
    let found = (0..parts.len()).map(end).find(|candidate| candidate.is_file());
    found.unwrap_or_else(|| path.to_path_buf())
}

fn encode(picture: &Rgb) -> Result<Thumbnail, image::ImageError> {
    // Never enlarged, and at least a pixel of each side.
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

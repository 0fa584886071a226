//! Features for TensorBoard's embedding projector: the points, their labels and a sheet of small images.
//!
//! ```text
//! FOLDER/projector_config.pbtxt          names the other files
//! FOLDER/projector/NAME/tensors.tsv      one feature a line
//! FOLDER/projector/NAME/metadata.tsv     pid, camera, part and image of each feature
//! FOLDER/projector/NAME/sprite.png       the images, row by row; grey where one cannot be read
//! ```
//!
//! The projector has principal components, t-SNE and UMAP of its own.

use crate::data::decode;
use crate::data::resize::Resizer;
use crate::error::printable;
use crate::eval::image_folders::ImageFolders;
use crate::eval::stored_evaluation::StoredEvaluation;
use crate::files::{make_inside, write_atomically};
use crate::weights::Features;
use crate::{Error, Result};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{Rgb, RgbImage};
use rayon::prelude::*;
use std::fmt::Write;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

/// Largest number of images of an evaluation; of more, every k-th is written. 2,000 features of 2,048 values take some
/// 45 MB as text.
pub const MOST: usize = 2000;
/// Width and height of an image in the sheet. 2,000 images fit into 1,440 x 2,880 pixels; TensorBoard takes 8,192.
const IMAGE: [u32; 2] = [32, 64];
const MISSING: Rgb<u8> = Rgb([0xdd, 0xe0, 0xe4]);
/// Name of the file that TensorBoard looks for.
const CONFIG: &str = "projector_config.pbtxt";

/// The files of one evaluation in the projector, as the configuration names them.
#[derive(Debug)]
pub struct Written {
    name: String,
    folder: String,
    /// Number of images.
    pub images: usize,
}

/// An image of the projector.
struct Row<'a> {
    features: &'a Features,
    row: usize,
    part: &'static str,
}

/// Writes the features of an evaluation below `folder`, with images in `folders`, beside those `earlier`.
///
/// # Errors
/// An error of the file system; a folder that is a symbolic link.
pub fn write(
    folder: &Path,
    stored: &StoredEvaluation,
    folders: &ImageFolders,
    earlier: &[Written],
) -> Result<Written> {
    let name = folder_of(&stored.name, earlier);
    make_inside(folder, "projector")?;
    let target = make_inside(folder, &name)?;
    let rows = rows(stored);
    write_atomically(&target.join("tensors.tsv"), |out| tensors(out, &rows))?;
    write_atomically(&target.join("metadata.tsv"), |out| out.write_all(metadata(&rows, folders).as_bytes()))?;
    let png = sprite(&rows, folders)
        .map_err(|e| Error::Run(format!("the projector's images cannot be encoded: {e}")))?;
    write_atomically(&target.join("sprite.png"), |out| out.write_all(&png))?;
    Ok(Written { name: stored.name.clone(), folder: name, images: rows.len() })
}

/// The folder of an evaluation `name`: plain characters, and a number behind it if an earlier one has that folder,
/// because two names may differ in characters that were replaced.
fn folder_of(name: &str, earlier: &[Written]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '_' };
    let name: String = name.chars().map(plain).collect();
    let name = format!("projector/{}", name.trim_start_matches('.'));
    let is_free = |name: &String| !name.ends_with('/') && earlier.iter().all(|other| other.folder != *name);
    let numbered = (2u64..).map(|number| format!("{name}_{number}"));
    std::iter::once(name.clone()).chain(numbered).find(is_free).expect("numbers do not end")
}

/// Writes the configuration that names the files of all evaluations.
///
/// # Errors
/// An error of the file system.
pub fn write_config(folder: &Path, all: &[Written]) -> Result<PathBuf> {
    let mut text = String::new();
    for Written { name, folder, .. } in all {
        // A text of protocol buffers: quotes and backslashes are escaped, and no control character is left.
        let name = printable(name).replace('\\', "\\\\").replace('"', "\\\"");
        let [width, height] = IMAGE;
        let _ = writeln!(
            text,
            "embeddings {{\n  tensor_name: \"{name}\"\n  tensor_path: \"{folder}/tensors.tsv\"\n  metadata_path: \
             \"{folder}/metadata.tsv\"\n  sprite {{\n    image_path: \"{folder}/sprite.png\"\n    single_image_dim: \
             {width}\n    single_image_dim: {height}\n  }}\n}}"
        );
    }
    let file = folder.join(CONFIG);
    write_atomically(&file, |out| out.write_all(text.as_bytes()))?;
    Ok(file)
}

/// The queries and the gallery without junk, thinned evenly.
fn rows(stored: &StoredEvaluation) -> Vec<Row<'_>> {
    let of = |features, part| {
        let features: &Features = features;
        let rows = (0..features.len()).filter(move |row| features.pids()[*row] != -1);
        rows.map(move |row| Row { features, row, part })
    };
    let all: Vec<Row<'_>> = of(&stored.query, "query").chain(of(&stored.gallery, "gallery")).collect();
    let stride = all.len().div_ceil(MOST).max(1);
    all.into_iter().step_by(stride).collect()
}

fn tensors(out: &mut dyn io::Write, rows: &[Row<'_>]) -> io::Result<()> {
    for Row { features, row, .. } in rows {
        let values: Vec<String> = features.row(*row).iter().map(f32::to_string).collect();
        writeln!(out, "{}", values.join("\t"))?;
    }
    Ok(())
}

fn metadata(rows: &[Row<'_>], folders: &ImageFolders) -> String {
    let mut text = String::from("pid\tcamera\tpart\timage\n");
    for Row { features, row, part } in rows {
        let camera = match features.camids()[*row] {
            -1 => "?".to_string(),
            camid => printable(&features.labels().camera(camid)),
        };
        let pid = printable(&features.labels().pid(features.pids()[*row]));
        // A tab or a line break in a name would begin another column or line.
        let image = features.paths().get(*row).map(|path| printable(&folders.shown_path(Path::new(path))));
        let image = image.unwrap_or_else(|| "?".into());
        let _ = writeln!(text, "{pid}\t{camera}\t{part}\t{image}");
    }
    text
}

/// The images in a square of rows, as the projector expects them.
fn sprite(rows: &[Row<'_>], folders: &ImageFolders) -> std::result::Result<Vec<u8>, image::ImageError> {
    let [width, height] = IMAGE;
    let side = (1..).find(|side| side * side >= rows.len() as u32).unwrap_or(1);
    let read = |row: &Row<'_>| {
        let path = Path::new(row.features.paths().get(row.row)?);
        let picture = decode::read(&folders.find(path).ok()?.0).ok()?;
        let mut pixels = vec![0; (width * height * 3) as usize];
        Resizer::default().resize(&picture, height as usize, width as usize, &mut pixels);
        RgbImage::from_raw(width, height, pixels)
    };
    let images: Vec<Option<RgbImage>> = rows.par_iter().map(read).collect();
    let mut sheet = RgbImage::from_pixel(side * width, side * height, MISSING);
    for (place, image) in images.iter().enumerate() {
        let (x, y) = (place as u32 % side * width, place as u32 / side * height);
        if let Some(image) = image {
            image::imageops::replace(&mut sheet, image, i64::from(x), i64::from(y));
        }
    }
    let mut png = Cursor::new(Vec::new());
    let encoder = PngEncoder::new_with_quality(&mut png, CompressionType::Default, FilterType::Adaptive);
    sheet.write_with_encoder(encoder)?;
    Ok(png.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_evaluation_has_a_folder_of_its_own() {
        let mut written = Vec::new();
        for name in ["a b", "a_b", "a\u{e9}b", "...", "set"] {
            let folder = folder_of(name, &written);
            written.push(Written { name: name.into(), folder, images: 0 });
        }
        let folders: Vec<&str> = written.iter().map(|of| of.folder.as_str()).collect();
        let expected = ["a_b", "a_b_2", "a_b_3", "_2", "set"].map(|name| format!("projector/{name}"));
        assert_eq!(folders, expected);
    }
}

//! The image cache: every training image, decoded once and resized to the network's input or to a larger size for
//! crops, as RGB bytes in memory.
//!
//! Market-1501's training set at 256 x 128 takes 1.2 GiB. A set larger than the limit goes to a memory-mapped
//! temporary file, of which the system keeps as much in memory as fits. The file has no name, so that the system
//! removes it when the process ends.
//!
//! Filling the cache decodes every file, so that unreadable images are found before the first training step.

use super::decode;
use super::decoding_threads;
use super::resize::Resizer;
use crate::{Error, Result};
use memmap2::Mmap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The limit and the place of the image cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheOptions {
    /// Size of the largest set kept in memory, in MiB; a larger one goes to a temporary file.
    pub limit_mib: usize,
    /// Folder of the temporary file; `None` is the system's temporary folder.
    pub folder: Option<PathBuf>,
}

impl Default for CacheOptions {
    /// 2 GiB, which holds Market-1501 and DukeMTMC-reID at 256 x 128, and the system's temporary folder.
    fn default() -> Self {
        CacheOptions { limit_mib: 2048, folder: None }
    }
}

/// Decoded images of one size.
#[derive(Debug)]
pub struct ImageCache {
    image_bytes: usize,
    pixels: Pixels,
}

#[derive(Debug)]
enum Pixels {
    Memory(Vec<u8>),
    File(Mmap),
}

impl ImageCache {
    /// Decodes and resizes all images, by as many threads as compute. `progress` is called from any thread, after each image, with
    /// the number of finished images and of all images. Unreadable images are black; their indices and errors are
    /// returned.
    ///
    /// # Errors
    /// The temporary file cannot be made or filled; threads cannot be started.
    ///
    /// # Panics
    /// If `height` or `width` is 0.
    pub fn build(
        paths: &[&Path],
        height: usize,
        width: usize,
        options: &CacheOptions,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<(Self, Vec<(usize, Error)>)> {
        let image_bytes = height * width * 3;
        assert!(image_bytes > 0);
        let bad = Mutex::new(Vec::new());
        let done = AtomicUsize::new(0);
        // Each thread reuses one resizer, whose tables are costly to build.
        let load = |resizer: &mut Resizer, i: usize, out: &mut [u8]| {
            match decode::read(paths[i]) {
                Ok(picture) => resizer.resize(&picture, height, width, out),
                Err(error) => {
                    out.fill(0);
                    bad.lock().expect("pushing does not panic").push((i, error));
                }
            }
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, paths.len());
        };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(decoding_threads())
            .thread_name(|i| format!("decoder {i}"))
            .build()
            .map_err(|e| Error::Data(format!("cannot start the decoder threads: {e}")))?;
        let bytes = paths.len() * image_bytes;
        let pixels = if bytes <= options.limit_mib.saturating_mul(1 << 20) {
            let mut pixels = vec![0; bytes];
            pool.install(|| {
                pixels
                    .par_chunks_exact_mut(image_bytes)
                    .enumerate()
                    .for_each_init(Resizer::default, |resizer, (i, out)| load(resizer, i, out));
            });
            Pixels::Memory(pixels)
        } else {
            let folder = options.folder.clone().unwrap_or_else(std::env::temp_dir);
            let fault = |e: std::io::Error| {
                let needed = bytes.div_ceil(1 << 20);
                Error::Data(format!(
                    "{}: cannot keep {needed} MiB of decoded images in a temporary file here: {e}; set TMPDIR \
                     to a folder with that much room, or data.cache_mib from {} to {needed} to keep them in memory",
                    folder.display(),
                    options.limit_mib
                ))
            };
            let file = Mutex::new(tempfile::tempfile_in(&folder).map_err(fault)?);
            pool.install(|| {
                (0..paths.len()).into_par_iter().try_for_each_init(
                    || (Resizer::default(), vec![0; image_bytes]),
                    |(resizer, out), i| {
                        load(resizer, i, out);
                        write_at(&file, i as u64 * image_bytes as u64, out)
                    },
                )
            })
            .map_err(fault)?;
            let file = file.into_inner().expect("writing does not panic");
            // SAFETY: the file has no name, so no other process can open it to change or shorten it, and
            // this process writes to it no more.
            Pixels::File(unsafe { Mmap::map(&file) }.map_err(fault)?)
        };
        let mut bad = bad.into_inner().expect("pushing does not panic");
        bad.sort_by_key(|(i, _)| *i);
        Ok((ImageCache { image_bytes, pixels }, bad))
    }

    /// A cache of decoded images: `pixels` holds them one after another, `image_bytes` each.
    pub fn of(pixels: Vec<u8>, image_bytes: usize) -> Self {
        ImageCache { image_bytes, pixels: Pixels::Memory(pixels) }
    }

    /// Image `i`: `height * width * 3` RGB bytes.
    ///
    /// # Panics
    /// If there are not more than `i` images.
    pub fn image(&self, i: usize) -> &[u8] {
        let pixels: &[u8] = match &self.pixels {
            Pixels::Memory(pixels) => pixels,
            Pixels::File(pixels) => pixels,
        };
        &pixels[i * self.image_bytes..][..self.image_bytes]
    }

    /// Bytes of an image: `height * width * 3`.
    pub fn image_bytes(&self) -> usize {
        self.image_bytes
    }

    /// Whether the images lie in a temporary file.
    pub fn is_on_disk(&self) -> bool {
        matches!(self.pixels, Pixels::File(_))
    }
}

/// Writes through the file and not through the mapping: a full disk is then an error, not a signal that ends the
/// process.
fn write_at(file: &Mutex<File>, at: u64, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = file.lock().expect("writing does not panic");
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

//! Shards of an extraction: part K of N of the images, in a file of its own.

use crate::console::counted;
use crate::ranks::Place;
use crate::{Error, Result};
use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Shard `number`, from 1, of `shards`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: usize,
    shards: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        /// The most that the five digits of a file's name can count.
        const MOST: usize = 99_999;
        let numbers = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((number, shards)) if (1..=shards).contains(&number) && shards <= MOST => {
                Ok(Shard { number, shards })
            }
            _ => Err(format!("give K/N with K from 1 to N, such as 3/8, and N up to {MOST}")),
        }
    }
}

impl Shard {
    /// The shard of this rank; none for a process alone.
    ///
    /// # Errors
    /// Variables of a launcher without sense.
    pub fn of_rank() -> Result<Option<Self>> {
        let place = Place::from_environment()?;
        Ok((!place.is_alone()).then_some(Shard { number: place.rank + 1, shards: place.ranks }))
    }

    /// The file of this shard: `gallery-00003-of-00008.arrow` of `gallery.arrow`.
    pub fn file(self, out: &Path) -> PathBuf {
        let mut name = OsString::from(out.file_stem().unwrap_or_default());
        name.push(format!("-{:05}-of-{:05}", self.number, self.shards));
        if let Some(extension) = out.extension() {
            name.push(".");
            name.push(extension);
        }
        out.with_file_name(name)
    }

    /// The images of this shard among `images`, cut between batches: their features have the bits of one extraction of all.
    ///
    /// # Errors
    /// Fewer batches than shards.
    pub fn images(self, images: usize, batch: usize) -> Result<Range<usize>> {
        let batches = images.div_ceil(batch);
        if batches < self.shards {
            return Err(Error::Data(format!(
                "{} are {batches} batches of {batch}, too few for {} shards; give fewer shards, or a smaller --batch",
                counted(images, "image"),
                self.shards
            )));
        }
        let cut = |shard: usize| (shard * batches / self.shards * batch).min(images);
        Ok(cut(self.number - 1)..cut(self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_read_and_named() {
        let shard: Shard = "3/8".parse().unwrap();
        assert_eq!(shard.file(Path::new("a/gallery.arrow")), Path::new("a/gallery-00003-of-00008.arrow"));
        assert_eq!(shard.file(Path::new("a.b/gallery")), Path::new("a.b/gallery-00003-of-00008"));
        for wrong in ["0/8", "9/8", "3", "/", "3/0", "-1/2", "1/100000", "a/b"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn shards_are_whole_batches_and_all_images() {
        for (images, batch, shards) in [(100, 32, 4), (100, 1, 7), (1000, 32, 3), (64, 32, 2), (5, 5, 1)] {
            let ranges: Vec<_> =
                (1..=shards).map(|number| Shard { number, shards }.images(images, batch).unwrap()).collect();
            assert_eq!((ranges[0].start, ranges[shards - 1].end), (0, images));
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(ranges.iter().all(|range| range.start % batch == 0 && !range.is_empty()), "{ranges:?}");
        }
        let error = Shard { number: 1, shards: 5 }.images(100, 32).unwrap_err().to_string();
        assert!(error.contains("100 images are 4 batches of 32, too few for 5 shards"), "{error}");
    }
}

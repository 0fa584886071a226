//! The nearest gallery images of queries as a picture ([`picture`]) or as a page ([`page`]), with distances, cameras, a
//! threshold and, if wanted, activation maps.
//!
//! A gallery's file of features may come from elsewhere and name any file, and a picture is sent on. So gallery images
//! are only read in folders that the user named, [`ImageFolders`].

mod page;
mod picture;

pub use page::page;
pub use picture::picture;

use super::maps::{self, MAPS};
use crate::data::decode::{self, Rgb};
use crate::data::resize::Resizer;
use crate::eval::Hit;
use crate::eval::extract::Extractor;
use crate::eval::image_folders::{Absent, ImageFolders};
use crate::{Error, Result};
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Largest width and height of an image in pixels: twice the size in the drawing.
const BOX: [usize; 2] = [144, 288];
/// Largest number of images of a picture or a page, maps not counted.
const MOST: usize = 2_000;

/// A query as the user gave it.
#[derive(Clone, Debug)]
pub struct Query {
    /// Name, for the heading.
    pub name: String,
    /// Identity; -1 if it is unknown, so that no image counts as right or wrong.
    pub pid: i64,
    /// Camera; -1 if it is unknown.
    pub camid: i64,
    /// Identity and camera for a person to read: their names, or their numbers.
    pub shown: [String; 2],
    /// The query's image; `None` if there is none.
    pub image: Option<Source>,
    /// The query's feature.
    pub feature: Vec<f32>,
}

/// Where an image is.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file that the user named.
    File(PathBuf),
    /// A file that a feature file names: it is read in the user's folders only.
    Recorded(String),
}

/// A query with its nearest images.
#[derive(Clone, Debug)]
pub struct Ranked {
    name: String,
    pid: i64,
    camid: i64,
    shown: [String; 2],
    query: Shown,
    entries: Vec<Entry>,
}

/// One of the nearest images.
#[derive(Clone, Debug)]
struct Entry {
    hit: Hit,
    shown: Shown,
    is_match: Option<bool>,
    accepted: Option<bool>,
}

/// An image, or the reason why there is none, and its maps in the order of [`MAPS`].
#[derive(Clone, Debug)]
struct Shown {
    picture: std::result::Result<Rgb, String>,
    maps: Vec<Rgb>,
}

/// Reads the images of `lists`, one list of hits for each query. `threshold` is a distance: images below it are
/// accepted as the query's person. With `extractor`, every image has the maps [`MAPS`].
///
/// # Errors
/// More than 2,000 images; an error of the device. An image that cannot be read has a message in its place.
pub fn ranked(
    queries: &[Query],
    lists: &[Vec<Hit>],
    folders: &ImageFolders,
    threshold: Option<f64>,
    mut extractor: Option<&mut Extractor>,
) -> Result<Vec<Ranked>> {
    let images: usize = lists.iter().map(|hits| 1 + hits.len()).sum();
    if images > MOST {
        return Err(Error::Data(format!(
            "the picture would have {images} images, and at most {MOST} are drawn; give a smaller --top or fewer \
             queries"
        )));
    }
    let mut all = Vec::with_capacity(queries.len());
    for (query, hits) in queries.iter().zip(lists) {
        let recorded = |path: &String| Source::Recorded(path.clone());
        let sources = std::iter::once(query.image.clone())
            .chain(hits.iter().map(|hit| hit.path.as_ref().map(recorded)));
        let sources: Vec<Option<Source>> = sources.collect();
        let read: Vec<_> = sources.par_iter().map(|source| read(source.as_ref(), folders)).collect();
        let maps = match &mut extractor {
            Some(extractor) => {
                let images: Vec<_> = read.iter().map(|image| image.clone().ok()).collect();
                maps::of_list(extractor, &query.feature, &images)?
            }
            None => vec![Vec::new(); read.len()],
        };
        let shown = read.into_iter().zip(maps);
        let shown: Vec<Shown> =
            shown.map(|(image, maps)| Shown { picture: image.map(|(_, picture)| picture), maps }).collect();
        let mut shown = shown.into_iter();
        let own = shown.next().unwrap_or(Shown { picture: Err("no image".into()), maps: Vec::new() });
        let entry = |(hit, shown): (&Hit, Shown)| Entry {
            hit: hit.clone(),
            shown,
            is_match: (query.pid >= 0 && hit.pid >= 0).then_some(query.pid == hit.pid),
            accepted: threshold.map(|threshold| hit.distance < threshold),
        };
        all.push(Ranked {
            name: query.name.clone(),
            pid: query.pid,
            camid: query.camid,
            shown: query.shown.clone(),
            query: own,
            entries: hits.iter().zip(shown).map(entry).collect(),
        });
    }
    Ok(all)
}

/// Most folders of a path in a heading.
const MOST_PARTS: usize = 8;

/// Names for headings: for each path the shortest end that no other path has, `1.jpg` or `ann/1.jpg`. Equal paths have
/// equal names.
pub fn shortest_names(paths: &[String]) -> Vec<String> {
    let parts = |path: &String| -> Vec<String> {
        Path::new(path).components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
    };
    let all: Vec<Vec<String>> = paths.iter().map(parts).collect();
    let end = |parts: &[String], n: usize| parts[parts.len().saturating_sub(n)..].join("/");
    let distinct: HashSet<&Vec<String>> = all.iter().collect();
    let mut names: Vec<Option<String>> = vec![None; paths.len()];
    for n in 1..=MOST_PARTS {
        if names.iter().all(Option::is_some) {
            break;
        }
        let mut counts: HashMap<String, usize> = HashMap::new();
        distinct.iter().for_each(|parts| *counts.entry(end(parts, n)).or_default() += 1);
        for (parts, name) in all.iter().zip(&mut names).filter(|(_, name)| name.is_none()) {
            *name = Some(end(parts, n)).filter(|end| counts[end] == 1);
        }
    }
    names.into_iter().zip(paths).map(|(name, path)| name.unwrap_or_else(|| path.clone())).collect()
}

/// Reads an image, shrunk into [`BOX`] or as it is, with its file.
fn read(source: Option<&Source>, folders: &ImageFolders) -> std::result::Result<(PathBuf, Rgb), String> {
    let file = match source {
        None => return Err("the file of features names no image".into()),
        Some(Source::File(file)) => file.clone(),
        Some(Source::Recorded(path)) => {
            let found = folders.find(Path::new(path)).map(|(file, _)| file);
            found.map_err(|absent| match absent {
                Absent::Missing => "no such file".to_string(),
                Absent::Outside => "not in a folder given by --images".into(),
            })?
        }
    };
    let picture = decode::read(&file).map_err(|_| "the image cannot be read".to_string())?;
    let scale = (BOX[0] as f64 / picture.width as f64).min(BOX[1] as f64 / picture.height as f64);
    let side = |pixels: usize, most: usize| ((pixels as f64 * scale).round() as usize).clamp(1, most);
    let (width, height) = (side(picture.width, BOX[0]), side(picture.height, BOX[1]));
    let mut pixels = vec![0; width * height * 3];
    Resizer::default().resize(&picture, height, width, &mut pixels);
    Ok((file, Rgb { width, height, pixels }))
}

impl Ranked {
    /// The heading: the query's name, identity and camera.
    fn heading(&self) -> String {
        format!("{}{}", self.name, self.known())
    }

    fn known(&self) -> String {
        let [person, camera] = &self.shown;
        match (self.pid, self.camid) {
            (-1, -1) => String::new(),
            (_, -1) => format!(" (person {person})"),
            (-1, _) => format!(" (camera {camera})"),
            _ => format!(" (person {person}, camera {camera})"),
        }
    }

    /// The number of accepted images in front of the first that is not; `None` without a threshold.
    fn accepted(&self) -> Option<usize> {
        let accepted = self.entries.iter().map(|entry| entry.accepted).collect::<Option<Vec<bool>>>()?;
        Some(accepted.iter().take_while(|accepted| **accepted).count())
    }
}

impl Entry {
    fn person(&self) -> String {
        match (&self.hit.person, self.hit.pid) {
            (Some(name), _) => format!("person {name}"),
            (None, -1) => "junk or unknown".into(),
            (None, 0) => "distractor".into(),
            (None, pid) => format!("person {pid}"),
        }
    }

    fn camera(&self) -> String {
        match (&self.hit.camera, self.hit.camid) {
            (Some(name), _) => format!("camera {name}"),
            (None, ..0) => "camera ?".into(),
            (None, camid) => format!("camera {camid}"),
        }
    }

    fn distance(&self) -> String {
        format!("{:.3}", self.hit.distance)
    }

    /// Rank with a mark for the query's person and for others, if the query's identity is known.
    fn rank(&self) -> String {
        let mark = match self.is_match {
            Some(true) => " ✓",
            Some(false) => " ✗",
            None => "",
        };
        format!("{}{mark}", self.hit.rank)
    }
}

/// A sentence on what the lists show; empty parts do not apply.
fn explanation(lists: &[Ranked], threshold: Option<f64>) -> String {
    let mut text = String::from("Nearest gallery images first; the number is the Euclidean distance.");
    if lists.iter().flat_map(|list| &list.entries).any(|entry| entry.is_match.is_some()) {
        text += " ✓: the query's person; ✗: another.";
    }
    if let Some(threshold) = threshold {
        text += &format!(" Dashed line: the threshold {threshold}; images before it are accepted.");
    }
    if lists
        .iter()
        .any(|list| !list.query.maps.is_empty() || list.entries.iter().any(|e| !e.shown.maps.is_empty()))
    {
        let maps = MAPS.map(|(name, meaning)| format!("{name}: {meaning}"));
        text += &format!(" Maps, dark to bright: {}.", maps.join("; "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_tell_images_of_one_name_apart() {
        let names = |paths: &[&str]| shortest_names(&paths.iter().map(|p| p.to_string()).collect::<Vec<_>>());
        assert_eq!(names(&["/q/a.jpg", "/q/b.jpg"]), ["a.jpg", "b.jpg"]);
        assert_eq!(
            names(&["q/ann/1.jpg", "q/bob/1.jpg", "q/bob/2.jpg"]),
            ["ann/1.jpg", "bob/1.jpg", "2.jpg"]
        );
        assert_eq!(names(&["b/1.jpg", "a/b/1.jpg"]), ["b/1.jpg", "a/b/1.jpg"]);
        assert_eq!(names(&["q/1.jpg", "q/1.jpg", "row 3"]), ["1.jpg", "1.jpg", "row 3"]);
        let deep = |end: &str| format!("{end}/{}1.jpg", "x/".repeat(20));
        let (a, b) = (deep("a"), deep("b"));
        assert_eq!(names(&[&a, &b]), [a.as_str(), b.as_str()]);
    }
}

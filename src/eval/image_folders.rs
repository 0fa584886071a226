//! The folders whose images a report may contain.
//!
//! The features of an evaluation name image files. In a run from elsewhere they may name any file, and so may the
//! evaluation's own list of folders. A report is sent on, so an image is only read
//!
//! - below a folder that the user named, or
//! - in the folders of query and gallery images of a folder that an evaluation recorded and that is a data set in one of
//!   the layouts ([`Layout::test_folders`]), or below a recorded folder with the lists `query.csv` and `gallery.csv`.
//!
//! A home folder, `/` or a folder of photographs is no data set, whatever a stranger's evaluation claims. Links are
//! resolved before paths are compared. Distractors are in a folder without a data set's parts, which the user names.

use super::stored_evaluation::StoredEvaluation;
use crate::console::counted;
use crate::data::Layout;
use crate::error::excerpt;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// Number of left-out images that a message names.
const NAMED: usize = 3;
/// Number of characters of a path that a message shows.
const LONGEST: usize = 200;

/// The folders, without links.
#[derive(Clone, Debug, Default)]
pub struct ImageFolders {
    /// Folders that the user named; images that are not at their path are searched in them.
    named: Vec<PathBuf>,
    /// Folders in which images may be, each with the folder that messages name.
    allowed: Vec<(PathBuf, PathBuf)>,
}

/// An image that may not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// No file is at this path, which is in one of the folders.
    Missing,
    /// The path is in none of the folders. Whether there is a file is not told.
    Outside,
}

impl ImageFolders {
    /// The folders `named` by the user, and those that the evaluations recorded, as far as they exist.
    pub fn new<'a>(named: &[PathBuf], evaluations: impl IntoIterator<Item = &'a StoredEvaluation>) -> Self {
        let named: Vec<PathBuf> = named.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
        let mut allowed: Vec<_> = named.iter().map(|folder| (folder.clone(), folder.clone())).collect();
        let recorded: BTreeSet<&String> = evaluations.into_iter().flat_map(|stored| &stored.images).collect();
        for folder in recorded {
            // A relative path would depend on the current folder.
            let absolute = Some(Path::new(folder)).filter(|folder| folder.is_absolute());
            let Some(folder) = absolute.and_then(|folder| folder.canonicalize().ok()) else { continue };
            allowed.extend(Layout::test_folders(&folder).into_iter().map(|part| (part, folder.clone())));
        }
        ImageFolders { named, allowed }
    }

    /// The file of an image, without links, and its folder: at `path` if that is allowed, else at the longest end of
    /// the path that is in a folder that the user named.
    ///
    /// # Errors
    /// [`Absent`].
    pub fn find(&self, path: &Path) -> Result<(PathBuf, &Path), Absent> {
        let allowed = |path: &Path| {
            let file = path.canonicalize().ok()?;
            let folder = self.folder_of(&file)?;
            Some((file, folder))
        };
        if let Some(found) = path.is_absolute().then(|| allowed(path)).flatten() {
            return Ok(found);
        }
        let parts: Vec<_> = path.components().filter(|c| matches!(c, Component::Normal(_))).collect();
        let end =
            |folder: &Path, from: usize| parts[from..].iter().fold(folder.to_path_buf(), |a, b| a.join(b));
        let ends = self.named.iter().flat_map(|folder| (0..parts.len()).map(move |from| (folder, from)));
        let mut found = ends.filter_map(|(folder, from)| allowed(&end(folder, from)));
        // A link is told from a missing file only within the folders.
        let beside = path.parent().and_then(|parent| parent.canonicalize().ok());
        let missing = !path.is_symlink() && beside.is_some_and(|beside| self.folder_of(&beside).is_some());
        found.next().ok_or(if missing { Absent::Missing } else { Absent::Outside })
    }

    fn folder_of(&self, path: &Path) -> Option<&Path> {
        let (_, shown) = self.allowed.iter().find(|(folder, _)| path.starts_with(folder))?;
        Some(shown)
    }

    /// The path of an image without the folders above its data set, which are not for the readers of a page: relative
    /// to the folder that it is in, or the file's name alone.
    pub fn shown_path(&self, path: &Path) -> String {
        let inside = self.allowed.iter().find_map(|(_, folder)| path.strip_prefix(folder).ok());
        inside.or(path.file_name().map(Path::new)).unwrap_or(Path::new("?")).display().to_string()
    }

    /// Messages about the images `paths` of an output: the folders they are from, and those that are left out. Of
    /// images whose folder is not there any more the folder is named: the page itself does not tell which folders exist.
    pub fn notes<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let whole = |path: &Path| path.display().to_string();
        let mut gone = BTreeMap::<&Path, usize>::new();
        let paths: BTreeSet<&str> = paths.into_iter().collect();
        let mut others = Vec::new();
        for path in paths {
            let image = Path::new(path);
            match self.find(image).is_err().then(|| missing_folder(image)).flatten() {
                Some(folder) => *gone.entry(folder).or_default() += 1,
                None => others.push(path),
            }
        }
        let mut notes = self.notes_with(others, whole, |path| excerpt(&whole(path), LONGEST));
        if let Some((folder, _)) = gone.first_key_value() {
            let more = match gone.len() - 1 {
                0 => String::new(),
                n => format!(" (and {})", counted(n, "more folder")),
            };
            notes.push(format!(
                "{} left out: {}{more} is not there any more; --images DIR names the folder to which the images have \
                 moved.",
                counted(gone.values().sum::<usize>(), "image"),
                excerpt(&whole(folder), LONGEST)
            ));
        }
        notes
    }

    /// As [`ImageFolders::notes`], for the page itself: without the folders above a data set.
    pub fn notes_for_page<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let name = |folder: &Path| folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.notes_with(paths, name, |path| excerpt(&self.shown_path(path), LONGEST))
    }

    fn notes_with<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a str>,
        folder: impl Fn(&Path) -> String,
        image: impl Fn(&Path) -> String,
    ) -> Vec<String> {
        let paths: BTreeSet<&str> = paths.into_iter().collect();
        let (mut from, mut outside) = (BTreeMap::<&Path, usize>::new(), Vec::new());
        for path in paths {
            match self.find(Path::new(path)) {
                Ok((_, folder)) => *from.entry(folder).or_default() += 1,
                Err(Absent::Outside) => outside.push(path),
                Err(Absent::Missing) => {}
            }
        }
        let mut notes = Vec::new();
        if !from.is_empty() {
            let from = from.iter().map(|(of, images)| format!("{} ({images})", folder(of)));
            notes.push(format!("Images are shown from {}.", from.collect::<Vec<_>>().join(", ")));
        }
        if !outside.is_empty() {
            let shown: Vec<String> = outside.iter().take(NAMED).map(|path| image(Path::new(path))).collect();
            let more = if outside.len() > NAMED { ", ..." } else { "" };
            notes.push(format!(
                "{} left out: neither in the data set of the evaluation nor in a folder given by --images ({}{more}); \
                 --images DIR shows the images of that folder too.",
                counted(outside.len(), "image"),
                shown.join(", ")
            ));
        }
        notes
    }
}

/// The highest folder above an image that does not exist; `None` if the image's folder exists.
fn missing_folder(image: &Path) -> Option<&Path> {
    let folders = image.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
    folders.take_while(|folder| !folder.exists()).last()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::eval::{Protocol, evaluate};
    use crate::weights::Features;
    use std::fs;

    fn recorded(folders: &[&Path]) -> StoredEvaluation {
        let line = |camid| Features::new(vec![1.0], 1, vec![7], vec![camid], Vec::new()).unwrap();
        let report = evaluate(&line(1), &line(2), &Protocol::default(), &Device::cpu()).unwrap();
        let images = folders.iter().map(|folder| folder.display().to_string()).collect();
        StoredEvaluation::new("set".into(), images, line(1), line(2), report)
    }

    fn put(path: &Path) -> PathBuf {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
        path.to_path_buf()
    }

    #[test]
    fn recorded_folders_count_if_they_are_data_sets() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let secret = put(&home.join("photos/me.jpg"));
        let (query, gallery) =
            (put(&home.join("set/query/a.jpg")), put(&home.join("set/bounding_box_test/b.jpg")));
        let other = put(&home.join("set/diary/c.jpg"));
        let listed = put(&home.join("listed/any/d.jpg"));
        put(&home.join("listed/query.csv"));
        let set = home.join("set");
        let photos = home.join("photos");
        let half = home.join("listed");
        let evaluation =
            recorded(&[Path::new("/"), &home, &photos, &set, &half, Path::new("."), Path::new("")]);
        let folders = ImageFolders::new(&[], [&evaluation]);
        assert_eq!(folders.find(&query), Ok((query.clone(), &*set)));
        assert_eq!(folders.find(&gallery), Ok((gallery.clone(), &*set)));
        assert_eq!(folders.find(&set.join("query/absent.jpg")), Err(Absent::Missing));
        for outside in [
            &secret,
            &other,
            &listed,
            &set.join("query/../../photos/me.jpg"),
            &set.join("query/../../photos/absent.jpg"),
            Path::new("photos/me.jpg"),
            Path::new(""),
        ] {
            assert_eq!(folders.find(outside), Err(Absent::Outside), "{}", outside.display());
        }
        put(&home.join("listed/gallery.csv"));
        assert_eq!(ImageFolders::new(&[], [&evaluation]).find(&listed), Ok((listed.clone(), &*half)));
        let shown = [&query, &gallery, &secret, &other].map(|path| path.to_str().unwrap());
        let notes = folders.notes(shown);
        assert_eq!(notes[0], format!("Images are shown from {} (2).", set.display()));
        assert!(notes[1].starts_with("2 images left out") && notes[1].contains("me.jpg"), "{}", notes[1]);
        assert!(ImageFolders::default().notes(shown)[0].starts_with("4 images left out"));
        let notes = folders.notes_for_page(shown).join(" ");
        assert!(
            notes.starts_with("Images are shown from set (2).") && notes.contains("(me.jpg, diary/c.jpg)"),
            "{notes}"
        );
        assert!(!notes.contains(&home.display().to_string()), "{notes}");
        assert_eq!(folders.shown_path(&query), "query/a.jpg");
        assert_eq!(folders.shown_path(Path::new("/")), "?");
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_lead_out_of_a_folder() {
        use std::os::unix::fs::symlink;
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let secret = put(&home.join("photos/me.jpg"));
        let set = home.join("run/set");
        put(&set.join("bounding_box_test/b.jpg"));
        symlink(home.join("photos"), set.join("query")).unwrap();
        symlink(&secret, set.join("bounding_box_test/a.jpg")).unwrap();
        let folders = ImageFolders::new(&[], [&recorded(&[&set])]);
        for path in ["query/me.jpg", "bounding_box_test/a.jpg"] {
            assert!(folders.find(&set.join(path)).is_err(), "{path}");
        }
        // Nor out of a folder that the user named; the folder itself may be a link.
        let named = ImageFolders::new(std::slice::from_ref(&set), []);
        assert!(named.find(Path::new("/old/bounding_box_test/a.jpg")).is_err());
        symlink(&set, home.join("link")).unwrap();
        let named = ImageFolders::new(&[home.join("link")], []);
        assert_eq!(named.find(Path::new("/old/b.jpg")), Err(Absent::Outside));
        let found = set.join("bounding_box_test/b.jpg");
        assert_eq!(named.find(Path::new("/old/bounding_box_test/b.jpg")), Ok((found, &*set)));
    }

    #[test]
    fn moved_images_are_found_by_the_end_of_their_path() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let image = put(&home.join("new/query/a.jpg"));
        let elsewhere = put(&home.join("elsewhere/query/a.jpg"));
        let folders = ImageFolders::new(&[home.join("new"), home.join("absent")], []);
        let gone = ["/gone/market/query/b.jpg", "/gone/market/query/c.jpg"];
        let said = folders.notes(gone);
        assert!(
            said.len() == 1
                && said[0].starts_with("2 images left out: /gone is not there any more; --images DIR"),
            "{said:?}"
        );
        let said = folders.notes(["gone/market/a.jpg", "b.jpg"]);
        assert!(
            said[0].starts_with("1 image left out: neither") && said[1].contains("gone is not"),
            "{said:?}"
        );
        // The page does not tell which folders exist.
        assert!(!folders.notes_for_page(gone)[0].contains("any more"));
        for path in [&image, &elsewhere, Path::new("/gone/market/query/a.jpg"), Path::new("query/a.jpg")] {
            assert_eq!(folders.find(path), Ok((image.clone(), &*home.join("new"))), "{}", path.display());
        }
    }
}

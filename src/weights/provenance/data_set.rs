//! The training images of a run: counts, and a SHA-256 of their list.

use super::Text;
use crate::console::counted;
use crate::data::{Attributes, Dataset, Sample};
use crate::files::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fmt;
use std::path::{Component, Path};

/// The training images of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataSet {
    /// Name of the data set's folder.
    pub name: Text,
    /// Layout of the data set: [`Dataset::name`].
    pub layout: Text,
    /// Number of training images.
    pub images: u64,
    /// Number of persons in them.
    pub persons: u64,
    /// Number of cameras; `None` if the cameras are unknown.
    pub cameras: Option<u64>,
    /// Number of images that cannot be read and were left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// Number of images without an identity, beside the training images of the data set.
    #[serde(skip_serializing_if = "is_zero")]
    pub unlabelled: u64,
    /// SHA-256 of the list of training images, in hexadecimal. The list has one line for each image, the JSON array
    /// `["PATH",PERSON,CAMERA]` without spaces; the path is relative to the data set's folder with `/` between its
    /// parts, the camera is `null` if unknown. Lines are sorted by their bytes, and each ends with a line feed.
    pub list_sha256: Text,
    /// The attributes of the persons; `None` if the run has no loss of attributes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<AttributesFile>,
}

/// A file of attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttributesFile {
    /// Name of the file, without its folder.
    pub file: Text,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: Text,
    /// Number of attributes.
    pub attributes: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl DataSet {
    /// The training part of a data set, of which `left_out` images cannot be read.
    pub fn of(dataset: &Dataset, left_out: usize) -> Self {
        let Dataset { name: layout, root, train, .. } = dataset;
        let whole = root.canonicalize().unwrap_or_else(|_| root.clone());
        let persons: HashSet<i64> = train.iter().map(|sample| sample.pid).collect();
        let cameras: HashSet<i64> = train.iter().filter_map(|sample| sample.camid).collect();
        DataSet {
            name: Text::new(&whole.file_name().unwrap_or_default().to_string_lossy()),
            layout: Text::new(layout),
            images: train.len() as u64,
            persons: persons.len() as u64,
            cameras: (!cameras.is_empty()).then_some(cameras.len() as u64),
            left_out: left_out as u64,
            unlabelled: 0,
            list_sha256: Text::new(&list_sha256(root, train)),
            attributes: None,
        }
    }

    /// The same with the attributes that the run trains on.
    pub fn with_attributes(self, attributes: Option<&Attributes>) -> Self {
        let file = |of: &Attributes| AttributesFile {
            file: Text::new(&of.file),
            sha256: Text::new(&of.sha256),
            attributes: of.names.len() as u64,
        };
        DataSet { attributes: attributes.map(file), ..self }
    }

    /// Whether two runs have the same training images, wherever they lie, and the same attributes. The contents of the
    /// images are not compared.
    pub fn is_same(&self, other: &Self) -> bool {
        let of = |set: &Self| set.attributes.as_ref().map(|file| file.sha256.clone());
        let counts = |set: &Self| (set.images, set.left_out, set.unlabelled);
        (counts(self), &self.list_sha256, of(self)) == (counts(other), &other.list_sha256, of(other))
    }
}

fn list_sha256(root: &Path, samples: &[Sample]) -> String {
    let line = |Sample { path, pid, camid }: &Sample| {
        // The folder of an image outside of the data set's is one of this machine.
        let inner = path.strip_prefix(root).ok().or(path.file_name().map(Path::new)).unwrap_or(path);
        let parts = inner.components().filter(|part| !matches!(part, Component::CurDir));
        let parts: Vec<_> = parts.map(|part| part.as_os_str().to_string_lossy()).collect();
        serde_json::json!([parts.join("/"), pid, camid]).to_string()
    };
    let mut lines: Vec<String> = samples.iter().map(line).collect();
    lines.sort_unstable();
    let mut sha = Sha256::new();
    for line in lines {
        sha.update(line);
        sha.update("\n");
    }
    hex(&sha.finalize())
}

/// Without the SHA-256, for example `made-up (layout market1501): 24 images of 6 persons under 2 cameras`.
impl fmt::Display for DataSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cameras =
            self.cameras.map_or(String::new(), |cameras| format!(" under {}", counted(cameras, "camera")));
        let left_out = match self.left_out {
            0 => String::new(),
            number => format!(", {number} of them left out as unreadable"),
        };
        let attributes = self
            .attributes
            .as_ref()
            .map_or(String::new(), |of| format!(", {} of {}", counted(of.attributes, "attribute"), of.file));
        let unlabelled = match self.unlabelled {
            0 => String::new(),
            number => format!(", and {} without an identity", counted(number, "image")),
        };
        write!(
            f,
            "{} (layout {}): {} of {}{cameras}{unlabelled}{left_out}{attributes}",
            self.name,
            self.layout,
            counted(self.images, "image"),
            counted(self.persons, "person")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Labels;

    fn dataset(root: &str, samples: &[(&str, i64, Option<i64>)]) -> Dataset {
        let sample =
            |&(path, pid, camid): &(&str, i64, Option<i64>)| Sample { path: path.into(), pid, camid };
        Dataset {
            name: "list".into(),
            root: root.into(),
            train: samples.iter().map(sample).collect(),
            query: vec![],
            gallery: vec![],
            notes: vec![],
            labels: Labels::default(),
            tracklets: None,
        }
    }

    /// The SHA-256 is that of Python 3:
    /// ```python
    /// rows = [["a/1.jpg", 7, 1], ["a/Ü\t\"\x7f.jpg", 7, 2], ["b.jpg", 10, None]]
    /// lines = sorted(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() for row in rows)
    /// hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest()
    /// ```
    const KNOWN: &str = "6944dc628e902e060c80aec07c6eaad78108f2529d2ec561ceca27d2f8a9019c";

    #[test]
    fn the_list_s_sha256_can_be_computed_elsewhere_and_does_not_depend_on_the_folder() {
        let strange = "a/Ü\t\"\u{7f}.jpg";
        let one = dataset(
            "/x/set",
            &[
                ("/elsewhere/b.jpg", 10, None),
                (&format!("/x/set/{strange}"), 7, Some(2)),
                ("/x/set/./a/1.jpg", 7, Some(1)),
            ],
        );
        let one = DataSet::of(&one, 0);
        assert_eq!(one.list_sha256.as_str(), KNOWN);
        assert_eq!((one.name.as_str(), one.images, one.persons, one.cameras), ("set", 3, 2, Some(2)));
        let moved = |person| {
            let samples =
                [("y/a/1.jpg", person, Some(1)), (&format!("y/{strange}"), 7, Some(2)), ("b.jpg", 10, None)];
            DataSet::of(&dataset("y", &samples), 0)
        };
        assert!(one.is_same(&moved(7)) && !one.is_same(&moved(8)));
        assert!(!one.is_same(&DataSet { left_out: 1, ..one.clone() }));
    }

    #[test]
    fn it_is_described_in_words() {
        let some = dataset("/x/set", &[("/x/set/a.jpg", 1, None)]);
        assert_eq!(DataSet::of(&some, 0).to_string(), "set (layout list): 1 image of 1 person");
        let data = DataSet { cameras: Some(6), ..DataSet::of(&some, 1) };
        assert!(
            data.to_string()
                .ends_with("1 image of 1 person under 6 cameras, 1 of them left out as unreadable")
        );
        let more = DataSet { unlabelled: 7, ..DataSet::of(&some, 0) };
        assert!(more.to_string().ends_with("1 image of 1 person, and 7 images without an identity"));
        assert!(!more.is_same(&DataSet::of(&some, 0)));
    }
}

//! `study.json`: what the runs in a study's folder have in common, so that no other study goes on in its place.

use super::start::Start;
use crate::data::{Dataset, Sample};
use crate::files::{MIB, read_text, write_json};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// What the runs of a study have in common beside their recipes.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct About {
    /// The images to train on, of the queries and of the gallery, by their names and persons.
    images: [u32; 3],
    /// The network that all start from, if starts are not compared.
    weights: Option<String>,
    /// The network of each start that is compared, by its name; none: random weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    starts: Option<BTreeMap<String, Option<String>>>,
}

/// A checksum of the images' names (without folders, which may move) with their persons and cameras.
pub(super) fn crc32_of_names(samples: impl Iterator<Item = Sample>) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for Sample { path, pid, camid } in samples {
        crc.update(
            format!("{} {pid} {camid:?}\n", path.file_name().unwrap_or_default().display()).as_bytes(),
        );
    }
    crc.finalize()
}

impl About {
    fn of(dataset: &Dataset, starts: &[Start]) -> Self {
        let named = |start: &Start| Some((start.name.clone()?, start.fingerprint.clone()));
        let named: BTreeMap<_, _> = starts.iter().filter_map(named).collect();
        About {
            images: [&dataset.train, &dataset.query, &dataset.gallery]
                .map(|samples| crc32_of_names(samples.iter().cloned())),
            weights: match named.is_empty() {
                true => starts.first().and_then(|start| start.fingerprint.clone()),
                false => None,
            },
            starts: Some(named).filter(|named| !named.is_empty()),
        }
    }

    /// What speaks against going on, with this study, in the folder that `self` is about; else what both are about.
    fn joined(mut self, own: About) -> std::result::Result<Self, String> {
        if self.images != own.images || self.weights != own.weights {
            return Err("has other images or starts from other weights".into());
        }
        let (known, wanted) = match (&mut self.starts, own.starts) {
            (None, None) => return Ok(self),
            (Some(known), Some(wanted)) => (known, wanted),
            (None, Some(_)) => return Err("began without --start".into()),
            (Some(_), None) => return Err("began with --start".into()),
        };
        for (name, network) in wanted {
            if known.get(&name).is_some_and(|other| *other != network) {
                return Err(format!("has other weights as start {name} (write --start NAME=FILE)"));
            }
            if let Some((twin, _)) = known.iter().find(|(twin, other)| **other == network && **twin != name) {
                return Err(format!(
                    "knows the weights of start {name} as {twin} (write --start {twin}=FILE)"
                ));
            }
            known.insert(name, network);
        }
        Ok(self)
    }
}

/// Notes what the study in `out` is about, or checks that a study that is there is about the same: its runs would be
/// taken for this one's. Starts that it does not know yet are added.
///
/// # Errors
/// A study of other images or other weights; a file that is damaged.
pub(super) fn begin_or_go_on(out: &Path, dataset: &Dataset, starts: &[Start]) -> Result<()> {
    let own = About::of(dataset, starts);
    let path = out.join("study.json");
    let text = match read_text(&path, MIB) {
        Ok(text) => text,
        Err(e) if e.is_missing_file() => return write_json(&path, &own),
        Err(e) => return Err(e),
    };
    let there: About = serde_json::from_str(&text).map_err(|_| {
        Error::Run(format!(
            "{}: damaged; delete it if the runs beside it are of the same images and weights, else give another --out",
            path.display()
        ))
    })?;
    let before = there.clone();
    let joined = there.joined(own).map_err(|why| {
        Error::Run(format!("{}: the study in this folder {why}; give this one another --out", out.display()))
    })?;
    if joined == before { Ok(()) } else { write_json(&path, &joined) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(weights: Option<&str>, starts: &[(&str, Option<&str>)]) -> About {
        let starts: BTreeMap<_, _> =
            starts.iter().map(|(name, network)| (name.to_string(), network.map(String::from))).collect();
        About {
            images: [1, 2, 3],
            weights: weights.map(String::from),
            starts: Some(starts).filter(|starts| !starts.is_empty()),
        }
    }

    #[test]
    fn a_study_goes_on_with_the_starts_it_knows_and_with_new_ones() {
        let there = about(None, &[("random", None), ("a", Some("1"))]);
        let joined = there.clone().joined(about(None, &[("a", Some("1")), ("b", Some("2"))])).ok().unwrap();
        assert!(joined == about(None, &[("a", Some("1")), ("b", Some("2")), ("random", None)]));
        let without_name = about(Some("1"), &[]);
        for (one, other, words) in [
            (&there, about(None, &[("a", Some("2"))]), "other weights as start a"),
            (&there, about(None, &[("c", Some("1"))]), "knows the weights of start c as a"),
            (&there, about(None, &[]), "began with --start"),
            (&there, about(Some("1"), &[]), "starts from other weights"),
            (&without_name, about(None, &[("a", Some("1"))]), "starts from other weights"),
            (&about(None, &[]), about(None, &[("random", None)]), "began without --start"),
            (&without_name, About { images: [0; 3], ..about(Some("1"), &[]) }, "other images"),
        ] {
            let why = one.clone().joined(other).err().unwrap();
            assert!(why.contains(words), "{words}: {why}");
        }
    }

    /// What a study without named starts writes is what earlier versions wrote, and they are read.
    #[test]
    fn the_form_of_earlier_studies() {
        let text = r#"{"images":[1,2,3],"weights":"ab"}"#;
        let read: About = serde_json::from_str(text).unwrap();
        assert!(read == about(Some("ab"), &[]));
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert!(read.clone().joined(read).is_ok());
    }
}

//! Manifest of a study, `study.json`: properties that all of its runs share. It prevents another study from
//! continuing in the same folder.

use super::Study;
use super::start::Start;
use super::sweep::HeldOut;
use crate::data::{Dataset, Sample};
use crate::files::{MIB, read_text, write_json};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Number of digits of a fingerprint in an error message.
const DIGITS: usize = 12;
/// Names of the parts of a data set, in the order of the checksums and numbers of images.
const PARTS: [&str; 3] = ["images to train on", "queries", "images in the gallery"];

/// Properties that all runs of a study share beside their recipes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StudyManifest {
    /// Checksums of names and persons of the training images, the queries and the gallery.
    images: [u32; 3],
    /// Numbers of these images; files of earlier versions lack them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    counts: Option<[usize; 3]>,
    /// Rule that chose the held-out persons of a sweep; absent in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held_out: Option<HeldOut>,
    /// Fingerprint of the network that all runs start from, if starts are not compared.
    weights: Option<String>,
    /// Fingerprint of the network of each compared start, by its name; `None` for random weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    starts: Option<BTreeMap<String, Option<String>>>,
}

/// Checksum of the images' names (without folders, which may move), persons and cameras.
pub(super) fn crc32_of_names(samples: impl Iterator<Item = Sample>) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for Sample { path, pid, camid } in samples {
        crc.update(
            format!("{} {pid} {camid:?}\n", path.file_name().unwrap_or_default().display()).as_bytes(),
        );
    }
    crc.finalize()
}

/// Describes a network in words.
fn network(fingerprint: Option<&str>) -> String {
    match fingerprint {
        None => "random weights".into(),
        Some(fingerprint) => {
            let digits: String = fingerprint.chars().take(DIGITS).collect();
            format!("weights with the fingerprint {}...", digits)
        }
    }
}

impl StudyManifest {
    fn of(dataset: &Dataset, held_out: Option<HeldOut>, starts: &[Start]) -> Self {
        let named = |start: &Start| Some((start.name.clone()?, start.fingerprint.clone()));
        let named: BTreeMap<_, _> = starts.iter().filter_map(named).collect();
        let parts = [&dataset.train, &dataset.query, &dataset.gallery];
        StudyManifest {
            images: parts.map(|samples| crc32_of_names(samples.iter().cloned())),
            counts: Some(parts.map(Vec::len)),
            held_out,
            weights: match named.is_empty() {
                true => starts.first().and_then(|start| start.fingerprint.clone()),
                false => None,
            },
            starts: Some(named).filter(|named| !named.is_empty()),
        }
    }

    /// Reads the manifest in the study's folder and merges it with that of this call; new starts are added. A folder
    /// without a manifest gets that of this call.
    ///
    /// # Errors
    /// A study of other images or other weights; a damaged file.
    pub fn open(study: &Study<'_>) -> Result<Self> {
        let own = StudyManifest::of(study.dataset, study.held_out, study.starts);
        let path = study.out.join("study.json");
        let text = match read_text(&path, MIB) {
            Ok(text) => text,
            Err(e) if e.is_missing_file() => return Ok(own),
            Err(e) => return Err(e),
        };
        let there: StudyManifest = serde_json::from_str(&text).map_err(|_| {
            Error::Run(format!(
                "{}: the file is damaged; give another --out; if the runs beside it are of the same images and \
                 weights, replace it by the study.json of that folder, and the study continues",
                path.display()
            ))
        })?;
        there.joined(own).map_err(|why| Error::Run(format!("{}: {why}", study.out.display())))
    }

    /// Writes the manifest into the study's folder.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn write(&self, out: &Path) -> Result<()> {
        write_json(&out.join("study.json"), self)
    }

    /// Names of all compared starts; empty if the study does not compare starts.
    pub fn start_names(&self) -> Vec<String> {
        self.starts.iter().flat_map(|starts| starts.keys().cloned()).collect()
    }

    /// Merges the folder's manifest `self` with the manifest `own` of this call, if the call may continue there.
    ///
    /// # Errors
    /// A sentence that says how the two differ and what to do.
    fn joined(self, own: StudyManifest) -> std::result::Result<Self, String> {
        if self.images != own.images {
            return Err(self.other_images(&own));
        }
        let mut starts = match (self.starts, &own.starts) {
            (None, Some(_)) => {
                return Err(
                    "the study in this folder began without --start; go on without it, or give another \
                            --out to compare starts"
                        .into(),
                );
            }
            (Some(known), None) => {
                let names: Vec<&str> = known.keys().map(String::as_str).collect();
                return Err(format!(
                    "the study in this folder began with --start ({}); go on with --start NAME=FILE, or give another \
                     --out",
                    names.join(", ")
                ));
            }
            (None, None) if self.weights != own.weights => {
                return Err(format!(
                    "the study in this folder starts from {}, this call from {}; give the same --weights to go on \
                     with it, or another --out (or compare them there: --start)",
                    network(self.weights.as_deref()),
                    network(own.weights.as_deref())
                ));
            }
            (known, _) => known,
        };
        let wanted = own.starts.iter().flatten();
        for (name, fingerprint) in wanted {
            let known = starts.get_or_insert_default();
            join_start(known, name, fingerprint.as_deref())?;
            known.insert(name.clone(), fingerprint.clone());
        }
        // Files of earlier versions lack these fields.
        Ok(StudyManifest { counts: own.counts, held_out: self.held_out.or(own.held_out), starts, ..own })
    }

    /// Error message for different images: how they differ, and what to do.
    fn other_images(&self, own: &StudyManifest) -> String {
        const BEGAN: &str = "the study in this folder";
        match (self.held_out, own.held_out) {
            (Some(there), Some(here)) if there != here => format!(
                "{BEGAN} holds out persons by --validation {} and run.seed={}, this call by --validation {} and \
                 run.seed={}; give --validation {} --set run.seed={} to go on with it, or another --out",
                there.queries, there.seed, here.queries, here.seed, there.queries, there.seed
            ),
            (Some(_), None) => format!(
                "{BEGAN} is one of bcreid sweep, on persons of the training part who are held out; give bcreid \
                 reproduce another --out"
            ),
            (None, Some(_)) if self.counts.is_some() => format!(
                "{BEGAN} is one of bcreid reproduce, on the test part; give bcreid sweep another --out"
            ),
            _ => {
                let part = |place: usize| {
                    let (there, here) =
                        (self.counts.map(|counts| counts[place]), own.counts.map(|counts| counts[place]));
                    let number =
                        |count: Option<usize>| count.map_or(String::new(), |count| format!("{count} "));
                    match there == here {
                        true => format!("{}{} have other names or persons", number(here), PARTS[place]),
                        false if there.is_none() => {
                            format!("the {}{} are others", number(here), PARTS[place])
                        }
                        false => format!("{}{} there and {}here", number(there), PARTS[place], number(here)),
                    }
                };
                let parts: Vec<String> =
                    (0..3).filter(|&place| self.images[place] != own.images[place]).map(part).collect();
                let hint = match own.held_out {
                    Some(_) if self.counts.is_none() => ", --validation and run.seed",
                    _ => "",
                };
                format!(
                    "{BEGAN} has other images than this call: {}; give the --data{hint} that it began with, or \
                     another --out",
                    parts.join(", ")
                )
            }
        }
    }
}

/// Checks that a start agrees with the starts of the study: one name and one network belong together.
fn join_start(
    known: &BTreeMap<String, Option<String>>,
    name: &str,
    fingerprint: Option<&str>,
) -> std::result::Result<(), String> {
    if let Some(other) = known.get(name).filter(|other| other.as_deref() != fingerprint) {
        return Err(format!(
            "the study in this folder has {} as start {name}, this call has {}; write --start NAME=FILE with another \
             name, or give another --out",
            network(other.as_deref()),
            network(fingerprint)
        ));
    }
    for (twin, other) in known.iter().filter(|(twin, _)| *twin != name) {
        if other.as_deref() == fingerprint {
            return Err(format!(
                "the study in this folder knows the weights of start {name} as {twin}; write --start {twin}=FILE"
            ));
        }
        // Some file systems do not distinguish upper and lower case.
        if twin.eq_ignore_ascii_case(name) {
            return Err(format!(
                "the study in this folder has a start {twin} with other weights than {name}; write --start NAME=FILE \
                 with a name that differs in more than capital letters"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(weights: Option<&str>, starts: &[(&str, Option<&str>)]) -> StudyManifest {
        let starts: BTreeMap<_, _> =
            starts.iter().map(|(name, network)| (name.to_string(), network.map(String::from))).collect();
        StudyManifest {
            images: [1, 2, 3],
            counts: Some([20, 4, 8]),
            held_out: None,
            weights: weights.map(String::from),
            starts: Some(starts).filter(|starts| !starts.is_empty()),
        }
    }

    /// The manifest as earlier versions wrote it.
    fn old(about: StudyManifest) -> StudyManifest {
        StudyManifest { counts: None, held_out: None, ..about }
    }

    #[test]
    fn a_study_goes_on_with_the_starts_it_knows_and_with_new_ones() {
        let there = about(None, &[("random", None), ("a", Some("1"))]);
        let joined = there.clone().joined(about(None, &[("a", Some("1")), ("b", Some("2"))])).unwrap();
        assert_eq!(joined, about(None, &[("a", Some("1")), ("b", Some("2")), ("random", None)]));
        let without_name = about(Some("123456789abcdef"), &[]);
        for (one, other, words) in [
            (
                &there,
                about(None, &[("a", Some("2"))]),
                "fingerprint 1... as start a, this call has weights with",
            ),
            (
                &there,
                about(None, &[("c", Some("1"))]),
                "knows the weights of start c as a; write --start a=FILE",
            ),
            (&there, about(None, &[("A", Some("3"))]), "differs in more than capital letters"),
            (&there, about(None, &[]), "began with --start (a, random)"),
            (&there, about(Some("1"), &[]), "began with --start (a, random)"),
            (&without_name, about(None, &[("a", Some("1"))]), "began without --start"),
            (
                &without_name,
                about(None, &[]),
                "from weights with the fingerprint 123456789abc..., this call from random",
            ),
            (&without_name, about(Some("2"), &[]), "this call from weights with the fingerprint 2..."),
            (&about(None, &[]), about(None, &[("random", None)]), "began without --start"),
        ] {
            let why = one.clone().joined(other).unwrap_err();
            assert!(why.contains(words) && why.contains("--start"), "{words}: {why}");
        }
    }

    #[test]
    fn an_error_names_what_is_other_about_the_images() {
        let held = |queries, seed, images| StudyManifest {
            images,
            held_out: Some(HeldOut { queries, seed }),
            ..about(None, &[])
        };
        let of = |images, counts| StudyManifest { images, counts: Some(counts), ..about(None, &[]) };
        let there = held(4, 0, [1, 2, 3]);
        for (one, other, words) in [
            (&there, held(5, 0, [0, 2, 4]), "--validation 4 and run.seed=0, this call by --validation 5 and"),
            (&there, held(4, 7, [0; 3]), "give --validation 4 --set run.seed=0 to go on"),
            (
                &there,
                held(4, 0, [9, 2, 3]),
                "20 images to train on have other names or persons; give the --data that",
            ),
            (&there, of([0; 3], [20, 4, 8]), "is one of bcreid sweep"),
            (&of([0; 3], [20, 4, 8]), there.clone(), "is one of bcreid reproduce"),
            (
                &of([1, 2, 3], [20, 4, 8]),
                of([1, 0, 4], [20, 5, 9]),
                "4 queries there and 5 here, 8 images in the",
            ),
            (
                &old(there.clone()),
                held(4, 0, [9, 2, 3]),
                "the 20 images to train on are others; give the --data, --val",
            ),
        ] {
            let why = one.clone().joined(other).unwrap_err();
            assert!(why.contains(words) && why.contains("another --out"), "{words}: {why}");
        }
        // On a small set two seeds may hold out the same persons.
        assert_eq!(there.clone().joined(held(4, 1, [1, 2, 3])), Ok(there));
    }

    /// Studies of earlier versions continue, and their manifests get the missing fields.
    #[test]
    fn the_form_of_earlier_studies() {
        let read: StudyManifest = serde_json::from_str(r#"{"images":[1,2,3],"weights":"ab"}"#).unwrap();
        assert_eq!(read, old(about(Some("ab"), &[])));
        let own = StudyManifest { held_out: Some(HeldOut { queries: 4, seed: 1 }), ..about(Some("ab"), &[]) };
        assert_eq!(read.joined(own.clone()), Ok(own));
    }
}

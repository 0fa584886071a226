//! `study.json`: what the runs in a study's folder have in common, so that no other study goes on in its place.

use super::Study;
use super::start::Start;
use super::sweep::HeldOut;
use crate::data::{Dataset, Sample};
use crate::files::{MIB, read_text, write_json};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Digits of a fingerprint in an error.
const DIGITS: usize = 12;
/// Whose checksums and numbers of images there are.
const PARTS: [&str; 3] = ["images to train on", "queries", "images in the gallery"];

/// What the runs of a study have in common beside their recipes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct About {
    /// Checksums of the images to train on, of the queries and of the gallery, by their names and persons.
    images: [u32; 3],
    /// How many these are; earlier versions did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    counts: Option<[usize; 3]>,
    /// The rule that chose the persons who are held out, in a sweep; absent in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held_out: Option<HeldOut>,
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

/// A network in words.
fn network(fingerprint: Option<&str>) -> String {
    match fingerprint {
        None => "random weights".into(),
        Some(fingerprint) => {
            let digits: String = fingerprint.chars().take(DIGITS).collect();
            format!("weights with the fingerprint {}...", digits)
        }
    }
}

impl About {
    fn of(dataset: &Dataset, held_out: Option<HeldOut>, starts: &[Start]) -> Self {
        let named = |start: &Start| Some((start.name.clone()?, start.fingerprint.clone()));
        let named: BTreeMap<_, _> = starts.iter().filter_map(named).collect();
        let parts = [&dataset.train, &dataset.query, &dataset.gallery];
        About {
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

    /// Reads what the study in its folder is about and joins this call to it: its runs would be taken for this one's.
    /// Starts that it does not know yet are added. A folder without a study begins one.
    ///
    /// # Errors
    /// A study of other images or other weights; a file that is damaged.
    pub fn begin_or_go_on(study: &Study<'_>) -> Result<Self> {
        let own = About::of(study.dataset, study.held_out, study.starts);
        let path = study.out.join("study.json");
        let text = match read_text(&path, MIB) {
            Ok(text) => text,
            Err(e) if e.is_missing_file() => return Ok(own),
            Err(e) => return Err(e),
        };
        let there: About = serde_json::from_str(&text).map_err(|_| {
            Error::Run(format!(
                "{}: damaged; give another --out; if the runs beside it are of the same images and weights, copy the \
                 study.json that appears there in its place, and they go on",
                path.display()
            ))
        })?;
        there.joined(own).map_err(|why| Error::Run(format!("{}: {why}", study.out.display())))
    }

    /// Writes it into the study's folder.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, out: &Path) -> Result<()> {
        write_json(&out.join("study.json"), self)
    }

    /// The names of all starts that the study compares; none if it does not.
    pub fn start_names(&self) -> Vec<String> {
        self.starts.iter().flat_map(|starts| starts.keys().cloned()).collect()
    }

    /// The description of both together, where a call described by `own` may go on in the folder described by `self`;
    /// else the difference, and the way out.
    fn joined(self, own: About) -> std::result::Result<Self, String> {
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
        // Earlier versions did not write these.
        Ok(About { counts: own.counts, held_out: self.held_out.or(own.held_out), starts, ..own })
    }

    /// How the images of two calls differ, and what to do.
    fn other_images(&self, own: &About) -> String {
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

/// Whether a start fits those that the study knows.
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
        // File systems may not tell letters' cases apart.
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

    fn about(weights: Option<&str>, starts: &[(&str, Option<&str>)]) -> About {
        let starts: BTreeMap<_, _> =
            starts.iter().map(|(name, network)| (name.to_string(), network.map(String::from))).collect();
        About {
            images: [1, 2, 3],
            counts: Some([20, 4, 8]),
            held_out: None,
            weights: weights.map(String::from),
            starts: Some(starts).filter(|starts| !starts.is_empty()),
        }
    }

    /// One that earlier versions wrote.
    fn old(about: About) -> About {
        About { counts: None, held_out: None, ..about }
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
        let held = |queries, seed, images| About {
            images,
            held_out: Some(HeldOut { queries, seed }),
            ..about(None, &[])
        };
        let of = |images, counts| About { images, counts: Some(counts), ..about(None, &[]) };
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

    /// Studies of earlier versions, which did not write what an error needs to be clear, go on and get it.
    #[test]
    fn the_form_of_earlier_studies() {
        let read: About = serde_json::from_str(r#"{"images":[1,2,3],"weights":"ab"}"#).unwrap();
        assert_eq!(read, old(about(Some("ab"), &[])));
        let own = About { held_out: Some(HeldOut { queries: 4, seed: 1 }), ..about(Some("ab"), &[]) };
        assert_eq!(read.joined(own.clone()), Ok(own));
    }
}

//! Numbers for the identities and cameras of lists and folders, which may be texts.
//!
//! A column of whole numbers in all parts of a data set keeps its numbers. Otherwise every value is a name, and the names
//! are numbered from 1 in their sorted order, so that the numbers do not depend on the order of the lines. The
//! identities `-1` (junk) and `0` (distractors) keep their meaning among names.

use super::found::Found;
use super::labelled::Labelled;
use super::{Labels, Sample, doubtful_labels};
use crate::console::counted;
use crate::error::excerpt;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Number of characters of a name in a note.
const SHOWN: usize = 40;

/// Numbers of one column; `None` if its values are numbers themselves.
#[derive(Clone, Debug, Default)]
struct Column(Option<BTreeMap<String, i64>>);

impl Column {
    fn of<'a>(values: impl Iterator<Item = &'a str> + Clone, of_nobody: fn(&str) -> Option<i64>) -> Self {
        if values.clone().all(|value| value.parse::<i64>().is_ok()) {
            return Column(None);
        }
        let names: BTreeSet<&str> = values.filter(|value| of_nobody(value).is_none()).collect();
        Column(Some(names.into_iter().zip(1..).map(|(name, number)| (name.to_string(), number)).collect()))
    }

    /// The number of a value; a name that is not among those numbered gets the next number.
    fn number(
        &mut self,
        what: &str,
        value: &str,
        of_nobody: fn(&str) -> Option<i64>,
    ) -> std::result::Result<i64, String> {
        match &mut self.0 {
            None => value.parse().map_err(|_| {
                format!("the {what} {:?} is a name, and the other lists have numbers", excerpt(value, SHOWN))
            }),
            Some(names) => {
                if let Some(number) = of_nobody(value) {
                    return Ok(number);
                }
                let next = names.len() as i64 + 1;
                Ok(*names.entry(value.to_string()).or_insert(next))
            }
        }
    }

    fn names(&self) -> BTreeMap<i64, String> {
        self.0.iter().flatten().map(|(name, number)| (*number, name.clone())).collect()
    }
}

/// The number of a text that is no person: -1 of junk, 0 of distractors (`0000` in Market-1501); `None` for others.
fn no_person(value: &str) -> Option<i64> {
    value.parse().ok().filter(|number| [-1, 0].contains(number))
}

/// Every camera is one.
fn no_camera(_: &str) -> Option<i64> {
    None
}

/// The numbers of all identities and cameras of a data set.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbering {
    pids: Column,
    cameras: Column,
}

impl Numbering {
    /// The numbering of the images of all parts.
    pub fn of(parts: &[&[Labelled]]) -> Self {
        let all = || parts.iter().copied().flatten();
        Numbering {
            pids: Column::of(all().map(|image| image.pid.as_str()), no_person),
            cameras: Column::of(all().filter_map(|image| image.camid.as_deref()), no_camera),
        }
    }

    /// The numbering of a data set whose names are `labels`.
    pub fn with(labels: &Labels) -> Self {
        let column = |names: &BTreeMap<i64, String>| {
            let numbers = || names.iter().map(|(number, name)| (name.clone(), *number)).collect();
            Column((!names.is_empty()).then(numbers))
        };
        Numbering { pids: column(&labels.pids), cameras: column(&labels.cameras) }
    }

    /// The training, query and gallery images with numbers, and notes about columns of names.
    ///
    /// # Errors
    /// None for lists that are numbered together.
    pub fn found(root: &Path, [train, query, gallery]: [Vec<Labelled>; 3]) -> Result<(Found, Vec<String>)> {
        let mut numbering = Numbering::of(&[&train, &query, &gallery]);
        let doubtful = doubtful_labels::notes(root, [&train, &query, &gallery]);
        let mut samples = |part| numbering.samples(part).map_err(Error::Data);
        let (train, query, gallery) = (samples(train)?, samples(query)?, samples(gallery)?);
        let (labels, mut notes) = (numbering.labels(), numbering.notes(root));
        notes.extend(doubtful);
        Ok((Found { train, query, gallery, labels, ..Found::default() }, notes))
    }

    /// The images with numbers.
    ///
    /// # Errors
    /// A name among numbers, in words; none for the images that were numbered.
    pub fn samples(&mut self, images: Vec<Labelled>) -> std::result::Result<Vec<Sample>, String> {
        let sample = |Labelled { path, pid, camid, line }: Labelled| {
            let number = || {
                let camid =
                    camid.map(|camera| self.cameras.number("camera", &camera, no_camera)).transpose()?;
                Ok((self.pids.number("pid", &pid, no_person)?, camid))
            };
            let (pid, camid) = number().map_err(|why: String| match line {
                Some(line) => format!("line {line}: {why}"),
                None => why,
            })?;
            Ok(Sample { path, pid, camid })
        };
        images.into_iter().map(sample).collect()
    }

    /// The names, by number.
    pub fn labels(&self) -> Labels {
        Labels { pids: self.pids.names(), cameras: self.cameras.names() }
    }

    /// Notes about columns of names.
    pub fn notes(&self, root: &Path) -> Vec<String> {
        let note = |what: &str, column: &Column| {
            let names = column.0.as_ref()?;
            let first = names.keys().next()?;
            let numbers = names.keys().filter(|name| name.parse::<i64>().is_ok()).count();
            let numbers = match numbers {
                0 => String::new(),
                n => format!("; {n} of them are numbers and are taken for names too"),
            };
            Some(format!(
                "{}: {} with names (the first: {}), numbered in their sorted order{numbers}",
                root.display(),
                match names.len() {
                    1 => format!("1 {what}"),
                    n if what == "identity" => format!("{n} identities"),
                    n => counted(n, what),
                },
                excerpt(first, SHOWN)
            ))
        };
        [note("identity", &self.pids), note("camera", &self.cameras)].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn images(labels: &[(&str, Option<&str>)]) -> Vec<Labelled> {
        let image = |(pid, camid): &(&str, Option<&str>)| Labelled {
            path: PathBuf::new(),
            pid: pid.to_string(),
            camid: camid.map(str::to_string),
            line: None,
        };
        labels.iter().map(image).collect()
    }

    fn numbers(samples: &[Sample]) -> Vec<(i64, Option<i64>)> {
        samples.iter().map(|sample| (sample.pid, sample.camid)).collect()
    }

    #[test]
    fn numbers_stay_and_names_are_numbered_over_all_parts() {
        let (train, test) =
            (images(&[("7", Some("west"))]), images(&[("-1", Some("east")), ("0007", Some("2"))]));
        let mut numbering = Numbering::of(&[&train, &test]);
        assert_eq!(numbers(&numbering.samples(train).unwrap()), [(7, Some(3))]);
        assert_eq!(numbers(&numbering.samples(test).unwrap()), [(-1, Some(2)), (7, Some(1))]);
        assert!(numbering.labels().pids.is_empty());
        assert_eq!(numbering.labels().camera(3), "west");
        let notes = numbering.notes(Path::new("set"));
        assert_eq!(notes.len(), 1);
        assert!(
            notes[0].contains("3 cameras with names (the first: 2)") && notes[0].contains("1 of them"),
            "{notes:?}"
        );
    }

    #[test]
    fn numbers_do_not_depend_on_the_order_of_the_lines() {
        let (a, b) = (images(&[("b", None), ("a", None), ("-1", None)]), images(&[("a", None), ("b", None)]));
        let (mut of_a, mut of_b) = (Numbering::of(&[&a]), Numbering::of(&[&b]));
        assert_eq!(numbers(&of_a.samples(a).unwrap()), [(2, None), (1, None), (-1, None)]);
        assert_eq!(numbers(&of_b.samples(b).unwrap()), [(1, None), (2, None)]);
        // A list that is read later, of multi-query's boxes, may name others.
        assert_eq!(
            numbers(&of_a.samples(images(&[("c", None), ("b", None)])).unwrap()),
            [(3, None), (2, None)]
        );
        let mut again = Numbering::with(&of_b.labels());
        assert_eq!(numbers(&again.samples(images(&[("b", Some("5"))])).unwrap()), [(2, Some(5))]);
        // Distractors keep their number too, however many zeros they are written with.
        let with_distractors =
            images(&[("0000", None), ("b", None), ("0", None), ("-1", None), ("00x", None)]);
        let mut numbering = Numbering::of(&[&with_distractors]);
        let of = numbers(&numbering.samples(with_distractors).unwrap());
        assert_eq!(of, [(0, None), (2, None), (0, None), (-1, None), (1, None)]);
        assert_eq!(numbering.labels().pid(0), "0");
        let error = again.samples(images(&[("b", Some("east"))])).unwrap_err();
        assert!(error.contains("camera \"east\" is a name"), "{error}");
    }
}

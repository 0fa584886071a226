//! Names of identities and cameras in the metadata of a feature file: a JSON list of `NUMBER NAME`.

use super::super::header::count_texts;
use crate::data::Labels;
use crate::weights::TensorFile;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

const PIDS: &str = "pid_names";
const CAMERAS: &str = "camera_names";
/// Longest name that is read, in bytes.
const LONGEST: usize = 1024;
/// Most names that are read: more persons than any published data set has.
const MOST: usize = 1 << 18;

/// Takes the names of a file with `rows` images.
///
/// # Errors
/// A description of the fault. No list of more names than images is kept in memory.
pub(super) fn take(file: &mut TensorFile, rows: usize) -> Result<Labels, String> {
    let mut names = |key: &str| {
        match file.take_metadata(key) {
        None => Ok(BTreeMap::new()),
        Some(list) => parse(&list, rows).ok_or_else(|| {
            format!(
                "metadata {key:?} is not a JSON list of at most {} texts \"NUMBER NAME\"; write the file again",
                rows.min(MOST)
            )
        }),
    }
    };
    Ok(Labels { pids: names(PIDS)?, cameras: names(CAMERAS)? })
}

/// The names in a list of at most `rows`; `None` for any fault.
fn parse(list: &str, rows: usize) -> Option<BTreeMap<i64, String>> {
    if count_texts(list)? > rows.min(MOST) {
        return None;
    }
    serde_json::from_str::<Names>(list).ok().map(|names| names.0)
}

/// Names by their numbers, read one by one: the texts of the list do not stay beside them.
struct Names(BTreeMap<i64, String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(NamesVisitor)
    }
}

struct NamesVisitor;

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Names;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts \"NUMBER NAME\", no number twice")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Names, A::Error> {
        let mut names = BTreeMap::new();
        while let Some(entry) = list.next_element::<String>()? {
            let entry = entry.split_once(' ').and_then(|(number, name)| {
                let number = number.parse().ok().filter(|number: &i64| *number >= 0)?;
                (name.len() <= LONGEST).then(|| (number, name.to_string()))
            });
            let Some((number, name)) = entry else { return Err(A::Error::custom("no number and name")) };
            if names.insert(number, name).is_some() {
                return Err(A::Error::custom("a number is named twice"));
            }
        }
        Ok(Names(names))
    }
}

/// The metadata of the names that the `pids` and `camids` of a file have.
pub(super) fn metadata(labels: &Labels, pids: &[i64], camids: &[i64]) -> BTreeMap<String, String> {
    let list = |names: &BTreeMap<i64, String>, numbers: &[i64]| {
        let mut used: Vec<i64> =
            numbers.iter().copied().filter(|number| names.contains_key(number)).collect();
        used.sort_unstable();
        used.dedup();
        let entries: Vec<String> =
            used.into_iter().map(|number| format!("{number} {}", names[&number])).collect();
        (!entries.is_empty()).then(|| serde_json::json!(entries).to_string())
    };
    let lists = [(PIDS, list(&labels.pids, pids)), (CAMERAS, list(&labels.cameras, camids))];
    lists.into_iter().filter_map(|(key, list)| Some((key.to_string(), list?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_rows_are_written_and_read() {
        let names = |list: &[(i64, &str)]| list.iter().map(|(n, name)| (*n, name.to_string())).collect();
        let labels = Labels { pids: names(&[(1, "ann"), (2, "a b"), (3, "cy")]), cameras: names(&[(4, "")]) };
        let written = metadata(&labels, &[2, -1, 1, 2], &[4; 4]);
        assert_eq!(written[PIDS], r#"["1 ann","2 a b"]"#);
        assert_eq!(parse(&written[PIDS], 4).unwrap(), names(&[(1, "ann"), (2, "a b")]));
        assert_eq!(parse(&written[CAMERAS], 4).unwrap(), names(&[(4, "")]));
        assert!(metadata(&labels, &[7], &[0]).is_empty());
    }

    #[test]
    fn faulty_lists_are_refused() {
        let long = format!("[\"1 {}\"]", "x".repeat(LONGEST + 1));
        for list in [
            "",
            "{}",
            "[1]",
            r#"["1"]"#,
            r#"["x ann"]"#,
            r#"["-1 ann"]"#,
            r#"["1 a","2 b","3 c"]"#,
            r#"["1 a","1 b"]"#,
            &long,
        ] {
            assert_eq!(parse(list, 2), None, "{list}");
        }
    }
}

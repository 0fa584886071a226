//! Warnings about identities and cameras that are probably written wrongly: a mistyped number that turns all numbers
//! into names, and a number in two spellings.

use super::labelled::Labelled;
use super::list::LISTS;
use crate::error::excerpt;
use std::collections::BTreeMap;
use std::path::Path;

/// Least share of whole numbers among the values of a column whose other values are taken for mistyped numbers.
const NEARLY_ALL: f64 = 0.9;
/// Number of characters of a value in a warning.
const SHOWN: usize = 40;

/// Warnings about the labels of the training, query and gallery images of the data set in `root`.
pub(super) fn notes(root: &Path, parts: [&[Labelled]; 3]) -> Vec<String> {
    let mut notes = Vec::new();
    for (nouns, value) in [(["person", "persons"], pid as Value), (["camera", "cameras"], camera)] {
        let column = Column { root, parts, nouns, value };
        notes.extend(column.mistyped());
        notes.extend(column.two_spellings());
    }
    notes
}

/// The whole number of a text, which may have a fraction of zero: spreadsheet programs make `7.0` of 7.
fn number(value: &str) -> Option<i64> {
    let whole = value.split_once('.').filter(|(_, fraction)| fraction.bytes().all(|digit| digit == b'0'));
    whole.map_or(value, |(whole, _)| whole).parse().ok()
}

/// The value of an image in a column.
type Value = fn(&Labelled) -> Option<&str>;

fn pid(image: &Labelled) -> Option<&str> {
    Some(&image.pid)
}

fn camera(image: &Labelled) -> Option<&str> {
    image.camid.as_deref()
}

/// The identities or the cameras of all images.
struct Column<'a> {
    root: &'a Path,
    parts: [&'a [Labelled]; 3],
    /// The noun in the singular and in the plural.
    nouns: [&'static str; 2],
    value: Value,
}

impl Column<'_> {
    /// Each value, with its image and the index of its part.
    fn values(&self) -> impl Iterator<Item = (usize, &Labelled, &str)> {
        let images = self
            .parts
            .into_iter()
            .enumerate()
            .flat_map(|(part, images)| images.iter().map(move |i| (part, i)));
        images.filter_map(|(part, image)| Some((part, image, (self.value)(image)?)))
    }

    /// The place of the first value that is no number, if nearly all others are numbers.
    fn mistyped(&self) -> Option<String> {
        let is_text = |value: &str| value.parse::<i64>().is_err();
        let (all, texts) = self
            .values()
            .fold((0, 0), |(all, texts), (.., value)| (all + 1, texts + usize::from(is_text(value))));
        let mut wrong = self.values().filter(|(.., value)| is_text(value));
        let (part, image, value) = wrong.next()?;
        if ((all - texts) as f64) < NEARLY_ALL * all as f64 {
            return None;
        }
        let place = match image.line {
            Some(line) => format!("{} line {line}", self.root.join(LISTS[part]).display()),
            None => image.path.display().to_string(),
        };
        let [singular, plural] = self.nouns;
        let more = match texts - 1 {
            0 => String::new(),
            n => format!(" (and {n} more of {all} values)"),
        };
        Some(format!(
            "warning: {place}: the {singular} `{}` is not a number{more}, so all {plural} are read as names; if it is \
             a slip, correct it",
            excerpt(value, SHOWN)
        ))
    }

    /// The first number that is written in two ways, such as `7` and `0007` or `7.0`.
    fn two_spellings(&self) -> Option<String> {
        let mut spellings: BTreeMap<i64, &str> = BTreeMap::new();
        let mut twice: Option<[&str; 2]> = None;
        let mut are_names = false;
        for (.., value) in self.values() {
            are_names |= value.parse::<i64>().is_err();
            match number(value) {
                None => {}
                // Junk and distractors are no persons.
                Some(-1 | 0) if self.nouns[0] == "person" => {}
                Some(number) => {
                    let first = *spellings.entry(number).or_insert(value);
                    if first != value && twice.is_none() {
                        twice = Some([first, value]);
                    }
                }
            }
        }
        let [a, b] = twice?;
        let [singular, plural] = self.nouns;
        let (meaning, fix) = match are_names {
            true => (
                format!("{plural} are read as names here, so these are two"),
                "if they are one, write one name",
            ),
            false => (
                format!("as numbers they are one {singular}"),
                "if they are two, give one of them another number",
            ),
        };
        Some(format!(
            "warning: {}: the {plural} {} and {} are one number in two spellings; {meaning}; {fix}",
            self.root.display(),
            excerpt(a, SHOWN),
            excerpt(b, SHOWN)
        ))
    }
}

//! Conditions under which an evaluation's figures mean less than they seem to.

use super::Protocol;
use crate::config::Config;
use crate::console::counted;
use crate::files::{MIB, read_text};
use crate::run::{Layout, collapse, metrics};
use crate::weights::Features;
use crate::{Error, Result};
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

/// Refuses features that are all equal: their ranking would be the order of the gallery's file.
///
/// # Errors
/// [`Error::Data`] about a collapsed network, or features that are all zero.
pub(super) fn refuse_equal(query: &Features, gallery: &Features) -> Result<()> {
    let Some(first) = query.features().get(..query.dim()) else { return Ok(()) };
    let (rows, dim) = (query.len() + gallery.len(), query.dim());
    let mut all = query.features().chunks_exact(dim).chain(gallery.features().chunks_exact(dim));
    // Two equal images are no fault; two of one image each neither.
    if rows < 3 || gallery.dim() != dim || !all.all(|row| row == first) {
        return Ok(());
    }
    let what = if first.iter().all(|value| *value == 0.0) { "zero" } else { "equal" };
    Err(Error::Data(format!(
        "all {rows} features are {what}, so that every ranking would be the order of the files; the network tells no \
         images apart: its training collapsed, or its weights are spoilt"
    )))
}

/// Refuses features of which one side names its identities and the other numbers them: equal numbers would be chance.
///
/// # Errors
/// [`Error::Data`] that names an identity.
pub(super) fn refuse_names_on_one_side(query: &Features, gallery: &Features) -> Result<()> {
    let names = [&query.labels().pids, &gallery.labels().pids];
    let (named, other, which) = match names.map(|names| names.is_empty()) {
        [true, false] => (names[1], query, "query"),
        [false, true] => (names[0], gallery, "gallery"),
        _ => return Ok(()),
    };
    match other.pids().iter().find_map(|pid| Some((pid, named.get(pid)?))) {
        None => Ok(()),
        Some((pid, name)) => Err(Error::Data(format!(
            "the {which} has the number {pid} for an identity, and the other side the name {name:?}; extract both from \
             one data set"
        ))),
    }
}

/// Remarks about queries that find themselves and about features of zeros.
pub(super) fn remarks(query: &Features, gallery: &Features, protocol: &Protocol) -> Vec<String> {
    let mut remarks = Vec::new();
    let found = finding_themselves(query, gallery, protocol);
    if found > 0 {
        remarks.push(format!(
            "Warning: {} of {} queries are in the gallery themselves (an image of the same path, or one of the same \
             person with an equal feature) and are not dropped, so each finds itself at rank 1; leave them out of the \
             gallery, or give the cameras.",
            found,
            query.len()
        ));
    }
    let is_zero = |features: &Features| {
        features.features().chunks_exact(features.dim()).filter(|row| row.iter().all(|v| *v == 0.0)).count()
    };
    let zeros = is_zero(query) + is_zero(gallery);
    if zeros > 0 {
        remarks.push(format!(
            "Warning: {} without any value but zero; such features are at equal distance from all others.",
            counted(zeros, "feature")
        ));
    }
    remarks
}

/// A remark about a run whose features were collapsed at the end of its training. A run without metrics, such as one of
/// which only the weights were copied, gives none.
///
/// # Errors
/// Settings or metrics that cannot be read.
pub fn collapsed_training(run: &Path) -> Result<Option<String>> {
    let layout = Layout::of(run);
    if !layout.metrics().is_file() || !layout.config().is_file() {
        return Ok(None);
    }
    let config = Config::from_toml(&read_text(&layout.config(), MIB)?)?;
    let mean = collapse::of_run(&config, &metrics::read(&layout.metrics())?);
    Ok(mean.map(|mean| {
        format!(
            "Warning: the features collapsed in training (mean distance between different persons {mean:.3} in its \
             last steps), so the network hardly tells persons apart; train again, bcreid train says how to prevent \
             it."
        )
    }))
}

/// Number of queries whose own image is in the gallery and is ranked: the camera of a query is dropped only if cameras
/// count. An image is the query's own if it has its path, or is of its person with an equal feature that no other person
/// has: a copy under another name.
fn finding_themselves(query: &Features, gallery: &Features, protocol: &Protocol) -> usize {
    if query.origin().pooled.is_some() {
        return 0;
    }
    // Persons and cameras of the gallery's rows by path, and rows by person. Rows of -1 are never ranked.
    let mut of_path: HashMap<&str, HashSet<(i64, i64)>> = HashMap::new();
    let mut of_person: HashMap<i64, Vec<usize>> = HashMap::new();
    let ranked = || (0..gallery.len()).filter(|&row| gallery.pids()[row] != -1);
    for row in ranked() {
        let (pid, camid) = (gallery.pids()[row], gallery.camids()[row]);
        if let Some(path) = gallery.paths().get(row) {
            of_path.entry(path).or_default().insert((pid, camid));
        }
        of_person.entry(pid).or_default().push(row);
    }
    // Rows of the query's person with an equal feature. Nearly all comparisons end at the first value.
    let equal_rows = |q: usize| {
        let of_person = of_person.get(&query.pids()[q]).into_iter().flatten();
        of_person.copied().filter(move |&row| has_equal_bits(query.row(q), gallery.row(row)))
    };
    let copied: Vec<Vec<usize>> = (0..query.len()).into_par_iter().map(|q| equal_rows(q).collect()).collect();
    // Persons by feature, which reads the whole gallery: only if a query has an equal feature at all.
    let mut of_feature: HashMap<u64, Option<i64>> = HashMap::new();
    if copied.iter().any(|rows| !rows.is_empty()) {
        for row in ranked() {
            let pid = gallery.pids()[row];
            let own = of_feature.entry(hash(gallery.row(row))).or_insert(Some(pid));
            if *own != Some(pid) {
                // A feature of several persons is a fault of the network, and no copy.
                *own = None;
            }
        }
    }
    let counts_cameras = protocol.counts_cameras(query, gallery);
    let is_found = |q: &usize| {
        let (pid, camid) = (query.pids()[*q], query.camids()[*q]);
        let is_kept =
            |other: i64, seen_by: i64| !(counts_cameras && pid == other && camid == seen_by && camid != -1);
        let same_path = query.paths().get(*q).and_then(|path| of_path.get(path.as_str()));
        same_path.is_some_and(|rows| rows.iter().any(|(other, seen_by)| is_kept(*other, *seen_by)))
            || (copied[*q].iter().any(|&row| is_kept(pid, gallery.camids()[row]))
                && of_feature.get(&hash(query.row(*q))) == Some(&Some(pid)))
    };
    (0..query.len()).filter(is_found).count()
}

/// True if two features of one length have the same bits.
fn has_equal_bits(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// A hash of the bits of a feature.
fn hash(row: &[f32]) -> u64 {
    let mut hasher = DefaultHasher::new();
    row.iter().for_each(|value| value.to_bits().hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of two values; each has a path of its own.
    fn features(part: &str, rows: &[([f32; 2], i64, i64)]) -> Features {
        let values = rows.iter().flat_map(|(row, ..)| *row).collect();
        let pids = rows.iter().map(|(_, pid, _)| *pid).collect();
        let camids = rows.iter().map(|(.., camid)| *camid).collect();
        let paths = (0..rows.len()).map(|row| format!("{part}/{row}.jpg")).collect();
        Features::new(values, 2, pids, camids, paths).unwrap()
    }

    #[test]
    fn a_copy_is_found_by_its_feature_unless_several_persons_have_it() {
        let found = |query: &[([f32; 2], i64, i64)], gallery: &[([f32; 2], i64, i64)]| {
            finding_themselves(&features("query", query), &features("gallery", gallery), &Protocol::default())
        };
        let (a, b) = ([0.6, 0.8], [1.0, 0.0]);
        // Of the same person under another camera or an unknown one; not under its own, which is dropped.
        assert_eq!(found(&[(a, 1, 0)], &[(a, 1, 1), (b, 2, 0)]), 1);
        assert_eq!(found(&[(a, 1, -1)], &[(a, 1, -1), (b, 2, -1)]), 1);
        assert_eq!(found(&[(a, 1, 0)], &[(a, 1, 0), (b, 2, 1)]), 0);
        // One copy that is dropped, and one that is not.
        assert_eq!(found(&[(a, 1, 0), (b, 2, 0)], &[(a, 1, 0), (a, 1, 1), (b, 2, 0)]), 1);
        // Another person's, a distractor's, and one of a network that gives several persons one feature.
        assert_eq!(found(&[(a, 1, 0)], &[(a, 2, 1), (b, 1, 1)]), 0);
        assert_eq!(found(&[(a, 1, 0)], &[(a, -1, 1), (b, 1, 1)]), 0);
        assert_eq!(found(&[(a, 1, 0)], &[(a, 1, 1), (a, 2, 1)]), 0);
    }
}

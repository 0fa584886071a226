//! Conditions under which an evaluation's figures mean less than they seem to.

use super::Protocol;
use crate::config::Config;
use crate::console::counted;
use crate::files::{MIB, read_text};
use crate::run::{Layout, collapse, metrics};
use crate::weights::Features;
use crate::{Error, Result};
use std::collections::HashMap;
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
/// count. An image is the query's own if it has its path, or is of its person with an equal feature: a copy under
/// another name.
fn finding_themselves(query: &Features, gallery: &Features, protocol: &Protocol) -> usize {
    if query.origin().pooled.is_some() {
        return 0;
    }
    let mut rows: HashMap<&str, Vec<usize>> = HashMap::new();
    for (row, path) in gallery.paths().iter().enumerate() {
        rows.entry(path).or_default().push(row);
    }
    let counts_cameras = protocol.counts_cameras(query, gallery);
    let is_ranked = |q: usize, g: usize| {
        let dropped = counts_cameras
            && query.pids()[q] == gallery.pids()[g]
            && query.camids()[q] == gallery.camids()[g]
            && query.camids()[q] != -1;
        gallery.pids()[g] != -1 && !dropped
    };
    let mut found = vec![false; query.len()];
    for (q, path) in query.paths().iter().enumerate() {
        found[q] = rows.get(path.as_str()).is_some_and(|rows| rows.iter().any(|&g| is_ranked(q, g)));
    }
    // Rows are compared whole only if their first values agree: the gallery is read once.
    let mut copies: HashMap<(i64, [u32; 4]), Vec<usize>> = HashMap::new();
    for q in (0..query.len()).filter(|&q| query.row(q).iter().any(|value| *value != 0.0)) {
        copies.entry((query.pids()[q], first_values(query.row(q)))).or_default().push(q);
    }
    for (g, pid) in gallery.pids().iter().enumerate() {
        for &q in copies.get(&(*pid, first_values(gallery.row(g)))).into_iter().flatten() {
            found[q] |= is_ranked(q, g) && query.row(q) == gallery.row(g);
        }
    }
    found.into_iter().filter(|found| *found).count()
}

/// The bits of the first values of a feature.
fn first_values(row: &[f32]) -> [u32; 4] {
    let mut first = [0; 4];
    first.iter_mut().zip(row).for_each(|(bits, value)| *bits = value.to_bits());
    first
}

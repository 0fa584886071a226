//! Images of lists and folders before their identities and cameras are numbered.

use std::path::PathBuf;
use unicode_normalization::UnicodeNormalization;

/// Longest name of an identity or a camera, in bytes.
pub(super) const LONGEST: usize = 200;

/// An image whose identity and camera are texts.
#[derive(Clone, Debug)]
pub(super) struct Labelled {
    pub path: PathBuf,
    pub pid: String,
    pub camid: Option<String>,
    /// Its line in a list, from 1.
    pub line: Option<usize>,
}

/// A name in Unicode's composed form (NFC). File systems and programs write an accented letter as one character or as a
/// letter with an accent; both look the same and are one name.
pub(super) fn composed(name: &str) -> String {
    name.nfc().collect()
}

//! What a file name says about an image, and the beginning that the data sets' names have in common.

/// Who and where: the part of a file name that training and evaluation use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// The person; 0 marks a distractor and -1 a junk box.
    pub pid: i64,
    /// The camera as the name counts it (both data sets count from 1).
    pub camid: i64,
}

/// Reads `PID_cCAMERA` at the very start of a base name and returns what follows. Anchored on purpose:
/// searching the whole path for it finds a "person" in a folder called `x_12_c3`.
pub(super) fn head(base: &str) -> Option<(Name, &str)> {
    let (pid, rest) = match base.strip_prefix("-1") {
        Some(rest) => (-1, rest),
        None => number(base)?,
    };
    let (camid, rest) = number(rest.strip_prefix("_c")?)?;
    Some((Name { pid, camid }, rest))
}

/// The decimal digits `text` starts with, as a number, and what follows them; `None` without digits or
/// with more than an i64 holds.
pub(super) fn number(text: &str) -> Option<(i64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

/// Whether a field of a name has come to its end.
pub(super) fn ends(rest: &str) -> bool {
    rest.starts_with(['_', '.'])
}

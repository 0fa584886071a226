//! Identity and camera from a file name, and parsing of the prefix that the data sets' naming schemes share.

/// The identity and camera of a file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// The identity; 0 marks a distractor and -1 a junk box.
    pub pid: i64,
    /// The camera's number (both data sets count from 1).
    pub camid: i64,
}

/// Parses `PID_cCAMERA` at the start of a base name and returns the rest. Anchored at the start: a search in the whole
/// path would find an identity in a folder called `x_12_c3`.
pub(super) fn head(base: &str) -> Option<(Name, &str)> {
    let (pid, rest) = match base.strip_prefix("-1") {
        Some(rest) => (-1, rest),
        None => number(base)?,
    };
    let (camid, rest) = number(rest.strip_prefix("_c")?)?;
    Some((Name { pid, camid }, rest))
}

/// The decimal number at the start of `text`, and the rest; `None` without digits or if the number exceeds an i64.
pub(super) fn number(text: &str) -> Option<(i64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

/// Whether a field of a name ends here.
pub(super) fn ends(rest: &str) -> bool {
    rest.starts_with(['_', '.'])
}

//! Answers in lines of words: comments and empty lines do not count.

use crate::checks::Finding;
use std::fs;
use std::path::Path;

/// The lines of an answer, each as its words.
///
/// # Errors
/// A file that cannot be read.
pub fn read(answer: &Path) -> Result<Vec<Vec<String>>, String> {
    let text = fs::read_to_string(answer).map_err(|error| format!("{}: {error}", answer.display()))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let words = lines.map(|line| line.split_whitespace().map(String::from).collect::<Vec<_>>());
    Ok(words.filter(|words| !words.is_empty()).collect())
}

/// The words behind the first ones of the line that begins with `start`.
///
/// # Errors
/// No such line, more than one, a `?` in it, another number of words.
pub fn behind<'l>(lines: &'l [Vec<String>], start: &str, form: &str) -> Result<Vec<&'l str>, String> {
    let found: Vec<&Vec<String>> = lines.iter().filter(|words| words[0] == start).collect();
    let [line] = found[..] else {
        return Err(match found.len() {
            0 => format!("no line begins with `{start}`; the form is `{form}`"),
            count => format!("{count} lines begin with `{start}`; one is enough"),
        });
    };
    if line.iter().any(|word| word == "?") {
        return Err(format!("the line `{start}` still has a hole, the `?`"));
    }
    if line.len() != form.split_whitespace().count() {
        return Err(format!("`{}` has {} words; the form is `{form}`", line.join(" "), line.len()));
    }
    Ok(line[1..].iter().map(String::as_str).collect())
}

/// The same, with whole numbers behind the first word.
///
/// # Errors
/// As [`behind`]; also a word that is no whole number.
pub fn numbers(lines: &[Vec<String>], start: &str, form: &str) -> Result<Vec<u64>, String> {
    let words = behind(lines, start, form)?;
    words.iter().map(|word| word.parse().map_err(|_| format!("`{word}` is no whole number"))).collect()
}

/// That no line begins with another word than those of `starts`.
///
/// # Errors
/// There is such a line.
pub fn only(lines: &[Vec<String>], starts: &[&str]) -> Finding {
    match lines.iter().find(|words| !starts.contains(&words[0].as_str())) {
        None => Ok(()),
        Some(words) => Err(format!("`{}`: a line begins with one of {}", words.join(" "), starts.join(", "))),
    }
}

//! Paths as words of a shell's command line, for commands that a person copies.

use std::path::Path;

/// The path as one word: quoted if it holds spaces or other characters with a meaning.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    // Without a quotation for a text with a zero byte, which no path holds.
    shlex::try_quote(&text).map_or_else(|_| text.clone(), |quoted| quoted.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_spaces_is_one_word() {
        for (path, word) in
            [("runs/market", "runs/market"), ("my runs/a", "'my runs/a'"), ("it's", "\"it's\"")]
        {
            assert_eq!(quoted(Path::new(path)), word);
        }
    }
}

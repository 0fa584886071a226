//! Keys of varied settings, and values as parts of folder names.

/// Key under which starts are varied; it is not a setting.
pub const START: &str = "start";
/// Key of the weight of the batch-contrastive loss.
pub const LAMBDA: &str = "loss.lambda";
/// Largest number of letters of a value in a folder's name.
const LETTERS: usize = 40;

/// Converts a text to a part of a folder's name. A text with other characters than A-Z, a-z, 0-9, dot, plus, hyphen and
/// underscore, or with more than forty, is cut and gets a checksum, so that different texts have different names.
pub(super) fn folder_part(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_');
    if text.len() <= LETTERS && text.chars().all(plain) {
        return text.to_string();
    }
    let kept: String = text.chars().filter(|c| !c.is_whitespace()).take(LETTERS).collect();
    let kept: String = kept.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    format!("{kept}-{:08x}", crc32fast::hash(text.as_bytes()))
}

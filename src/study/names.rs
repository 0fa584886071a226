//! Keys of varied settings, and values as parts of folder names.

use std::path::Path;

/// Key under which starts are varied; it is not a setting.
pub const START: &str = "start";
/// Key of the weight of the batch-contrastive loss.
pub const LAMBDA: &str = "loss.batch_contrastive.weight";
/// Settings of the batch-contrastive loss in names of folders and in tables: by the paper's letters.
const SHORT: [(&str, &str); 2] = [(LAMBDA, "lambda"), ("loss.batch_contrastive.warmup", "lambda_warmup")];
/// Largest number of letters of a value in a folder's name.
const LETTERS: usize = 40;

/// Short name of a key: `tau` of `loss.batch_contrastive.tau`. Settings of other sections keep their whole key, because
/// names such as `batch` say too little.
pub(super) fn short(key: &str) -> &str {
    let of_paper = SHORT.iter().find(|(known, _)| *known == key).map(|(_, name)| *name);
    of_paper
        .or_else(|| key.strip_prefix("loss.batch_contrastive."))
        .or_else(|| key.strip_prefix("loss."))
        .unwrap_or(key)
}

/// Splits `NAME=FILE`. The path of a file that exists has no name, even with `=` in it.
pub(super) fn name_and_file(text: &str) -> (Option<&str>, &Path) {
    match text.split_once('=') {
        Some((name, file)) if !Path::new(text).exists() => (Some(name.trim()), Path::new(file.trim())),
        _ => (None, Path::new(text)),
    }
}

/// The fault of a name that cannot be a part of folders' names, in words; `of` is the named thing.
pub(super) fn fault_of_name(name: &str, of: &str) -> Option<String> {
    if name.is_empty() {
        return Some("there is no name before the =; write NAME=FILE".into());
    }
    (folder_part(name) != name).then(|| {
        format!(
            "the name of a {of} is part of folders' names; give it at most 40 letters of A-Z, a-z, 0-9, dot, plus, \
             hyphen and underscore instead of {name}"
        )
    })
}

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

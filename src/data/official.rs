//! The numbers of images of published data sets, compared with those of a folder: a copy may lack images.

use super::layout::Layout;
use std::path::Path;

/// Smallest share of the published number at which a part is taken for a copy of the published one. A synthetic data set
/// in the same layout is smaller.
const SHARE: f64 = 0.5;

/// A note whether the data set in `root` has the published numbers of training, query and gallery images; none if it is
/// another data set in that layout.
pub(super) fn note(root: &Path, counts: [usize; 3], layout: Layout) -> Option<String> {
    let official = layout.official()?;
    let present = || counts.into_iter().zip(official).filter(|(count, _)| *count > 0);
    if present().all(|(count, official)| count == official) {
        let all = if counts.contains(&0) { "; parts that are missing here are not compared" } else { "" };
        return Some(format!(
            "{}: the published numbers of {layout} ({}){all}",
            root.display(),
            in_words(counts)
        ));
    }
    let is_near = |(count, official): (usize, usize)| count as f64 >= SHARE * official as f64;
    present().all(is_near).then(|| {
        format!(
            "warning: {}: {}, and the published {layout} has {}; is the copy complete?",
            root.display(),
            in_words(counts),
            in_words(official)
        )
    })
}

fn in_words([train, query, gallery]: [usize; 3]) -> String {
    format!("{train} training, {query} query and {gallery} gallery images")
}

#[cfg(test)]
mod tests {
    use super::*;
    fn of(layout: Layout, counts: [usize; 3]) -> Option<String> {
        note(Path::new("set"), counts, layout)
    }

    #[test]
    fn a_complete_copy_an_incomplete_one_and_another_data_set() {
        let whole = of(Layout::Cuhk03Detected, [7365, 1400, 5332]).unwrap();
        assert!(
            whole.contains("the published numbers of cuhk03-np-detected") && !whole.contains("missing"),
            "{whole}"
        );
        let test = of(Layout::Cuhk03Detected, [0, 1400, 5332]).unwrap();
        assert!(test.contains("missing here are not compared"), "{test}");
        let short = of(Layout::Cuhk03Detected, [7365, 1400, 5331]).unwrap();
        assert!(short.starts_with("warning: set: 7365 training") && short.contains("5332"), "{short}");
        assert_eq!(of(Layout::Cuhk03Detected, [300, 60, 300]), None);
        assert_eq!(of(Layout::Folders, [7365, 1400, 5332]), None);
    }
}

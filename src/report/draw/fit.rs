//! Texts cut to a width. Names of runs often differ only at their end, so a cut is in the middle.

use super::super::canvas::text_width;

/// A text of at most `width` pixels at font size `size`: an ellipsis takes the place of its middle.
pub(in super::super) fn one(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_string();
    }
    let letters: Vec<char> = text.chars().collect();
    let cut = |kept: usize| -> String {
        // The start has the larger half.
        let (start, end) = (kept.div_ceil(2), kept / 2);
        letters[..start].iter().chain(&['…']).chain(&letters[letters.len() - end..]).collect()
    };
    let fits = |kept: &usize| text_width(&cut(*kept), size) <= width;
    (1..letters.len()).rev().find(fits).map_or_else(|| "…".into(), cut)
}

/// Texts of at most `width` pixels each that stay different, where that is possible: if cuts in the middle make two of
/// them equal, the start that all have in common is left out first.
pub(super) fn all(texts: &[String], size: f64, width: f64) -> Vec<String> {
    let cut: Vec<String> = texts.iter().map(|text| one(text, size, width)).collect();
    let lost = (0..texts.len()).any(|i| (0..i).any(|j| cut[i] == cut[j] && texts[i] != texts[j]));
    if !lost {
        return cut;
    }
    let common = |a: &str, b: &str| a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let start = texts.iter().map(|text| common(text, &texts[0])).min().unwrap_or(0);
    let rest = texts.iter().map(|text| match text.char_indices().nth(start) {
        Some((at, _)) if start > 0 => format!("…{}", &text[at..]),
        _ => text.clone(),
    });
    rest.map(|text| one(&text, size, width)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_keeps_both_ends_and_the_width() {
        assert_eq!(one("short", 10.0, 100.0), "short");
        let name = "runs/market-1501/resnet50-lambda-0.5";
        for width in [0.0, 5.0, 20.0, 60.0, 100.0, 150.0] {
            let cut = one(name, 10.0, width);
            assert!(text_width(&cut, 10.0) <= width || cut == "…", "{width}: {cut}");
        }
        let cut = one(name, 10.0, 100.0);
        assert!(cut.starts_with("runs/") && cut.ends_with("-0.5") && cut.contains('…'), "{cut}");
        assert_eq!(one("日本語日本語日本語", 10.0, 40.0), "日本…語");
    }

    #[test]
    fn names_stay_different() {
        let names = |middles: [&str; 2]| {
            middles.map(|m| format!("runs/of/a/long/campaign/{m}/with/the/same/end/everywhere")).to_vec()
        };
        let cut = all(&names(["alpha", "beta"]), 10.0, 120.0);
        assert_ne!(cut[0], cut[1]);
        assert!(cut[0].starts_with("…alpha") && cut[1].starts_with("…beta"), "{cut:?}");
        // The same name twice is no reason.
        let same = all(&names(["alpha", "alpha"]), 10.0, 120.0);
        assert!(same[0].starts_with("runs/"), "{same:?}");
        assert!(all(&[], 10.0, 10.0).is_empty());
    }
}

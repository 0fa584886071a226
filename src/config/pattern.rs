//! Patterns of parameter names: `layer1.*`, `*.bias`.

/// Whether a pattern matches a whole name; `*` stands for any characters, also none and dots, `?` for one.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // After a mismatch the last star takes one character more.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, n) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_take_any_characters() {
        for (pattern, name, is_match) in [
            ("fc.weight", "fc.weight", true),
            ("fc", "fc.weight", false),
            ("fc.*", "fc.weight", true),
            ("fc.*", "xfc.weight", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("?", "", false),
            ("layer?.*.bias", "layer1.0.bn1.bias", true),
            ("layer?.*.bias", "layer12.0.bn1.bias", false),
            ("*bn*weight", "layer1.0.bn1.weight", true),
            ("*bn*weight", "layer1.0.conv1.weight", false),
            ("*a*b", "aabab", true),
            ("*a*b", "aaba", false),
            ("***", "abc", true),
        ] {
            assert_eq!(matches(pattern, name), is_match, "{pattern} {name}");
        }
        // No time beyond the product of the lengths.
        assert!(!matches(&"*a".repeat(200), &"a".repeat(199)));
    }
}

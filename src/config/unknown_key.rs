//! The error for a setting that does not exist: it names the nearest key.

use super::{Config, one_line};
use crate::Error;

/// Names of other programs whose spelling leads to no key of ours.
const ELSEWHERE: [(&str, &str); 5] = [
    ("learning_rate", "solver.lr"),
    ("rate", "solver.lr"),
    ("batch_size", "solver.batch"),
    ("steps", "solver.iterations"),
    ("margin", "loss.tau"),
];

/// The error for the key `key`.
pub fn unknown(key: &str) -> Error {
    let keys = Config::entries();
    let bare = key.rsplit('.').next().unwrap_or(key);
    let elsewhere = ELSEWHERE.iter().find(|(name, _)| *name == bare).map(|(_, key)| *key);
    let nearest = elsewhere.or_else(|| {
        let keys = keys.iter().map(|k| k.key.as_str());
        // A bare key (`lambda`) means the one in its section.
        keys.max_by(|a, b| similarity(key, a).total_cmp(&similarity(key, b)))
    });
    let (key, nearest) = (one_line(key), nearest.unwrap_or_default());
    Error::Config(format!("there is no key {key}; did you mean {nearest}? (bcreid config lists all keys)"))
}

fn similarity(wish: &str, key: &str) -> f64 {
    let name = key.split_once('.').map_or(key, |(_, name)| name);
    strsim::jaro_winkler(wish, key)
        .max(strsim::jaro_winkler(wish.rsplit('.').next().unwrap_or(wish), name) * 0.99)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_name_the_nearest() {
        for (wrong, right) in [
            ("loss.lamda=1", "loss.lambda"),
            ("lambda=1", "loss.lambda"),
            ("solver.learning_rate=1", "solver.lr"),
            ("margin=1", "loss.tau"),
            ("solver.weightdecay=1", "solver.weight_decay"),
            ("data.flipp=true", "data.flip"),
        ] {
            let error = Config::resolve_text("", &[wrong.to_string()]).unwrap_err().to_string();
            assert!(error.contains(&format!("did you mean {right}?")), "{wrong}: {error}");
        }
    }
}

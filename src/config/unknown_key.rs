//! The error for a setting that does not exist: it names the nearest key.

use super::old_names::OLD;
use super::synonyms::{self, Answer};
use super::{Config, one_line};
use crate::Error;

/// Least similarity of a key that is suggested. Below it a suggestion leads astray: `margin` is not `input.mean`.
const LEAST_SIMILARITY: f64 = 0.85;

/// The error for the key `key`.
pub fn unknown(key: &str) -> Error {
    let hint = match synonyms::answer(key) {
        Some(Answer::Key(known)) => format!("did you mean {known}? (bcreid config lists all keys)"),
        Some(Answer::Advice(advice)) => advice.to_string(),
        None => match nearest(key) {
            Some(known) => format!("did you mean {known}? (bcreid config lists all keys)"),
            None => "bcreid config lists all keys".into(),
        },
    };
    Error::Config(format!("there is no key {}; {hint}", one_line(key)))
}

/// The key that is spelt most alike, if it is alike. For a slip in an old name it is the current one.
fn nearest(key: &str) -> Option<String> {
    let current = Config::entries().into_iter().map(|entry| (similarity(key, &entry.key), entry.key));
    let old = OLD.iter().map(|(old, new)| (similarity(key, old), new.to_string()));
    let (similarity, nearest) = current.chain(old).max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (similarity >= LEAST_SIMILARITY).then_some(nearest)
}

/// Similarity of a name with one slip: a letter too many, missing, wrong, or two exchanged.
const ONE_SLIP: f64 = 0.95;

/// Similarity from 0 to 1 of the names without their sections, a little more for the same section. With the sections in
/// it, all keys of a section would be alike.
fn similarity(wish: &str, key: &str) -> f64 {
    let (wish_section, wish) = wish.rsplit_once('.').unwrap_or(("", wish));
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let same_section = if wish_section == section { 0.01 } else { 0.0 };
    let wish = wish.to_lowercase();
    let alike = 0.99 * strsim::jaro_winkler(&wish, name);
    let alike = if strsim::osa_distance(&wish, name) == 1 { alike.max(ONE_SLIP) } else { alike };
    alike + same_section
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn message(wrong: &str) -> String {
        Config::resolve_text("", &[format!("{wrong}=1")]).unwrap_err().to_string()
    }

    #[test]
    fn unknown_keys_name_the_nearest_or_none() {
        for (wrong, right) in [
            ("loss.lamda", "loss.batch_contrastive.weight"),
            ("lambda", "loss.batch_contrastive.weight"),
            ("loss.tua", "loss.batch_contrastive.tau"),
            ("lr", "solver.lr"),
            ("solver.weightdecay", "solver.weight_decay"),
            ("data.flipp", "data.flip"),
            ("iterations", "solver.iterations"),
            ("tau", "loss.batch_contrastive.tau"),
        ] {
            let error = message(wrong);
            assert!(error.contains(&format!("did you mean {right}?")), "{wrong}: {error}");
        }
        for wrong in ["colour_jitter", "circle", "label_smoothing", "xyz", "loss.triplet", "a.b.c", ""] {
            let error = message(wrong);
            assert!(!error.contains("did you mean") && error.contains("bcreid config lists"), "{error}");
        }
    }

    #[test]
    fn names_of_other_programs_are_known() {
        for (wrong, right) in [
            ("learning_rate", "solver.lr"),
            ("solver.learning-rate", "solver.lr"),
            ("SOLVER.BASE_LR", "solver.lr"),
            ("gamma", "solver.lr_gamma"),
            ("stepsize", "solver.lr_milestones"),
            ("warmup", "solver.lr_warmup"),
            ("num_instances", "data.pk_images"),
            ("margin", "loss.batch_contrastive.tau"),
            ("epochs", "solver.iterations to epochs x training images"),
            ("optimizer", "solver.optimizer"),
            ("SOLVER.OPT", "solver.optimizer"),
            ("train.lr_scheduler", "solver.schedule"),
            ("adam.beta1", "solver.beta1"),
            ("gpu", "--device"),
            ("fp16", "--precision"),
        ] {
            let error = message(wrong);
            assert!(error.contains(right), "{wrong}: {error}");
        }
    }
}

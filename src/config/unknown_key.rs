//! The error for a setting that does not exist: it names the nearest key.

use super::old_names::OLD;
use super::synonyms::{self, Answer};
use super::wrong_type::Wanted;
use super::{Config, one_line};
use crate::Error;
use std::collections::BTreeSet;

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

/// The error for a section `[section]` of a file that has no settings of ours, as the files of other toolboxes have.
pub fn unknown_section(section: &str) -> Error {
    let keys = Config::entries();
    let sections: BTreeSet<&str> =
        keys.iter().filter_map(|entry| entry.key.rsplit_once('.')).map(|(section, _)| section).collect();
    // A section of ours comes here only where a table stands in the place of a value.
    if sections.contains(section) {
        return unknown(section);
    }
    let alike = |own: &&&str| strsim::osa_distance(section, own) == 1;
    let hint = match sections.iter().find(alike) {
        Some(own) => format!("did you mean [{own}]? (bcreid config lists all)"),
        None => "bcreid config lists the sections and keys, docs/other-toolboxes.md has the names of other toolboxes \
                 and the ones here"
            .into(),
    };
    Error::Config(format!("there is no section [{}]; {hint}", one_line(section)))
}

/// The advice for an unknown option `--flag` of a command that takes settings: the setting of this meaning; `None` if
/// there is none. With `exact` a setting of a similar name does not count.
pub fn advice_for_flag(flag: &str, exact: bool) -> Option<String> {
    let name = flag.trim_start_matches('-').replace('-', "_");
    let keys = Config::entries();
    let own = keys
        .iter()
        .find(|entry| entry.key.split_once('.').is_some_and(|(_, own)| own == name))
        .map(|entry| entry.key.clone());
    let key = match (own, synonyms::answer(&name)) {
        (Some(own), _) => own,
        (None, Some(Answer::Key(key))) => key.into(),
        (None, Some(Answer::Advice(advice))) => return Some(advice.into()),
        (None, None) if exact => return None,
        (None, None) => nearest(&name)?,
    };
    let entry = keys.iter().find(|entry| entry.key == key)?;
    let default = Config::default().shown_value(&key);
    let other = entry.words().unwrap_or_default().into_iter().filter(|word| !default.contains(word));
    let value = match (entry.wanted, &other.collect::<Vec<_>>()[..]) {
        (Wanted::Word, [only]) => only.to_string(),
        (Wanted::Word, _) => entry.unit.replace(" | ", "|"),
        (Wanted::Truth, _) => (default != "true").to_string(),
        (Wanted::Whole, _) => "N".into(),
        _ => "VALUE".into(),
    };
    Some(format!("it is a setting: --set {key}={value}"))
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
        for wrong in ["colour_jitter", "circle", "xyz", "loss.triplet", "a.b.c", ""] {
            let error = message(wrong);
            assert!(!error.contains("did you mean") && error.contains("bcreid config lists"), "{error}");
        }
    }

    #[test]
    fn sections_of_other_toolboxes_lead_to_their_page() {
        let message = |text: &str| Config::resolve_text(text, &[]).unwrap_err().to_string();
        for (text, section) in [
            ("[MODEL.BACKBONE]\nDEPTH = \"50x\"\n[SOLVER]\nBASE_LR = 0.1\n", "[MODEL]"),
            ("[train]\nlr = 0.1\n", "[train]"),
            ("[sampler]\nnum_instances = 4\n", "[sampler]"),
        ] {
            let error = message(text);
            let start = format!("there is no section {section};");
            assert!(error.contains(&start) && error.contains("docs/other-toolboxes.md"), "{error}");
        }
        let error = message("[sovler]\nlr = 0.1\n");
        assert!(error.contains("did you mean [solver]?"), "{error}");
        assert!(message("[loss.tripplet]\nweight = 1\n").contains("did you mean [loss.triplet]?"));
    }

    #[test]
    fn options_that_are_settings_name_the_setting() {
        for (flag, advice) in [
            ("--bad-images", "--set data.bad_images=skip"),
            ("--lr", "--set solver.lr=VALUE"),
            ("--batch-size", "--set solver.batch=N"),
            ("--seed", "--set run.seed=N"),
            ("--crop", "--set data.crop=true"),
            ("--flip", "--set data.flip=false"),
            ("--arch", "--set model.arch=resnet18|resnet34|"),
            ("--epochs", "set solver.iterations to epochs x"),
            ("--iteratons", "--set solver.iterations=N"),
            ("--gpu", "give --device"),
        ] {
            let said = advice_for_flag(flag, false).unwrap_or_default();
            assert!(said.contains(advice), "{flag}: {said}");
        }
        assert_eq!(advice_for_flag("--colour", false), None);
        assert_eq!(advice_for_flag("--iteratons", true), None);
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
            ("label_smooth", "loss.softmax.smoothing"),
            ("MODEL.LOSSES.TRI.MARGIN", "loss.triplet.margin"),
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

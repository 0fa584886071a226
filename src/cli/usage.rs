//! Errors of the command line: what clap says, without the usage line, and with the settings that are no options.

use crate::config::advice_for_flag;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;

/// The commands that take `--set KEY=VALUE`.
const WITH_SETTINGS: [&str; 6] = ["train", "reproduce", "sweep", "demo", "bench", "config"];

/// The advice for a value in a place without an option.
const VALUES: &str = "a value follows its option, such as --data DIR";

/// The advice for `train --iterations` without `--resume`.
const NEW_RUN: &str = "of a new run the number of iterations is a setting: --set solver.iterations=N";

/// The error to be shown for the command line `line`. The usage line goes, because clap puts the given options into it
/// as if all were required. An unknown option that is a setting names the setting, and a value without an option its
/// place.
pub fn fault(mut error: clap::Error, line: &[OsString]) -> clap::Error {
    error.remove(ContextKind::Usage);
    let missing = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(missing)) if error.kind() == ErrorKind::MissingRequiredArgument => {
            &missing[..]
        }
        _ => &[],
    };
    if missing.iter().any(|option| option == "--resume") {
        suggest(&mut error, NEW_RUN.into());
    }
    if let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidSubcommand)
        && let Some(advice) = advice_for_command(given)
    {
        error.remove(ContextKind::SuggestedSubcommand);
        suggest(&mut error, advice.into());
    }
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else { return error };
    let takes_settings = line.iter().skip(1).any(|word| WITH_SETTINGS.iter().any(|command| word == command));
    let is_near = error.get(ContextKind::SuggestedArg).is_some();
    let advice = match given.starts_with('-') {
        true => match advice_of_command(given, line) {
            Some(advice) => Some(advice.into()),
            None if takes_settings => advice_for_flag(given, is_near),
            None => None,
        },
        false if takes_settings => Some(VALUES.to_string() + ", a setting in --set KEY=VALUE"),
        false => Some(VALUES.into()),
    };
    if let Some(advice) = advice {
        error.remove(ContextKind::SuggestedArg);
        suggest(&mut error, advice);
    }
    error
}

/// Options that other commands or programs have: the command, its options, and the advice.
const ELSEWHERE: &[(&str, &[&str], &str)] = &[
    ("train", &["--eval-only", "--evaluate"], "bcreid eval --run RUN --data DIR evaluates a run"),
    ("eval", &["--eval-only", "--evaluate"], "bcreid eval only evaluates: give --run RUN --data DIR"),
    (
        "eval",
        &["--name"],
        "an evaluation is stored under the name of its data set's folder and its options; bcreid runs RUN lists them",
    ),
    (
        "eval",
        &["--dist-metric", "--metric"],
        "distances are Euclidean; of normalised features they rank as the cosine does, and --normalise normalises others",
    ),
    ("eval", &["--ranks", "--rank"], "--json has the CMC at ranks 1 to 50"),
    (
        "eval",
        &["--visrank", "--visrank-topk"],
        "bcreid report RUN and bcreid query --out FILE draw ranked lists",
    ),
    (
        "train",
        &["-s", "-t"],
        "data sets have no names: --data DIR is the folder that is trained on; then evaluate with: bcreid eval --run RUN \
         --data DIR",
    ),
    (
        "train",
        &["--combineall", "--combine-all"],
        "the training part alone is trained on; lists (train.csv) may name images of all parts, see docs/data-sets.md",
    ),
    (
        "train",
        &["--snapshot"],
        "--resume continues the run of --out; checkpoints are written every run.checkpoint_every iterations",
    ),
    (
        "tensorboard",
        &["--logdir"],
        "the run has no option: bcreid tensorboard RUN; --out DIR is the folder to write to",
    ),
    ("tensorboard", &["--run", "--weights"], "the run has no option: bcreid tensorboard RUN"),
    ("report", &["--run", "--weights"], "the runs have no option: bcreid report RUN ... --out FILE.html"),
    ("runs", &["--run", "--weights"], "the folder has no option: bcreid runs DIR"),
];

/// Names that other programs give to commands, and what does it here.
const COMMANDS: &[(&[&str], &str)] = &[
    (
        &["test", "evaluate", "evaluation", "validate", "val"],
        "bcreid eval --run RUN --data DIR evaluates a run",
    ),
    (
        &["fit", "finetune", "fine-tune"],
        "bcreid train --data DIR --out RUN trains, --weights FILE from other weights",
    ),
    (
        &["infer", "inference", "predict", "embed"],
        "bcreid extract --weights RUN --images DIR --out FILE extracts features",
    ),
    (&["search", "rank", "retrieve"], "bcreid query ranks a gallery for query images"),
    (
        &["visualize", "visualise", "visrank"],
        "bcreid report RUN and bcreid query --out FILE draw ranked lists",
    ),
    (&["resume"], "bcreid train --data DIR --out RUN --resume continues a run"),
    (&["convert"], "bcreid-convert is a program of its own: bcreid-convert --help"),
];

/// The advice for a command that another program has.
fn advice_for_command(given: &str) -> Option<&'static str> {
    COMMANDS.iter().find(|(names, _)| names.contains(&given)).map(|(_, advice)| *advice)
}

/// The advice for an option that another command or program has.
fn advice_of_command(given: &str, line: &[OsString]) -> Option<&'static str> {
    // Options of the program may stand in front of the command.
    let is_typed = |name: &str| line.iter().skip(1).any(|word| word == name);
    let of = |(name, options, _): &&(&str, &[&str], &str)| options.contains(&given) && is_typed(name);
    ELSEWHERE.iter().find(of).map(|(.., advice)| *advice)
}

fn suggest(error: &mut clap::Error, advice: String) {
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(advice)]));
}

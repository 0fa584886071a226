//! Study folders with other settings: refused before any training, with an error that names the difference and the fix.

use super::{study, study_of, weights};
use crate::support::{bcreid, data, fail, own_data, succeed, train};
use std::path::Path;
use std::process::Command;

fn reproduce(out: &Path, more: &[&str]) -> Command {
    let mut command = study(&["reproduce", "market1501", "--runs", "1"], out);
    command.args(more);
    command
}

fn sweep(out: &Path, more: &[&str]) -> Command {
    let mut command = study(&["sweep", "--lambda", "1", "--baseline", "none"], out);
    command.args(more);
    command
}

#[track_caller]
fn refused(mut command: Command, words: &[&str]) {
    let error = fail(&mut command);
    words.iter().for_each(|word| assert!(error.contains(word), "{word}: {error}"));
}

#[test]
fn other_settings_images_and_weights_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("study");
    let start = weights(folder.path(), 1);
    let start = start.to_str().unwrap();
    succeed(&mut reproduce(&out, &[]));
    refused(
        reproduce(&out, &["--set", "solver.lr=0.5"]),
        &[
            "study/baseline: what is there has other settings: solver.lr is 0.01 there and 0.5 here",
            "give the study another --out",
        ],
    );
    refused(
        reproduce(&out, &["--weights", start]),
        &["starts from random weights, this call from weights with the"],
    );
    refused(
        reproduce(&out, &["--start", &format!("a={start}")]),
        &["began without --start", "another --out"],
    );
    refused(sweep(&out, &["--validation", "4"]), &["is one of bcreid reproduce", "another --out"]);
    let copy = own_data(folder.path());
    let image = std::fs::read_dir(copy.join("query")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(image).unwrap();
    let other = study_of(&copy, &["reproduce", "market1501", "--runs", "1"], &out);
    refused(other, &["other images than this call: 8 queries there and 7 here", "give the --data"]);
}

/// Another seed or number of queries holds out other persons.
#[test]
fn who_is_held_out_must_stay() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("sweep");
    succeed(&mut sweep(&out, &["--validation", "4"]));
    for (more, words) in [
        (
            &["--validation", "2"][..],
            "by --validation 4 and run.seed=0, this call by --validation 2 and run.seed=0",
        ),
        (&["--validation", "4", "--set", "run.seed=7"], "this call by --validation 4 and run.seed=7"),
    ] {
        refused(
            sweep(&out, more),
            &[words, "give --validation 4 --set run.seed=0 to go on with it, or another --out"],
        );
    }
    refused(reproduce(&out, &[]), &["is one of bcreid sweep"]);
}

#[test]
fn a_study_and_a_run_keep_out_of_each_other_s_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (run, out) = (folder.path().join("run-1"), folder.path().join("sweep"));
    weights(folder.path(), 1);
    let files = || std::fs::read_dir(&run).unwrap().count();
    let before = files();
    refused(
        sweep(&run, &["--validation", "4"]),
        &["run-1: this is a run of bcreid train", "give another --out"],
    );
    refused(reproduce(&run, &[]), &["run-1: this is a run of bcreid train"]);
    assert_eq!(files(), before);
    let own = folder.path().join("own");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("thesis.tex"), "").unwrap();
    refused(
        reproduce(&own, &[]),
        &["the folder holds thesis.tex and is not a study's", "give another --out"],
    );
    assert_eq!(std::fs::read_dir(&own).unwrap().count(), 1);
    refused(reproduce(&own.join("thesis.tex"), &[]), &["is no folder"]);

    succeed(&mut sweep(&out, &["--validation", "4"]));
    refused(train(data(), &out, &[]), &["sweep: the folder exists and is not empty; give another --out"]);
    let mut resumed = bcreid();
    resumed.args(["train", "--resume", "--data"]).arg(data()).arg("--out").arg(&out);
    refused(resumed, &["sweep: not a run folder"]);
    succeed(&mut sweep(&out, &["--validation", "4"]));
}

#[test]
fn starts_and_values_that_make_no_sense() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("sweep");
    let [one, two] = [1, 2].map(|seed| weights(folder.path(), seed));
    let copy = folder.path().join("copy.safetensors");
    std::fs::copy(&one, &copy).unwrap();
    let [one, two, copy] = [&one, &two, &copy].map(|path| path.to_str().unwrap());
    for (starts, words) in [
        (
            format!("A={one},A={two}"),
            format!("two starts have the name A; give one of them another name: NAME={two}"),
        ),
        (format!("A={one},A={one}"), format!("A={one} is given twice")),
        (format!("a={one},b={copy}"), "a and b are the same weights; give them once".into()),
        (format!("{one},,{two}"), "an item is empty".into()),
        (format!("{one},"), "an item is empty".into()),
        (format!("a b={one}"), "underscore instead of a b".into()),
        (format!("\u{fc}={one}"), "underscore instead of".into()),
        (format!("../x={one}"), "underscore instead of ../x".into()),
    ] {
        refused(sweep(&out, &["--start", &starts, "--validation", "4"]), &["--start", &words]);
    }
    refused(
        sweep(&out, &["--tau", "0.3,,1", "--validation", "4"]),
        &["loss.batch_contrastive.tau: a value is empty"],
    );
    refused(
        sweep(&out, &["--vary", "solver.batch=", "--validation", "4"]),
        &["solver.batch: a value is empty"],
    );
    refused(
        reproduce(&out, &["--reduction", "sum,"]),
        &["loss.batch_contrastive.reduction: a value is empty"],
    );
    assert!(!out.exists());
}

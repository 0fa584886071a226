//! Evaluations during training: their files, the best weights, an early end, and what a resumed run repeats.

use crate::support::{bcreid, data, fail, interrupt, own_data, stderr, succeed, train};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// An evaluation on two of the six training identities after every fourth of twelve iterations.
const EVERY: &[&str] = &["run.eval_every=4", "run.eval_identities=2", "solver.batch=4"];
const ON_TEST: &[&str] = &["run.eval_every=4", "run.eval_on=test"];
const FILES: [&str; 5] =
    ["weights.safetensors", "metrics.jsonl", "validation.jsonl", "best.safetensors", "best.json"];

fn resume(out: &Path) -> Command {
    let mut command = bcreid();
    command.arg("train").arg("--data").arg(data()).arg("--out").arg(out).arg("--resume");
    command
}

fn validations(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("validation.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// How often a run's event files name the mAP of an evaluation during training.
fn events(run: &Path) -> usize {
    let files =
        fs::read_dir(run.join("tensorboard")).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
    let tag = b"validation/map_market";
    files.map(|bytes| bytes.windows(tag.len()).filter(|window| *window == tag).count()).sum()
}

#[track_caller]
fn assert_same(one: &Path, other: &Path, files: &[&str]) {
    for file in files {
        let read = |run: &Path| fs::read(run.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(read(one) == read(other), "{file} differs");
    }
}

fn iterations(all: &[Value]) -> Vec<u64> {
    all.iter().map(|one| one["iterations"].as_u64().unwrap()).collect()
}

#[test]
fn held_out_identities_are_evaluated_and_not_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let output = train(data(), &out, &[EVERY, &["run.eval_every=5", "run.checkpoints_kept=9"]].concat())
        .output()
        .unwrap();
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    for words in [
        "on 2 identities that are held out of the training (16 training images left)",
        "evaluation after 5 iterations: rank-1 ",
        ", the best so far",
        "12 iterations are no multiple of 5, so the last evaluation is after 10",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let all = validations(&out);
    assert_eq!(iterations(&all), [5, 10]);
    assert!(all.iter().all(|one| one["queries"] == 4 && one["gallery"] == 4), "{all:?}");
    let file = bcreid::weights::read_tensors(&out.join("weights.safetensors")).unwrap();
    assert_eq!(
        file.get("fc.weight").unwrap().shape()[0],
        4,
        "the classifier has no class of a held-out identity"
    );

    // The best is the first of the highest; its record is its line.
    let map = |one: &Value| one["map_market"].as_f64().unwrap();
    let best = if map(&all[1]) > map(&all[0]) { &all[1] } else { &all[0] };
    let record: Value = serde_json::from_slice(&fs::read(out.join("best.json")).unwrap()).unwrap();
    assert_eq!(&record, best);
    let best_file = bcreid::weights::read_tensors(&out.join("best.safetensors")).unwrap();
    let stored: Value = serde_json::from_str(&best_file.metadata()["validation"]).unwrap();
    assert_eq!(&stored, best);
    let step = format!("checkpoints/step_{:010}.safetensors", best["iterations"].as_u64().unwrap());
    let checkpoint = bcreid::weights::read_tensors(&out.join(step)).unwrap();
    for name in best_file.names() {
        assert!(best_file.get(name).unwrap().bytes() == checkpoint.get(name).unwrap().bytes(), "{name}");
    }

    // Shown by runs, doctor, and as a note where the run is taken as weights.
    let list = bcreid().arg("runs").arg(&out).arg("--json").output().unwrap().stdout;
    let list: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!((&list[0]["best"], &list[0]["state"]), (best, &"finished".into()));
    let number = best["iterations"].as_u64().unwrap();
    assert!(succeed(bcreid().arg("runs").arg(&out)).contains(&format!("best in training, at {number}")));
    let doctor = bcreid().args(["doctor", "--weights"]).arg(&out).output().unwrap();
    assert!(stderr(&doctor).contains("its final weights are taken"), "{}", stderr(&doctor));
    let looked = String::from_utf8(doctor.stdout).unwrap();
    assert!(looked.contains(&format!("after {number} iterations (best.safetensors)")), "{looked}");
    succeed(bcreid().args(["doctor", "--weights"]).arg(out.join("best.safetensors")));

    succeed(bcreid().args(["tensorboard", "--device", "cpu"]).arg(&out));
    assert_eq!(events(&out), 2);
    let page = out.join("page.html");
    succeed(bcreid().arg("report").arg(&out).arg("--out").arg(&page));
    assert!(fs::read_to_string(page).unwrap().contains("mAP of evaluations during training"));
}

/// The same images are trained on, so that the steps have the same bits; and the figures are those of `bcreid eval`.
#[test]
fn an_evaluation_does_not_disturb_the_training_and_agrees_with_eval() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    succeed(&mut train(data(), &at("plain"), &[]));
    let output = train(data(), &at("evaluated"), ON_TEST).arg("--tensorboard").output().unwrap();
    assert!(
        stderr(&output).contains("the test part: figures of a result that is chosen by it are optimistic")
    );
    assert_same(&at("plain"), &at("evaluated"), &["metrics.jsonl"]);
    let tensors = |run: &str| {
        let file = bcreid::weights::read_tensors(&at(run).join("weights.safetensors")).unwrap();
        let of = |name: &str| (name.to_string(), file.get(name).unwrap().bytes().to_vec());
        file.names().map(of).collect::<Vec<_>>()
    };
    assert!(tensors("plain") == tensors("evaluated"));
    assert!(!at("plain").join("validation.jsonl").exists() && !at("plain").join("best.json").exists());
    let all = validations(&at("evaluated"));
    assert_eq!((iterations(&all), events(&at("evaluated"))), (vec![4, 8, 12], 3));
    // A resumed run has the earlier evaluations too.
    let more = ["--iterations", "16"];
    fs::create_dir(at("longer")).unwrap();
    for file in ["config.toml", "provenance.json", "metrics.jsonl", "validation.jsonl"] {
        fs::copy(at("evaluated").join(file), at("longer").join(file)).unwrap();
    }
    fs::create_dir(at("longer/checkpoints")).unwrap();
    let newest = "checkpoints/step_0000000012.safetensors";
    fs::copy(at("evaluated").join(newest), at("longer").join(newest)).unwrap();
    succeed(resume(&at("longer")).args(more).arg("--tensorboard"));
    assert_eq!(events(&at("longer")), 4);
    let evaluated = bcreid()
        .args(["eval", "--json", "--run"])
        .arg(at("evaluated").join("weights.safetensors"))
        .arg("--data")
        .arg(data())
        .output()
        .unwrap();
    let figures: Value = serde_json::from_slice(&evaluated.stdout).unwrap();
    for key in ["rank1", "map_market", "map_sum", "minp", "queries", "gallery"] {
        assert_eq!(all[2][key], figures[key], "{key}");
    }
}

/// Killed anywhere, and between a checkpoint and its evaluation: the files are those of one run.
#[cfg(unix)]
#[test]
fn a_killed_run_repeats_what_it_missed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let long: Vec<&str> = [EVERY, &["solver.iterations=40", "run.checkpoint_every=7"]].concat();
    succeed(&mut train(data(), &at("calm"), &long));
    interrupt(train(data(), &at("killed"), &long), &at("killed"), 10, "-KILL");
    assert!(!at("killed").join("weights.safetensors").exists(), "the kill came too late");
    succeed(&mut resume(&at("killed")));
    assert_same(&at("calm"), &at("killed"), &FILES);

    // The last checkpoint is there, and its evaluation is not; then half of its line is.
    let whole = fs::read_to_string(at("calm").join("validation.jsonl")).unwrap();
    let before = whole.rfind("{\"iterations\":40").unwrap();
    for end in [before, before + 30] {
        fs::write(at("killed").join("validation.jsonl"), &whole[..end]).unwrap();
        let output = resume(&at("killed")).output().unwrap();
        assert!(stderr(&output).contains("evaluation after 40 iterations"), "{}", stderr(&output));
        assert_same(&at("calm"), &at("killed"), &FILES);
    }
    // Without the lines, the record still says what is to be beaten.
    let record = fs::read(at("killed").join("best.json")).unwrap();
    let best: Value = serde_json::from_slice(&record).unwrap();
    if best["iterations"] != 40 {
        fs::remove_file(at("killed").join("validation.jsonl")).unwrap();
        succeed(&mut resume(&at("killed")));
        assert!(fs::read(at("killed").join("best.json")).unwrap() == record);
        fs::write(at("killed").join("validation.jsonl"), &whole).unwrap();
    }
    // Nothing is due, and nothing is said twice.
    let output = resume(&at("killed")).output().unwrap();
    assert!(output.status.success() && !stderr(&output).contains("evaluation after"), "{}", stderr(&output));

    // The newest checkpoints are deleted: later evaluations and better weights of theirs go, and come back.
    for step in [40, 36] {
        fs::remove_file(at("killed").join(format!("checkpoints/step_{step:010}.safetensors"))).unwrap();
    }
    succeed(&mut resume(&at("killed")));
    assert_same(&at("calm"), &at("killed"), &["weights.safetensors", "metrics.jsonl", "validation.jsonl"]);
}

/// At a rate of almost nothing no evaluation is better than the first.
#[test]
fn a_run_without_a_better_evaluation_ends_early_and_stays_ended() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let still = ["solver.lr=1e-30", "solver.batchnorm=frozen", "run.patience=2", "solver.iterations=40"];
    let output = train(data(), &out, &[EVERY, &still].concat()).output().unwrap();
    let said = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
    for words in [
        "the run ends early, after 12 of 40 iterations: no better mAP in 2 evaluations (run.patience = 2)",
        "trained 12 iterations",
    ] {
        assert!(output.status.success() && said.contains(words), "{words}: {said}");
    }
    assert_eq!(iterations(&validations(&out)), [4, 8, 12]);
    assert_eq!(crate::support::lines(&out), 12);
    let list = bcreid().arg("runs").arg(&out).arg("--json").output().unwrap().stdout;
    let list: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!((&list[0]["state"], &list[0]["done"]), (&"finished".into(), &12.into()));
    assert!(succeed(bcreid().arg("runs").arg(&out)).contains("12 of 40, ended early"));
    let before = fs::read(out.join("weights.safetensors")).unwrap();
    let output = resume(&out).output().unwrap();
    assert!(output.status.success() && stderr(&output).contains("ends early"), "{}", stderr(&output));
    assert_eq!(
        (crate::support::lines(&out), fs::read(out.join("weights.safetensors")).unwrap()),
        (12, before)
    );
    // Without the patience it goes on.
    let config = fs::read_to_string(out.join("config.toml")).unwrap();
    fs::write(out.join("config.toml"), config.replace("patience = 2", "patience = 0")).unwrap();
    succeed(&mut resume(&out));
    assert_eq!((crate::support::lines(&out), validations(&out).len()), (40, 10));
}

#[test]
fn what_cannot_be_evaluated_is_refused_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let refused = |data: &Path, settings: &[&str]| {
        let error = fail(&mut train(data, &at("refused"), settings));
        assert!(!at("refused").exists() && !error.contains('\n'), "{error}");
        error
    };
    let error = refused(data(), &["run.eval_every=4", "run.eval_identities=4"]);
    assert!(error.contains("4 of 6 training identities are to be held out"), "{error}");
    let error = refused(data(), &["run.eval_every=4", "run.eval_identities=2.5"]);
    assert!(error.contains("run.eval_identities must be a share"), "{error}");
    let error = refused(data(), &["run.eval_on=validation"]);
    assert!(error.contains("run.eval_on is one of the words held-out, test"), "{error}");
    let own = own_data(folder.path());
    fs::remove_dir_all(own.join("query")).unwrap();
    let error = refused(&own, ON_TEST);
    assert!(error.contains("no query in this data set"), "{error}");
    // An unreadable gallery image is found before the first step.
    let own = own_data(folder.path());
    let some = fs::read_dir(own.join("bounding_box_test")).unwrap().next().unwrap().unwrap().path();
    fs::write(&some, "no image").unwrap();
    let error = refused(&own, ON_TEST);
    let name = some.file_name().unwrap().to_str().unwrap();
    assert!(error.contains("evaluation during training") && error.contains(name), "{error}");
    let output =
        train(&own, &at("skipped"), &[ON_TEST, &["data.bad_images=skip"]].concat()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(fs::read_to_string(at("skipped").join("skipped.txt")).unwrap().contains(name));

    let idle = train(data(), &at("idle"), &["run.patience=3"]).output().unwrap();
    assert!(stderr(&idle).contains("run.patience = 3 has no effect with run.eval_every = 0"));
    // A run's held-out identities are those of its beginning; the interval may change.
    succeed(&mut train(data(), &at("run"), EVERY));
    let config = fs::read_to_string(at("run").join("config.toml")).unwrap();
    fs::write(at("run").join("config.toml"), config.replace("eval_every = 4", "eval_every = 0")).unwrap();
    let error = fail(&mut resume(&at("run")));
    assert!(error.contains("run.eval_every is 0 here and 4 there"), "{error}");
    fs::write(at("run").join("config.toml"), config.replace("eval_every = 4", "eval_every = 3")).unwrap();
    succeed(resume(&at("run")).args(["--iterations", "15"]));
    assert_eq!(iterations(&validations(&at("run"))), [4, 8, 12, 15]);
}

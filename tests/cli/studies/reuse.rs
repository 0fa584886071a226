//! Reuse of finished runs and results by later calls with other names or options.

use super::{folders, made, result, study, weights};
use crate::support::succeed;
use std::path::Path;
use std::process::Command;

/// A sweep on four held-out queries.
fn sweep(out: &Path, more: &[&str]) -> Command {
    let mut command = study(&["sweep", "--validation", "4"], out);
    command.args(more);
    command
}

/// A recipe is its settings and its start. Which keys a call varies makes another name of it, not another recipe.
#[test]
fn equal_recipes_are_trained_once_whatever_they_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("sweep");
    let start = format!("a={},random", weights(folder.path(), 1).display());
    succeed(&mut sweep(&out, &["--start", &start, "--baseline", "none"]));
    assert_eq!(folders(&out), ["start-a", "start-random"]);
    let before = made(&out, "start-a/seed-0");
    // Lambda 1 from the first start is that start's recipe. Another seed joins it, and settings of no effect.
    let more = ["--start", &start, "--lambda", "1,2", "--runs", "2", "--set", "run.log_every=2"];
    let text = succeed(&mut sweep(&out, &more));
    assert_eq!(made(&out, "start-a/seed-0"), before);
    let twice = ["lambda-0+start-a", "lambda-0+start-random", "lambda-2+start-a", "start-a", "start-random"];
    assert_eq!(folders(&out), twice);
    assert!(out.join("start-a/seed-1").is_dir());
    let json = result(&out);
    let lambda = json["points"].as_array().unwrap().iter().find(|point| point["values"][0]["value"] == "1");
    assert_eq!(lambda.unwrap()["recipe"], "start-a");
    // Again, and as a grid: not one folder more, and the same figures.
    assert_eq!(succeed(&mut sweep(&out, &more)), text);
    succeed(&mut sweep(&out, &["--start", &start, "--lambda", "1", "--tau", "0.3", "--grid", "--runs", "2"]));
    assert_eq!(folders(&out), twice);
    assert_eq!(made(&out, "start-a/seed-0"), before);
}

#[test]
fn a_reduction_that_is_the_settings_own_is_the_full_loss() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("study");
    let reproduce = |more: &[&str]| {
        let mut command = study(&["reproduce", "market1501", "--runs", "1"], &out);
        command.args(more);
        command
    };
    succeed(&mut reproduce(&[]));
    let before = made(&out, "full/seed-0");
    let text = succeed(&mut reproduce(&["--reduction", "sum,mean"]));
    assert_eq!(folders(&out), ["baseline", "full", "full+reduction-mean"]);
    assert_eq!(made(&out, "full/seed-0"), before);
    assert!(text.contains("batch-contrastive, reduction sum, here"), "{text}");
    assert_eq!(result(&out)["comparisons"][0]["full"], "full");
    // The other way round: the mean that was compared is the full loss of settings with the mean. There is no room for
    // it under the name "full", and none is needed.
    let text = succeed(&mut reproduce(&["--set", "loss.batch_contrastive.reduction=mean"]));
    assert_eq!(result(&out)["comparisons"][0]["full"], "full+reduction-mean");
    assert!(text.contains("mean over the batch"), "{text}");
    assert_eq!(folders(&out), ["baseline", "full", "full+reduction-mean"]);
}

/// A smaller call shows what it asked for, and the figures of the larger one stay.
#[test]
fn the_result_of_a_larger_call_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("sweep");
    let files = ["result.json", "table.md", "sweep.svg", "sweep.png"];
    let read = |folder: &Path| files.map(|file| std::fs::read(folder.join(file)).unwrap());
    succeed(&mut sweep(&out, &["--lambda", "1"]));
    // More values and more seeds hold all that was there.
    succeed(&mut sweep(&out, &["--lambda", "1,2", "--runs", "2"]));
    assert!(!out.join("earlier").exists());
    let large = read(&out);
    let said = sweep(&out, &["--lambda", "1,2"]).output().unwrap();
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("the result of an earlier call") && said.contains("earlier/1"), "{said}");
    assert_eq!(read(&out.join("earlier/1")), large);
    assert_eq!(result(&out)["recipes"][1]["reports"].as_array().unwrap().len(), 1);
    // Fewer values; then the large call again, in milliseconds, which holds all of it.
    let small = read(&out);
    succeed(&mut sweep(&out, &["--lambda", "2"]));
    assert_eq!(read(&out.join("earlier/2")), small);
    succeed(&mut sweep(&out, &["--lambda", "1,2", "--runs", "2"]));
    assert!(!out.join("earlier/3").exists());
    assert_eq!(read(&out), large);
}

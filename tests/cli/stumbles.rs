//! Errors that new users meet: each message names the fault, its place and the fix.

use crate::support::{bcreid, fail, own_data, stderr, succeed, train};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[track_caller]
fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

/// The program with arguments.
fn called<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = bcreid();
    command.args(arguments);
    command
}

/// The error of a faulty command line, without colours.
#[track_caller]
fn usage_error(arguments: &[&str]) -> String {
    let output = called(arguments).output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    text
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn options_that_are_settings_name_the_setting() {
    let given = ["--data", "set", "--out", "run"];
    let with = |more: &[&'static str]| usage_error(&[&["train"], &given[..], more].concat());
    assert_says(&with(&["--bad-images", "skip"]), &["--bad-images", "--set data.bad_images=skip"]);
    assert_says(&with(&["--lr", "0.1"]), &["tip: it is a setting: --set solver.lr=VALUE"]);
    assert_says(&usage_error(&["sweep", "--data", "set", "--batch-size", "8"]), &["--set solver.batch=N"]);
    // A misspelt option stays one, and a command without settings has no such tip.
    assert_says(&with(&["--wieghts", "a"]), &["'--weights'"]);
    assert!(!usage_error(&["eval", "--lr", "0.1"]).contains("setting"));
    assert_says(
        &usage_error(&["eval", "run", "set"]),
        &["'run'", "a value follows its option, such as --data DIR"],
    );
    assert_says(&with(&["--set", "solver.batch", "16"]), &["'16'", "a setting in --set KEY=VALUE"]);
    assert_says(
        &with(&["--iterations", "5"]),
        &["--resume", "tip: of a new run", "--set solver.iterations=N"],
    );
}

/// clap's usage line holds the given options as if all were required.
#[test]
fn errors_of_the_command_line_have_no_usage_line() {
    for wrong in [
        &["train", "--layout", "market", "--data", "x"][..],
        &["train", "--data", "x"],
        &["eval", "--query", "q.safetensors"],
        &["query", "--out", "a.png"],
        &["plot", "curve", "run", "--out", "a.svg"],
        &["nonsense"],
    ] {
        let error = usage_error(wrong);
        assert!(!error.contains("Usage:") && error.contains("--help"), "{error}");
    }
    assert_says(
        &usage_error(&["train", "--layout", "market"]),
        &["market", "market1501", "occluded-dukemtmc"],
    );
}

#[test]
fn settings_are_checked_before_a_device_or_data_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let (nowhere, out) = (folder.path().join("nowhere"), folder.path().join("out"));
    for command in [&["train"][..], &["reproduce", "market1501"], &["sweep", "--tau", "1"]] {
        let mut command = called(command);
        command.arg("--data").arg(&nowhere).arg("--out").arg(&out);
        let output = command.args(["--set", "solver.batch=abc"]).output().unwrap();
        let said = "bcreid: config: solver.batch is a whole number; `abc` is text (--set solver.batch=abc)\n";
        assert_eq!(stderr(&output), said, "{command:?}");
    }
    let mut swept = called(&["sweep", "--tau", "much", "--out", text(&out), "--data", text(&nowhere)]);
    assert_says(&fail(&mut swept), &["loss.batch_contrastive.tau is a number; `much` is text"]);
    assert_says(
        &fail(&mut called(&["demo", "--set", "loss.tau=x", "--out", text(&out)])),
        &["loss.batch_contrastive.tau"],
    );
    assert!(!out.exists());
}

/// An evaluated run, the features of its gallery, and its data set, all in `folder`.
fn evaluated(folder: &Path) -> [PathBuf; 3] {
    let (set, run, features) = (own_data(folder), folder.join("runs/a"), folder.join("g.safetensors"));
    fs::create_dir(folder.join("runs")).unwrap();
    succeed(&mut train(&set, &run, &[]));
    succeed(&mut called(&["eval", "--run", text(&run), "--data", text(&set)]));
    let mut extract =
        called(&["extract", "--weights", text(&run), "--data", text(&set), "--part", "gallery"]);
    succeed(extract.arg("--out").arg(&features));
    [set, run, features]
}

#[test]
fn runs_and_images_that_are_elsewhere_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let [set, run, gallery] = evaluated(&folder);
    let runs = folder.join("runs");
    let second = runs.join("b");
    fs::create_dir_all(second.join("checkpoints")).unwrap();
    fs::write(second.join("config.toml"), "").unwrap();
    let (page, picture) = (folder.join("page.html"), folder.join("near.html"));
    let image = fs::read_dir(set.join("query")).unwrap().next().unwrap().unwrap().path();
    let (page, picture, gallery) = (text(&page), text(&picture), text(&gallery));
    // Every command that takes a run names the runs of a folder that holds several.
    let [set_text, runs_text, image] = [&set, &runs, &image].map(|path| text(path));
    let onnx = folder.join("n.onnx");
    for command in [
        &["eval", "--data", set_text, "--run", runs_text][..],
        &["extract", "--images", set_text, "--out", "x.safetensors", "--weights", runs_text],
        &["activations", "--images", set_text, "--out", "maps", "--weights", runs_text],
        &["export", "--out", text(&onnx), "--weights", runs_text],
        &["query", "--image", image, "--gallery", gallery, "--run", runs_text],
        &["doctor", "--weights", runs_text],
        &["plot", "curves", "--out", "x.svg", runs_text],
        &["report", "--out", page, runs_text],
        &["tensorboard", runs_text],
        &["train", "--data", set_text, "--resume", "--out", runs_text],
        &["train", "--data", set_text, "--out", "x", "--weights", runs_text],
        &["sweep", "--data", set_text, "--out", "x", "--tau", "1", "--start", runs_text],
        &["runs", runs_text, "--delete-evaluation", "set"],
    ] {
        let output = called(command).current_dir(&folder).output().unwrap();
        let said = stderr(&output);
        let words = ["it holds 2 runs; give one of them: ", "runs/a, ", "runs/b", "bcreid runs lists them"];
        assert!(
            output.status.code() == Some(1) && words.iter().all(|word| said.contains(word)),
            "{command:?} {said}"
        );
    }
    // Folders in the place of an image and of features.
    let one = text(&run);
    let error = fail(&mut called(&["query", "--run", one, "--image", set_text, "--gallery", gallery]));
    assert_says(&error, &["--image", "a folder; give images, or the features"]);
    let error = fail(&mut called(&["query", "--run", one, "--image", image, "--gallery", set_text]));
    assert_says(&error, &["a folder; features are in a file: bcreid extract --weights RUN --images"]);
    let error = fail(&mut called(&["eval", "--data", set_text, "--run", gallery]));
    assert_says(&error, &["features, and no network"]);
    // Images that were moved.
    let moved = folder.join("moved");
    fs::rename(&set, &moved).unwrap();
    let gone = format!("left out: {set_text} is not there any more; --images DIR names the folder");
    let mut report = called(&["report", text(&run), "--out", page]);
    let said = stderr(&report.output().unwrap());
    assert_eq!(said.matches(&gone).count(), 1, "{said}");
    // A report computes no features.
    assert!(!said.contains("device:"), "{said}");
    let html = fs::read_to_string(page).unwrap();
    assert!(!html.contains("any more"), "the page tells no folder of this machine");
    let (moved, empty) = (text(&moved), folder.join("empty"));
    fs::create_dir(&empty).unwrap();
    let near =
        ["query", "--features", gallery, "--gallery", gallery, "--force", "--out", picture, "--images"];
    let said = stderr(&called(&near).arg(&empty).output().unwrap());
    assert_says(&said, &[&gone]);
    let said = stderr(&called(&near).arg(moved).output().unwrap());
    assert!(said.contains("Images are shown from") && !said.contains("left out"), "{said}");
    let said = stderr(
        &called(&["report", text(&run), "--force", "--out", page, "--images", moved]).output().unwrap(),
    );
    assert!(said.contains("Images are shown from") && !said.contains("left out"), "{said}");
}

#[test]
fn an_unreadable_image_names_the_option_that_leaves_it_out() {
    let folder = tempfile::tempdir().unwrap();
    let [set, run, _] = evaluated(folder.path());
    let images = set.join("query");
    fs::write(images.join("0099_c1s1_000001_00.jpg"), "text").unwrap();
    fs::write(set.join("bounding_box_test/0099_c2s1_000001_00.jpg"), "").unwrap();
    let (maps, out) = (folder.path().join("maps"), folder.path().join("q.safetensors"));
    let (run, set, images) = (text(&run), text(&set), text(&images));
    for (command, done) in [
        (&["eval", "--run", run, "--data", set][..], "left out"),
        (&["extract", "--run", run, "--images", images, "--out", text(&out)], "left out 1 unreadable image"),
        (&["activations", "--weights", run, "--images", images, "--out", text(&maps)], "left out"),
    ] {
        let error = fail(&mut called(command));
        assert_says(
            &error,
            &["0099_c1s1_000001_00.jpg", "; leave unreadable images out with --bad-images skip"],
        );
        let output = called(command).args(["--bad-images", "skip"]).output().unwrap();
        let said = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(done), "{command:?} {said}");
    }
    let maps: Vec<_> = fs::read_dir(maps).unwrap().collect();
    assert_eq!(maps.len() + 1, fs::read_dir(images).unwrap().count());
}

#[test]
fn completions_know_layouts_and_precisions() {
    for shell in ["bash", "zsh", "fish"] {
        let script = succeed(&mut called(&["completions", shell]));
        assert_says(&script, &["cuhk03-np-detected", "tf32"]);
    }
}

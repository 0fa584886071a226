//! Errors that new users meet: each message names the fault, its place and the fix.

use crate::support::{assert_says, called, fail, own_data, stderr, succeed, text, train};
use std::fs;
use std::path::{Path, PathBuf};

/// The error of a faulty command line, without colours.
#[track_caller]
fn usage_error(arguments: &[&str]) -> String {
    let output = called(arguments).output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    text
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

/// A missing file or folder: the error comes before any other work, and says what to give.
#[test]
fn a_missing_file_or_folder_is_told_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let [set, run, gallery] = evaluated(&folder);
    let nowhere = folder.join("nowhere");
    let [set, run, gallery, nowhere] = [&set, &run, &gallery, &nowhere].map(|path| text(path));
    let out = folder.join("out");
    let out = text(&out);
    let data = &["--data", "nowhere: no such file or folder", "give the folder of a data set"][..];
    let weights = &["nowhere: no such file or folder", "give the folder of a run, or a weight file"][..];
    for (command, words) in [
        (&["train", "--data", nowhere, "--out", out][..], data),
        (&["eval", "--run", run, "--data", nowhere], data),
        (&["extract", "--run", run, "--data", nowhere, "--part", "query", "--out", "f.safetensors"], data),
        // The run before the data.
        (&["eval", "--run", nowhere, "--data", nowhere], weights),
        (&["eval", "--run", nowhere, "--data", set], weights),
        (&["train", "--data", set, "--out", out, "--weights", nowhere], weights),
        (&["export", "--out", "n.onnx", "--weights", nowhere], weights),
        (
            &["query", "--run", run, "--gallery", gallery, "--image", nowhere],
            &["--image", "nowhere: no such file; give an image"],
        ),
        (
            &["activations", "--weights", run, "--out", out, "--pair", nowhere, nowhere],
            &["--pair", "nowhere: no such file; give an image"],
        ),
    ] {
        let error = fail(called(command).current_dir(&folder));
        assert_says(&error, words);
        assert!(!error.contains("os error"), "{command:?} {error}");
    }
    assert!(!Path::new(out).join("config.toml").exists());
}

#[test]
fn one_unreadable_query_is_not_to_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let [_, run, gallery] = evaluated(folder.path());
    let [image, other] = ["a.jpg", "b.jpg"].map(|name| folder.path().join(name));
    fs::write(&image, "text").unwrap();
    fs::write(&other, "text").unwrap();
    let query = ["query", "--run", text(&run), "--gallery", text(&gallery), "--image", text(&image)];
    let error = fail(&mut called(&query));
    assert!(error.contains("a.jpg") && !error.contains("--bad-images"), "{error}");
    let error = fail(called(&query).arg(&other));
    assert_says(&error, &["a.jpg", "--bad-images skip"]);
}

#[test]
fn a_text_in_the_place_of_weights_and_yaml_in_that_of_settings_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let at = |name: &str, content: &str| {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let notes = at("notes.txt", "the weights are on the other disk\n");
    let error = fail(&mut called(&["doctor", "--weights", text(&notes)]));
    assert_says(&error, &["notes.txt: is a text file; weights are in a .safetensors file"]);
    let error = fail(&mut called(&["eval", "--query", text(&notes), "--gallery", text(&notes)]));
    assert_says(&error, &["notes.txt: is a text file; features are in a .safetensors file"]);
    let tip = ["is not TOML", "it seems to be YAML", "docs/other-toolboxes.md"];
    let config = |path: &Path| fail(&mut called(&["config", "--config", text(path)]));
    for yaml in ["MODEL:\n  BACKBONE:\n    DEPTH: 50x\n", "---\nlr: 0.1\n", "# ours\nsolver:\n- lr\n"] {
        assert_says(&config(&at("a.yml", yaml)), &tip);
    }
    let error = config(&at("a.toml", "[solver\nlr = 1\n"));
    assert!(error.contains("is not TOML") && !error.contains("YAML"), "{error}");
}

#[test]
fn two_names_of_one_setting_are_refused() {
    let old_and_new = ["loss.lambda=1", "loss.batch_contrastive.weight=2"];
    for [one, two] in [old_and_new, [old_and_new[1], old_and_new[0]]] {
        let error = fail(&mut called(&["config", "--set", one, "--set", two]));
        let both = format!("--set {one} and --set {two} are one setting");
        assert_says(&error, &[&both, "leave one of them out"]);
    }
    // One name twice is no contradiction of names: the last holds.
    let shown = succeed(&mut called(&["config", "--set", "solver.lr=1", "--set", " solver.lr = 0.25"]));
    assert_says(&shown, &["0.25"]);
}

#[test]
fn a_demo_into_a_full_folder_says_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mine.txt"), "mine").unwrap();
    let output = called(&["demo", "--out", text(folder.path())]).output().unwrap();
    let said = stderr(&output);
    assert!(!output.status.success() && said.lines().count() == 1 && !said.contains("device:"), "{said}");
}

#[test]
fn options_of_other_commands_are_answered() {
    for (line, words) in [
        (&["eval", "--eval-only"][..], "bcreid eval only evaluates"),
        (&["train", "--eval-only"], "bcreid eval --run RUN --data DIR"),
        (&["eval", "--name", "a"], "stored under the name of its data set's folder"),
        (&["tensorboard", "--run", "a"], "bcreid tensorboard RUN"),
        (&["tensorboard", "--logdir", "a"], "bcreid tensorboard RUN"),
        (&["eval", "--dist-metric", "cosine"], "rank as the cosine does"),
        (&["eval", "--ranks", "1", "5"], "--json has the CMC"),
        (&["train", "-s", "market1501"], "--data DIR is the folder that is trained on"),
        (&["train", "-t", "market1501"], "bcreid eval --run RUN --data DIR"),
        (&["train", "--combineall"], "the training part alone is trained on"),
        (&["train", "--snapshot", "a"], "--resume continues the run"),
        (&["test", "--run", "a"], "bcreid eval --run RUN --data DIR"),
        (&["inference"], "bcreid extract --weights RUN"),
        (&["search"], "bcreid query ranks a gallery"),
    ] {
        assert_says(&usage_error(line), &["tip: ", words]);
    }
}

/// A run and a weight file are given alike, so either name does.
#[test]
fn run_and_weights_are_two_names_of_one_option() {
    let folder = tempfile::tempdir().unwrap();
    let [set, run, gallery] = evaluated(folder.path());
    let image = fs::read_dir(set.join("query")).unwrap().next().unwrap().unwrap().path();
    let (set, run, gallery, image) = (text(&set), text(&run), text(&gallery), text(&image));
    let maps = folder.path().join("maps");
    succeed(&mut called(&["eval", "--weights", run, "--data", set]));
    succeed(&mut called(&["query", "--weights", run, "--gallery", gallery, "--image", image]));
    succeed(&mut called(&["activations", "--run", run, "--images", image, "--out", text(&maps)]));
    succeed(&mut called(&["doctor", "--run", run]));
}

/// clap does not require an option where another one is given that excludes it: such a line must not run without it.
#[test]
fn an_option_without_the_one_it_needs_is_never_ignored() {
    let refused = |line: &[&str], words: &[&str]| {
        let output = called(line).output().unwrap();
        assert!(!output.status.success(), "{line:?}");
        assert_says(&stderr(&output), words);
    };
    let features = ["eval", "--query", "q.safetensors", "--gallery", "g.safetensors"];
    let of_features = |more: &[&'static str]| [&features[..], more].concat();
    let train = ["train", "--data", "x", "--out", "y", "--iterations", "5"];
    let excluded = ["--weights", "w", "--config", "demo", "--set", "solver.lr=1"];
    for more in excluded.chunks(2) {
        refused(&[&train[..], more].concat(), &["--resume is not given", "--set solver.iterations=5"]);
    }
    refused(&of_features(&["--data", "x"]), &["--data", "cannot be used with"]);
    refused(&of_features(&["--distractors", "x"]), &["--distractors", "cannot be used with"]);
    refused(&of_features(&["--layout", "market1501"]), &["--layout market1501", "--data is not given"]);
    let extract = ["extract", "--weights", "w", "--images", "x", "--out", "f.safetensors"];
    refused(&[&extract[..], &["--part", "gallery"]].concat(), &["--part", "cannot be used with"]);
    refused(&[&extract[..], &["--layout", "mars"]].concat(), &["--layout mars", "--data is not given"]);
}

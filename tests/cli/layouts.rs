//! Each data set layout on a made-up tree: training, evaluation, extraction and query; several data sets in one training;
//! unreadable images that are left out.

use crate::support::{bcreid, data, fail, own_data, stderr, succeed, train};
use crate::trees::{TREES, tree};
use bcreid::weights::Features;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn eval(run: &Path, data: &Path) -> Command {
    let mut command = bcreid();
    command.arg("eval").arg("--run").arg(run).arg("--data").arg(data);
    command
}

fn extract(run: &Path, out: &Path) -> Command {
    let mut command = bcreid();
    command.arg("extract").arg("--weights").arg(run).arg("--out").arg(out);
    command
}

fn json(file: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

#[test]
fn each_tree_trains_evaluates_and_answers_queries() {
    let folder = tempfile::tempdir().unwrap();
    for (name, layout) in TREES {
        let root = tree(name, data(), &folder.path().join("trees"));
        let at = |file: &str| folder.path().join(format!("{name}-{file}"));
        let run = at("run");
        let output =
            train(&root, &run, &["solver.iterations=3", "solver.lr_milestones=[2]"]).output().unwrap();
        assert!(output.status.success(), "{name}: {}", stderr(&output));

        let table = succeed(eval(&run, &root).arg("--json").arg(at("a.json")));
        assert!(!table.contains("Warning"), "{name}: {table}");
        assert_eq!(
            table.contains("Query: tracklet, mean of its frames."),
            layout == "mars",
            "{name}: {table}"
        );
        let report = json(&at("a.json"));
        assert_eq!(report["queries"], if layout == "viper" { 4 } else { 8 }, "{name}");
        assert_eq!(report["valid_queries"], report["queries"], "{name}");

        for part in ["query", "gallery"] {
            let file = at(&format!("{part}.safetensors"));
            let layout = ["--layout", layout, "--part", part];
            succeed(extract(&run, &file).arg("--data").arg(&root).args(layout));
        }
        let (query, gallery) = (at("query.safetensors"), at("gallery.safetensors"));
        let mut again = bcreid();
        again.arg("eval").arg("--query").arg(&query).arg("--gallery").arg(&gallery);
        succeed(again.arg("--json").arg(at("b.json")));
        assert_eq!(json(&at("b.json")), report, "{name}: extracted features evaluate alike");

        let features = Features::read(&gallery).unwrap();
        assert_eq!(features.len() as u64, report["gallery"].as_u64().unwrap(), "{name}");
        let mut look = bcreid();
        look.arg("query").arg("--run").arg(&run).args(["--image", &features.paths()[1], "--top", "1"]);
        let ranked = succeed(look.arg("--gallery").arg(&gallery));
        let person = features.labels().pid(features.pids()[1]).into_owned();
        // A tracklet's feature is not that of its first frame, unless it has one frame.
        if layout != "mars" {
            assert!(ranked.contains("0.0000") && ranked.contains(&person), "{name}: {ranked}");
        }
    }
}

#[test]
fn names_of_lists_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let root = tree("names", data(), folder.path());
    let run = folder.path().join("run");
    let output = train(&root, &run, &[]).output().unwrap();
    assert!(
        output.status.success() && stderr(&output).contains("with names (the first: person_"),
        "{output:?}"
    );
    let gallery = folder.path().join("g.safetensors");
    succeed(extract(&run, &gallery).arg("--data").arg(&root).args(["--part", "gallery"]));
    let image = Features::read(&gallery).unwrap().paths().last().unwrap().clone();
    let mut look = bcreid();
    look.arg("query").arg("--run").arg(&run).arg("--image").arg(&image).arg("--gallery").arg(&gallery);
    let ranked = succeed(look.args(["--top", "1"]));
    assert!(ranked.contains("person_") && ranked.contains("cam_"), "{ranked}");
    let hits = succeed(look.arg("--json"));
    assert!(hits.contains("\"person\": \"person_") && hits.contains("\"camera\": \"cam_"), "{hits}");
    // The names stay with the features in other formats.
    let npy = folder.path().join("g.npy");
    succeed(bcreid().arg("features").arg(&gallery).arg("--out").arg(&npy));
    let list = fs::read_to_string(npy.with_extension("csv")).unwrap();
    assert!(list.starts_with("path,pid,camid,pid_name,camid_name\n") && list.contains(",person_"), "{list}");
    let back = folder.path().join("back.safetensors");
    succeed(bcreid().arg("features").arg(&npy).arg("--out").arg(&back));
    assert_eq!(Features::read(&back).unwrap().labels(), Features::read(&gallery).unwrap().labels());
    // Against features whose identities are numbers, equal numbers would be chance.
    let numbers = folder.path().join("q.safetensors");
    succeed(extract(&run, &numbers).arg("--images").arg(data().join("query")));
    let mut mixed = bcreid();
    let error = fail(mixed.arg("eval").arg("--query").arg(&numbers).arg("--gallery").arg(&gallery));
    assert!(error.contains("extract both from one data set"), "{error}");
    succeed(bcreid().arg("report").arg(&run).arg("--out").arg(folder.path().join("r.html")));
}

/// Lists that were refused before, as files: `made-up` is the synthetic set that they name.
#[test]
fn lists_of_the_shared_cases_are_read() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cases");
    if !cases.is_dir() {
        return println!("skipped: no shared cases");
    }
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("made-up");
    let mut synth = bcreid();
    succeed(synth.arg("synth").arg("--out").arg(&set));
    for case in ["list-tab", "list-semicolon", "list-upperhdr", "list-strcam", "list-strpid"] {
        let root = folder.path().join(case);
        fs::create_dir(&root).unwrap();
        for list in ["train.csv", "query.csv", "gallery.csv"] {
            fs::copy(cases.join(case).join(list), root.join(list)).unwrap();
        }
        let read = bcreid::data::Dataset::open(&root).unwrap_or_else(|e| panic!("{case}: {e}"));
        assert_eq!(read.counts(), [300, 60, 300], "{case}");
        let shown = (read.labels.pid(read.query[0].pid), read.labels.camera(read.query[0].camid.unwrap()));
        let expected = match case {
            "list-strpid" => ("person_097", "1"),
            "list-strcam" => ("97", "cam_1"),
            _ => ("97", "1"),
        };
        assert_eq!((&*shown.0, &*shown.1), expected, "{case}");
    }
}

#[test]
fn layouts_are_chosen_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let error = fail(train(data(), &at("run"), &[]).args(["--layout", "veri776"]));
    assert!(
        error.contains("image_train/") && error.contains("found README.txt, bounding_box_test/"),
        "{error}"
    );
    let output = train(data(), &at("run"), &[]).args(["--layout", "market"]).output().unwrap();
    assert!(!output.status.success() && stderr(&output).contains("market1501, dukemtmc"), "{output:?}");
    let error = fail(train(data(), &at("run"), &[]).args(["--layout", "market1501", "list"]));
    assert!(error.contains("2 layouts for 1 data set;"), "{error}");
    assert!(fail(train(data(), &at("run"), &[]).args(["--split", "2"])).contains("a split is chosen"));
    assert!(!at("run").exists());
    let viper = tree("VIPeR", data(), folder.path());
    succeed(train(&viper, &at("run"), &[]).args(["--split", "2"]));
    let table = succeed(eval(&at("run"), &viper).args(["--split", "2"]));
    assert!(table.contains("Images: 6 queries"), "{table}");
}

#[test]
fn several_data_sets_train_one_network_and_resume() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // The same persons' numbers in both.
    let other = tree("dukemtmc", data(), folder.path());
    let both = |out: &Path, more: &[&str]| {
        let mut command = train(data(), out, more);
        command.arg("--data").arg(&other);
        command
    };
    succeed(&mut both(&at("run"), &[]));
    let classes = |run: &Path| {
        let file = bcreid::weights::read_tensors(&run.join("weights.safetensors")).unwrap();
        serde_json::from_str::<Vec<i64>>(&file.metadata()["classes"]).unwrap()
    };
    assert_eq!(classes(&at("run")), (1..=6).chain(8..=13).collect::<Vec<i64>>());
    succeed(&mut eval(&at("run"), data()));
    let error = fail(train(data(), &at("twice"), &[]).arg("--data").arg(data()));
    assert!(error.contains("the data set is given twice"), "{error}");

    // A run that is stopped continues with the same data sets only.
    let resume = |sets: &[&Path]| {
        let mut command = bcreid();
        command.arg("train").arg("--out").arg(at("run")).arg("--resume").arg("--data").args(sets);
        command
    };
    fs::remove_file(at("run").join("weights.safetensors")).unwrap();
    fs::remove_file(at("run").join("checkpoints/step_0000000012.safetensors")).unwrap();
    let error = fail(&mut resume(&[data()]));
    assert!(error.contains("12 identities in the checkpoint, 6 here"), "{error}");
    succeed(&mut resume(&[data(), &other]));
    let full = at("full");
    succeed(&mut both(&full, &[]));
    let weights = |run: &Path| fs::read(run.join("weights.safetensors")).unwrap();
    assert!(weights(&at("run")) == weights(&full), "a resumed run has the same bits");
}

/// Spoils the first image of a part and returns its path.
fn spoil(part: &Path) -> PathBuf {
    let mut all: Vec<PathBuf> = fs::read_dir(part).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    // Behind the junk, whose images do not count.
    let image =
        all.into_iter().find(|image| !image.file_name().unwrap().to_str().unwrap().starts_with('-')).unwrap();
    fs::write(&image, b"<html>").unwrap();
    image
}

#[test]
fn unreadable_images_can_be_left_out_of_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let run = at("run");
    succeed(&mut train(data(), &run, &[]));
    let set = own_data(folder.path());
    let whole = {
        succeed(eval(&run, &set).arg("--json").arg(at("whole.json")));
        json(&at("whole.json"))
    };
    let (query, gallery) = (spoil(&set.join("query")), spoil(&set.join("bounding_box_test")));
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_string();
    let skip = ["--bad-images", "skip"];

    let error = fail(&mut eval(&run, &set));
    assert!(error.contains(&name(&query)), "{error}");
    let output = eval(&run, &set).args(skip).arg("--json").arg(at("some.json")).output().unwrap();
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("left out: ") && said.contains(&name(&query)) && said.contains(&name(&gallery)),
        "{said}"
    );
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("Left out: 2 images that cannot be read"), "{table}");
    let some = json(&at("some.json"));
    let count = |report: &serde_json::Value, key: &str| report[key].as_u64().unwrap();
    assert_eq!(count(&some, "queries"), count(&whole, "queries") - 1);
    assert_eq!(count(&some, "gallery"), count(&whole, "gallery") - 1);
    assert_eq!(some["skipped"].as_array().unwrap().len(), 2);
    assert!(whole.get("skipped").is_none());
    // The stored evaluation has the list too.
    let stored = json(&run.join("evaluations/set/result.json"));
    assert_eq!(stored["skipped"], some["skipped"]);

    let distractors = at("distractors");
    fs::create_dir(&distractors).unwrap();
    fs::copy(data().join("query").join(name(&query)), distractors.join("good.jpg")).unwrap();
    fs::write(distractors.join("bad.jpg"), b"").unwrap();
    assert!(fail(eval(&run, data()).arg("--distractors").arg(&distractors)).contains("bad.jpg"));
    let with = eval(&run, data()).arg("--distractors").arg(&distractors).args(skip).output().unwrap();
    assert!(with.status.success() && stderr(&with).contains("bad.jpg"), "{}", stderr(&with));
    assert!(String::from_utf8_lossy(&with.stdout).contains("Left out: 1 image that"));

    let images = set.join("bounding_box_test");
    for out in ["g.safetensors", "g.npy"] {
        let list = at(&format!("{out}.skipped.txt"));
        assert!(fail(extract(&run, &at(out)).arg("--images").arg(&images)).contains(&name(&gallery)));
        assert!(!at(out).exists() && !list.exists());
        let said = succeed(extract(&run, &at(out)).arg("--images").arg(&images).args(skip));
        assert!(said.contains("left out 1 unreadable image, listed in"), "{said}");
        let listed = fs::read_to_string(&list).unwrap();
        assert!(listed.lines().count() == 1 && listed.contains(&name(&gallery)), "{listed}");
        // The list is an output as the features are.
        fs::remove_file(at(out)).unwrap();
        _ = fs::remove_file(at("g.csv"));
        assert!(
            fail(extract(&run, &at(out)).arg("--images").arg(&images).args(skip))
                .contains(".skipped.txt exists")
        );
        succeed(extract(&run, &at(out)).arg("--images").arg(data().join("query")).args(skip).arg("--force"));
        assert!(!list.exists(), "nothing was left out, so the old list is gone");
        succeed(extract(&run, &at(out)).arg("--images").arg(&images).args(skip).arg("--force"));
        assert!(list.is_file());
    }
    // The rows that stay are those of the whole folder.
    let all = at("all.safetensors");
    succeed(extract(&run, &all).arg("--images").arg(data().join("bounding_box_test")));
    let (all, some) = (Features::read(&all).unwrap(), Features::read(&at("g.safetensors")).unwrap());
    assert_eq!(some.len(), all.len() - 1);
    for row in 0..some.len() {
        let base = name(Path::new(&some.paths()[row]));
        let theirs = all.paths().iter().position(|path| name(Path::new(path)) == base).unwrap();
        assert_eq!((some.row(row), some.pids()[row]), (all.row(theirs), all.pids()[theirs]));
    }

    let mut look = bcreid();
    look.arg("query")
        .arg("--run")
        .arg(&run)
        .arg("--image")
        .arg(&query)
        .arg(data().join("query").join(name(&query)));
    look.arg("--gallery").arg(at("g.safetensors"));
    assert!(fail(&mut look).contains(&name(&query)));
    let ranked = look.args(skip).output().unwrap();
    assert!(ranked.status.success() && stderr(&ranked).contains("left out: "), "{}", stderr(&ranked));
    let none = at("none");
    fs::create_dir(&none).unwrap();
    fs::write(none.join("a.jpg"), b"").unwrap();
    let error = fail(extract(&run, &at("n.safetensors")).arg("--images").arg(&none).args(skip));
    assert!(error.contains("none of 1 image can be read") && !at("n.safetensors").exists(), "{error}");
    // The list's name is the program's choice, so that a link in its place is refused before the extraction.
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(at("victim"), at("n.safetensors.skipped.txt")).unwrap();
        let error = fail(extract(&run, &at("n.safetensors")).arg("--images").arg(&none).args(skip));
        assert!(
            error.contains("n.safetensors.skipped.txt: a symbolic link") && !at("victim").exists(),
            "{error}"
        );
    }
}

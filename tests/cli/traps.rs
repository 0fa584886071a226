//! Traps of real data: a warning or an error before the figures are believed.

use crate::support::{TINY, bcreid, data, fail, own_data, stderr, succeed, train};
use bcreid::weights::Features;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines `path,pid,camid` of a part of the small data set.
fn lines(part: &str, with_cameras: bool) -> Vec<String> {
    let mut images: Vec<PathBuf> =
        fs::read_dir(data().join(part)).unwrap().map(|entry| entry.unwrap().path()).collect();
    images.retain(|image| image.extension().is_some_and(|extension| extension == "jpg"));
    images.sort();
    let line = |image: &PathBuf| {
        let name = image.file_name().unwrap().to_str().unwrap();
        let (pid, camid) = (name.split('_').next().unwrap(), &name.split_once("_c").unwrap().1[..1]);
        let camid = if with_cameras { camid } else { "" };
        format!("{},{pid},{camid}", image.display())
    };
    images.iter().map(line).filter(|line| !line.contains(",-1,")).collect()
}

fn list(file: &Path, lines: &[String]) {
    let mut text = "path,pid,camid\n".to_string();
    lines.iter().for_each(|line| writeln!(text, "{line}").unwrap());
    fs::write(file, text).unwrap();
}

/// A folder of lists.
fn lists(folder: &Path, train: &[String], query: &[String], gallery: &[String]) -> PathBuf {
    let root = folder.join("lists");
    fs::create_dir_all(&root).unwrap();
    for (name, lines) in [("train.csv", train), ("query.csv", query), ("gallery.csv", gallery)] {
        list(&root.join(name), lines);
    }
    root
}

fn eval(run: &Path, data: &Path) -> Command {
    let mut command = bcreid();
    command.arg("eval").arg("--run").arg(run).arg("--data").arg(data);
    command
}

#[test]
fn a_query_in_the_gallery_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    succeed(&mut train(data(), &run, &[]));
    let trained = lines("bounding_box_train", false);
    let test = lines("query", false);
    let root = lists(folder.path(), &trained, &test, &test);
    let table = succeed(&mut eval(&run, &root));
    assert!(table.contains("Warning: 8 of 8 queries are in the gallery themselves"), "{table}");
    // With cameras they are dropped.
    let with = lines("query", true);
    let root = lists(folder.path(), &lines("bounding_box_train", true), &with, &with);
    let table = succeed(&mut eval(&run, &root));
    assert!(!table.contains("Warning"), "{table}");
    let table = succeed(eval(&run, &root).arg("--ignore-cameras"));
    assert!(table.contains("Warning: 8 of 8 queries"), "{table}");
}

/// A copy of a query under another name has its feature.
#[test]
fn a_copy_of_a_query_in_the_gallery_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (run, set) = (folder.path().join("run"), own_data(folder.path()));
    succeed(&mut train(&set, &run, &["solver.iterations=1", "solver.lr_milestones=[]"]));
    let (query, gallery) = (lines("query", false), lines("bounding_box_test", false));
    let table = succeed(&mut eval(&run, &lists(folder.path(), &query, &query, &gallery)));
    assert!(!table.contains("in the gallery themselves"), "{table}");
    let mut copied = gallery.clone();
    for (number, line) in query[..2].iter().enumerate() {
        let (path, pid) = line.split_once(',').unwrap();
        let copy = folder.path().join(format!("copy{number}.jpg"));
        fs::copy(path, &copy).unwrap();
        copied.push(format!("{},{pid}", copy.display()));
    }
    let table = succeed(&mut eval(&run, &lists(folder.path(), &query, &query, &copied)));
    assert!(table.contains("Warning: 2 of 8 queries are in the gallery themselves"), "{table}");
}

/// Images of training that were copied into the gallery are found by their bytes.
#[test]
fn copied_images_of_training_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let set = own_data(folder.path());
    let mut images: Vec<PathBuf> =
        fs::read_dir(set.join("bounding_box_train")).unwrap().map(|entry| entry.unwrap().path()).collect();
    images.retain(|image| image.file_name().unwrap().to_str().unwrap().starts_with("0001_"));
    assert_eq!(images.len(), 4);
    for image in &images {
        fs::copy(image, set.join("bounding_box_test").join(image.file_name().unwrap())).unwrap();
    }
    let said = |name: &str| {
        let short = ["solver.iterations=1", "solver.lr_milestones=[]"];
        let output = train(&set, &folder.path().join(name), &short).output().unwrap();
        assert!(output.status.success());
        stderr(&output)
    };
    let told = said("copied");
    assert!(
        told.contains("1 identity of the test part (the first: 1) and 4 images are in the training"),
        "{told}"
    );
    // Another picture of the same size in bytes is no copy.
    let changed = set.join("bounding_box_test").join(images[0].file_name().unwrap());
    let mut bytes = fs::read(&changed).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&changed, bytes).unwrap();
    let told = said("changed");
    assert!(told.contains("and 3 images are in the training part too"), "{told}");
}

#[test]
fn persons_and_images_of_training_among_the_test_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let trained = lines("bounding_box_train", true);
    let root = lists(folder.path(), &trained, &trained[..2], &trained[2..9]);
    let output = train(&root, &folder.path().join("run"), &[]).output().unwrap();
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("of the test part (the first: 1) and 9 images are in the training part too"),
        "{said}"
    );
    let output = train(data(), &folder.path().join("other"), &[]).output().unwrap();
    assert!(!stderr(&output).contains("training part too"));
}

#[test]
fn an_image_of_two_persons_is_refused_and_a_repeated_line_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let (trained, query, gallery) =
        (lines("bounding_box_train", true), lines("query", true), lines("bounding_box_test", true));
    let mut conflict = trained.clone();
    let (path, _) = conflict[0].split_once(',').unwrap();
    conflict.push(format!("{path},77,1"));
    let root = lists(folder.path(), &conflict, &query, &gallery);
    let error = fail(&mut train(&root, &folder.path().join("run"), &[]));
    assert!(error.contains("has two identities, 1 and 77") && error.contains("train.csv"), "{error}");
    let twice = [trained.clone(), trained.clone()].concat();
    let root = lists(folder.path(), &twice, &query, &gallery);
    let output = train(&root, &folder.path().join("run"), &[]).output().unwrap();
    let said = stderr(&output);
    assert!(
        output.status.success() && said.contains(&format!("left out {} repeated lines", trained.len())),
        "{said}"
    );
}

#[test]
fn features_that_tell_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, values: Vec<f32>| {
        let rows = values.len() as i64;
        let features =
            Features::new(values, 1, (0..rows).map(|row| row % 2).collect(), vec![-1; rows as usize], vec![]);
        features.unwrap().write(&at(name)).unwrap();
    };
    let eval = |query: &str, gallery: &str| {
        let mut command = bcreid();
        command.arg("eval").arg("--query").arg(at(query)).arg("--gallery").arg(at(gallery));
        command
    };
    write("equal", vec![1.0; 4]);
    write("zero", vec![0.0; 4]);
    write("good", vec![0.0, 1.0, 0.0, 0.5]);
    let error = fail(&mut eval("equal", "equal"));
    assert!(error.contains("all 8 features are equal") && error.contains("collapsed"), "{error}");
    assert!(fail(&mut eval("zero", "zero")).contains("all 8 features are zero"));
    let table = succeed(&mut eval("good", "good"));
    assert!(table.contains("Warning: 4 features without any value but zero"), "{table}");
}

#[test]
fn batches_without_pairs_are_told_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let trained = lines("bounding_box_train", true);
    let mut alone: Vec<String> = Vec::new();
    for line in &trained {
        let pid = line.split(',').nth(1).unwrap();
        if !alone.iter().any(|other| other.split(',').nth(1) == Some(pid)) {
            alone.push(line.clone());
        }
    }
    let root = lists(folder.path(), &alone, &lines("query", true), &lines("bounding_box_test", true));
    let run = folder.path().join("run");
    let few = ["solver.batch=4"];
    let error = fail(&mut train(&root, &run, &few));
    assert!(error.contains("no batch can hold two images of one identity"), "{error}");
    assert!(!run.exists());
    succeed(&mut train(&root, &run, &[few[0], "loss.batch_contrastive.weight=0"]));
    // TINY has batches of 8 of 6 identities, which always hold a pair.
    assert!(TINY.contains(&"solver.batch=8"));
    let said = |name: &str, more: &[&str]| {
        let output = train(data(), &folder.path().join(name), more).output().unwrap();
        assert!(output.status.success());
        stderr(&output)
    };
    assert!(!said("many", &[]).contains("no two images of one identity"));
    let told = said("some", &["solver.batch=2"]);
    assert!(told.contains("are expected to hold no two images of one identity"), "{told}");
    assert!(
        !said("baseline", &["solver.batch=2", "loss.batch_contrastive.weight=0"]).contains("no two images")
    );
}

/// All training images show the same picture, so that the features of different persons are equal.
#[test]
fn a_collapse_is_told_at_the_end_and_in_the_evaluation() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let set = own_data(folder.path());
    let part = set.join("bounding_box_train");
    let images: Vec<PathBuf> = fs::read_dir(&part).unwrap().map(|entry| entry.unwrap().path()).collect();
    for image in &images[1..] {
        fs::copy(&images[0], image).unwrap();
    }
    let settings =
        ["solver.iterations=120", "solver.lr=0.002", "data.flip=false", "loss.batch_contrastive.warmup=40"];
    let output = train(&set, &run, &settings).output().unwrap();
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert_eq!(said.matches("features have collapsed").count(), 1, "{said}");
    let last = said.lines().rfind(|line| line.contains("collapsed")).unwrap();
    assert!(
        last.starts_with("the run ends with collapsed features") && last.contains("solver.lr (now 0.002)")
    );
    // TINY has a dropout of 0.5 already, and the ramp is longer than a fourth of the run.
    assert!(
        last.contains("pre-trained weights;") && !last.contains("dropout") && !last.contains("warmup"),
        "{last}"
    );
    let table = succeed(&mut eval(&run, data()));
    assert!(table.contains("Warning: the features collapsed in training"), "{table}");
    let stored = fs::read_to_string(run.join("evaluations/set/result.json")).unwrap();
    assert!(stored.contains("Warning: the features collapsed in training"));
    // Settings that cannot be read are no reason to refuse the evaluation.
    fs::write(run.join("metrics.jsonl"), "{}\n").unwrap();
    let output = eval(&run, data()).output().unwrap();
    assert!(
        output.status.success() && stderr(&output).contains("not checked, whether the training collapsed")
    );
    let healthy = folder.path().join("healthy");
    succeed(&mut train(data(), &healthy, &["solver.iterations=120"]));
    assert!(!succeed(&mut eval(&healthy, data())).contains("collapsed"));
}

#[test]
fn settings_without_effect_are_told_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let late = ["solver.lr_milestones=[8, 12]", "loss.batch_contrastive.warmup=24"];
    let said = stderr(&train(data(), &folder.path().join("late"), &late).output().unwrap());
    let milestones = said.find("solver.lr_milestones: 12 lies beyond the last of 12 iterations");
    let first = said.find("train 12/12").unwrap();
    assert!(milestones.is_some_and(|at| at < first), "{said}");
    assert!(said.contains("loss.batch_contrastive.weight ends at 0.5 instead of 1"), "{said}");
    let said = stderr(&train(data(), &folder.path().join("sound"), &[]).output().unwrap());
    assert!(!said.contains("milestones") && !said.contains("warmup"), "{said}");
}

//! Losses of other methods, from the settings to metrics, messages and the page; and the neck.

use crate::support::{bcreid, data, fail, stderr, succeed, train};
use bcreid::data::Dataset;
use bcreid::weights::Features;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

const ALL: &[&str] = &[
    "data.sampler=pk",
    "loss.softmax.weight=0.5",
    "loss.batch_contrastive.weight=0.25",
    "loss.triplet.weight=2",
    "loss.circle.weight=0.125",
    "loss.contrastive.weight=4",
    "loss.center.weight=0.03125",
];

/// The metrics of each step.
fn metrics(run: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn resumed(run: &Path) -> Command {
    let mut resume = bcreid();
    resume.arg("train").arg("--data").arg(data()).arg("--out").arg(run).args([
        "--resume",
        "--iterations",
        "12",
    ]);
    resume
}

#[test]
fn each_loss_is_measured_and_enters_with_its_weight() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let said = succeed(&mut train(data(), &at("all"), ALL));
    let ending = said.lines().find(|line| line.contains("mean of the last")).unwrap();
    assert!(
        ["triplet ", "circle ", "contrastive ", "separate center "].iter().all(|name| ending.contains(name)),
        "{ending}"
    );
    let steps = metrics(&at("all"));
    assert_eq!(steps.len(), 12);
    for step in &steps {
        let value = |name: &str| step[name].as_f64().unwrap_or_else(|| panic!("{name}: {step}"));
        let paper = value("positive") + value("hinge") + value("center");
        let others = 2.0 * value("triplet")
            + 0.125 * value("circle")
            + 4.0 * value("contrastive")
            + 0.03125 * value("center_loss");
        let total = 0.5 * value("softmax") + 0.25 * paper + others;
        assert!((value("loss") / total - 1.0).abs() < 1e-5, "{total}: {step}");
        assert!(value("triplet") > 0.0 && value("circle") > 0.0 && value("contrastive") > 0.0, "{step}");
        assert!(value("center_loss") > 0.0, "{step}");
    }
    // A loss without a weight is not computed, and not written.
    succeed(&mut train(data(), &at("plain"), &[]));
    assert!(
        metrics(&at("plain"))
            .iter()
            .all(|step| step.get("triplet").is_none() && step.get("center_loss").is_none())
    );

    succeed(&mut train(data(), &at("part"), &[ALL, &["solver.iterations=6"]].concat()));
    succeed(&mut resumed(&at("part")));
    assert_eq!(metrics(&at("part")), steps);
    assert!(tensors(&at("part")) == tensors(&at("all")), "a resumed run has the bits of a whole one");

    let page = |runs: &[&str]| {
        let mut report = bcreid();
        report.arg("report").args(runs.iter().map(|run| at(run))).arg("--out").arg(at("page.html"));
        succeed(report.arg("--force"));
        fs::read_to_string(at("page.html")).unwrap()
    };
    let curves = ["Triplet loss", "Circle loss", "Contrastive loss of pairs", "Separate center loss"];
    let (with, without) = (page(&["all", "plain"]), page(&["plain"]));
    assert!(curves.iter().all(|title| with.contains(title) && !without.contains(title)));
}

/// With weighted mining no positive counts as far and no negative as near as the hardest one, so the first loss is
/// smaller. A resumed run has the same losses.
#[test]
fn weighted_triplets_are_another_loss() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let hard =
        ["data.sampler=pk", "loss.triplet.weight=1", "loss.triplet.soft=true", "loss.triplet.normalise=true"];
    let weighted = [&hard[..], &["loss.triplet.mining=weighted"]].concat();
    succeed(&mut train(data(), &at("hard"), &hard));
    let said = succeed(&mut train(data(), &at("weighted"), &weighted));
    assert!(said.contains("triplet "), "{said}");
    let first = |run: &str| metrics(&at(run))[0]["triplet"].as_f64().unwrap();
    assert!(first("weighted") > 0.0 && first("weighted") < first("hard"), "{}", first("weighted"));
    succeed(&mut train(data(), &at("part"), &[&weighted[..], &["solver.iterations=6"]].concat()));
    succeed(&mut resumed(&at("part")));
    assert_eq!(metrics(&at("part")), metrics(&at("weighted")));
    let error = fail(&mut train(data(), &at("wrong"), &["loss.triplet.mining=soft"]));
    assert!(error.contains("loss.triplet.mining") && error.contains("hard, weighted"), "{error}");
}

#[test]
fn losses_that_cannot_work_are_refused_and_idle_settings_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let nothing = ["loss.softmax.weight=0", "loss.lambda=0"];
    assert!(fail(&mut train(data(), &at("nothing"), &nothing)).contains("so nothing is trained"));
    for loss in ["triplet", "circle", "contrastive"] {
        let (weight, feature) = (format!("loss.{loss}.weight=1"), format!("loss.{loss}.feature=neck"));
        let error = fail(&mut train(data(), &at("neck"), &[&weight, &feature]));
        assert!(error.contains(&format!("loss.{loss}.feature is the neck's")), "{error}");
        // One image of each person.
        let single = at("single");
        fs::create_dir_all(single.join("train")).unwrap();
        for (number, entry) in fs::read_dir(data().join("bounding_box_train")).unwrap().take(10).enumerate() {
            let person = single.join(format!("train/person{number}"));
            fs::create_dir_all(&person).unwrap();
            fs::copy(entry.unwrap().path(), person.join("a.jpg")).unwrap();
        }
        let error = fail(&mut train(&single, &at("pairs"), &[&weight, "loss.lambda=0"]));
        let words = format!("which the {loss} loss needs");
        assert!(error.contains(&words) && error.contains(&format!("loss.{loss}.weight = 0")), "{error}");
        assert!(!at("pairs").exists() && !at("neck").exists());
    }
    let error = fail(&mut train(data(), &at("neck"), &["loss.center.weight=1", "loss.center.feature=neck"]));
    assert!(error.contains("loss.center.feature is the neck's"), "{error}");
    let output = train(data(), &at("idle"), &["loss.triplet.margin=1", "solver.beta1=0.5"]).output().unwrap();
    let said = stderr(&output);
    for note in [
        "loss.triplet.margin = 1.0 has no effect with loss.triplet.weight = 0",
        "solver.beta1 = 0.5 has no effect with solver.optimizer = \"sgd\"",
    ] {
        assert!(output.status.success() && said.contains(note), "{note}: {said}");
    }
}

/// The separate center loss has centers of its own, which only a run with this loss has; weights of either run start
/// the other, and evaluation needs none of them.
#[test]
fn separate_centers_belong_to_training() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let center = &["loss.center.weight=0.0005"];
    succeed(&mut train(data(), &at("with"), center));
    succeed(&mut train(data(), &at("without"), &[]));
    let centers = |run: &str| {
        let own = tensors(&at(run)).into_iter().find(|(name, _)| name == "center_loss.centers");
        own.map(|(_, bytes)| bytes)
    };
    assert!(centers("with").unwrap().iter().any(|byte| *byte != 0) && centers("without").is_none());
    for (start, run, settings) in [("with", "dropped", &[][..]), ("without", "added", center)] {
        succeed(train(data(), &at(run), settings).arg("--weights").arg(at(start)));
        assert_eq!(centers(run).is_some(), !settings.is_empty());
    }
    let mut eval = bcreid();
    succeed(eval.arg("eval").arg("--run").arg(at("with")).arg("--data").arg(data()));
}

/// The verification head: its loss enters with its weight, a resumed run has the bits of a whole one, and a sampler
/// whose pairs never show one person is refused before anything is written.
#[test]
fn a_verification_head_needs_pairs_of_both_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let pairs = &["loss.verification.weight=0.5", "loss.lambda=0"];
    let said = succeed(&mut train(data(), &at("whole"), pairs));
    assert!(said.contains("; verification "), "{said}");
    for step in metrics(&at("whole")) {
        let value = |name: &str| step[name].as_f64().unwrap();
        let total = value("softmax") + 0.5 * value("verification");
        assert!((value("loss") / total - 1.0).abs() < 1e-5, "{step}");
    }
    succeed(&mut train(data(), &at("part"), &[&pairs[..], &["solver.iterations=6"]].concat()));
    succeed(&mut resumed(&at("part")));
    assert!(tensors(&at("part")) == tensors(&at("whole")), "a resumed run has the bits of a whole one");
    // Other runs start from these weights, and these from others.
    let names = |run: &str| tensors(&at(run)).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert!(names("whole").contains(&"verification.weight".into()));
    succeed(train(data(), &at("plain"), &[]).arg("--weights").arg(at("whole")));
    assert!(!names("plain").iter().any(|name| name.starts_with("verification.")));
    succeed(train(data(), &at("again"), pairs).arg("--weights").arg(at("plain")));

    for (settings, words) in [
        (&["data.sampler=pk"][..], "every pair is one of two persons: set data.sampler"),
        (&["solver.batch=7"], "solver.batch must be even"),
        (&["loss.verification.dropout=1"], "loss.verification.dropout must be at least 0"),
        (&["loss.verification.feature=neck"], "loss.verification.feature is the neck's"),
    ] {
        let error = fail(&mut train(data(), &at("refused"), &[&pairs[..], settings].concat()));
        assert!(error.contains(words) && !at("refused").exists(), "{words}: {error}");
    }
    // Many persons with four images each: a pair seldom shows one.
    let many = at("many");
    let sizes = ["--train-ids", "60", "--test-ids", "2", "--cameras", "2", "--images-per-camera", "2"];
    succeed(bcreid().arg("synth").arg("--out").arg(&many).args(sizes));
    let output = train(&many, &at("few"), pairs).output().unwrap();
    let said = stderr(&output);
    assert!(
        output.status.success() && said.contains("1.26 % of the pairs are expected to show one person"),
        "{said}"
    );
}

/// Attributes of all persons of the data set, test persons included, with the first column for `identity`.
fn attributes(file: &Path, header: &str, first: impl Fn(i64) -> String) -> String {
    let set = Dataset::open(data()).unwrap();
    let persons: BTreeSet<i64> =
        set.train.iter().chain(&set.query).map(|image| image.pid).filter(|pid| *pid > 0).collect();
    let line = |(i, pid): (usize, i64)| format!("{},{},{}\n", first(pid), ["no", "yes"][i % 2], 10 * (i % 3));
    let lines: String = persons.into_iter().enumerate().map(line).collect();
    fs::write(file, format!("{header}\n{lines}")).unwrap();
    format!("data.attributes={}", file.display())
}

/// Heads of attributes: the loss enters with its weight and is learnt; a resumed run has the bits of a whole one,
/// wherever the file is, and refuses another content; the file is a part of the run's provenance; evaluation needs no
/// heads.
#[test]
fn attributes_are_learnt_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let file = at("attributes.csv");
    let named = attributes(&file, "identity,hat,age", |pid| format!("{pid:04}"));
    let own: &[&str] = &["loss.attributes.weight=0.5", "loss.lambda=0", &named];
    let said = succeed(&mut train(data(), &at("whole"), own));
    assert!(said.contains("; attributes "), "{said}");
    for step in metrics(&at("whole")) {
        let value = |name: &str| step[name].as_f64().unwrap();
        let total = value("softmax") + 0.5 * value("attributes");
        assert!((value("loss") / total - 1.0).abs() < 1e-5, "{step}");
    }
    let file_of_weights = bcreid::weights::read_tensors(&at("whole").join("weights.safetensors")).unwrap();
    assert_eq!(file_of_weights.tensor("attributes.weight").unwrap().shape()[0], 5, "two values and three");

    succeed(&mut train(data(), &at("part"), &[own, &["solver.iterations=6"]].concat()));
    // The file moves: the settings of the run name another place.
    fs::rename(&file, at("moved.csv")).unwrap();
    let error = fail(&mut resumed(&at("part")));
    assert!(error.contains("attributes.csv"), "{error}");
    let settings = at("part").join("config.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replace("attributes.csv", "moved.csv")).unwrap();
    let content = fs::read_to_string(at("moved.csv")).unwrap();
    fs::write(at("moved.csv"), content.replacen("yes", "no", 1)).unwrap();
    let error = fail(&mut resumed(&at("part")));
    assert!(error.contains("attributes_sha256") && error.contains("another run or data set"), "{error}");
    fs::write(at("moved.csv"), content).unwrap();
    succeed(&mut resumed(&at("part")));
    assert!(tensors(&at("part")) == tensors(&at("whole")), "a resumed run has the bits of a whole one");

    let provenance = fs::read_to_string(at("whole").join("provenance.json")).unwrap();
    assert!(provenance.contains("\"file\": \"attributes.csv\"") && provenance.contains("\"attributes\": 2"));
    let shown = succeed(bcreid().arg("doctor").arg("--weights").arg(at("whole")));
    assert!(
        shown.contains(", 2 attributes of attributes.csv") && shown.contains("SHA-256 of the attributes")
    );
    let mut eval = bcreid();
    succeed(eval.arg("eval").arg("--run").arg(at("whole")).arg("--data").arg(data()));
    succeed(train(data(), &at("plain"), &[]).arg("--weights").arg(at("whole")));
    assert!(tensors(&at("plain")).iter().all(|(name, _)| !name.starts_with("attributes.")));
}

#[test]
fn files_of_attributes_that_cannot_work_are_refused_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let refused = |settings: &[&str], words: &[&str]| {
        let error = fail(&mut train(data(), &at("run"), &[settings, &["loss.attributes.weight=1"]].concat()));
        assert!(words.iter().all(|word| error.contains(word)) && !at("run").exists(), "{words:?}: {error}");
    };
    refused(&[], &["data.attributes names no file"]);
    refused(&["data.attributes=5"], &["data.attributes is a text"]);
    let named = attributes(&at("a.csv"), "identity,hat,age", |pid| pid.to_string());
    refused(&[&named, "loss.attributes.feature=neck"], &["loss.attributes.feature is the neck's"]);
    let named = attributes(&at("b.csv"), "person,hat,age", |pid| pid.to_string());
    refused(&[&named], &["b.csv line 1", "write the header identity"]);
    let named = attributes(&at("c.csv"), "identity,hat,age", |pid| (pid + 1000).to_string());
    refused(&[&named], &["c.csv: no line of identity", "of the training set are missing"]);
    let output = train(data(), &at("idle"), &[&named]).output().unwrap();
    let said = stderr(&output);
    let note = "has no effect with loss.attributes.weight = 0";
    assert!(output.status.success() && said.contains("data.attributes = ") && said.contains(note), "{said}");
}

/// Names and bytes of all tensors of a run's weights.
fn tensors(run: &Path) -> Vec<(String, Vec<u8>)> {
    let file = bcreid::weights::read_tensors(&run.join("weights.safetensors")).unwrap();
    let own = |name: &str| (name.to_string(), file.get(name).unwrap().bytes().to_vec());
    file.names().map(own).collect()
}

/// A batch-norm neck: trained from weights without one, resumed bit for bit, part of the network of its weights.
#[test]
fn a_neck_is_trained_and_belongs_to_the_features() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let neck = &["model.neck=batchnorm"];
    succeed(&mut train(data(), &at("plain"), &[]));
    let from_plain = |out: &str, more: &[&str]| {
        let mut command = train(data(), &at(out), more);
        command.arg("--weights").arg(at("plain"));
        command
    };
    succeed(&mut from_plain("whole", neck));
    succeed(&mut from_plain("part", &["solver.iterations=6", neck[0]]));
    succeed(&mut resumed(&at("part")));
    assert!(tensors(&at("part")) == tensors(&at("whole")), "a resumed run has the bits of a whole one");
    let names: Vec<String> = tensors(&at("whole")).into_iter().map(|(name, _)| name).collect();
    for name in ["weight", "bias", "running_mean", "running_var"] {
        assert!(names.contains(&format!("bottleneck.{name}")), "{names:?}");
    }
    assert!(!names.contains(&"fc.bias".to_string()), "the classifier behind a neck has no bias");

    // The features are those behind the neck: another scale gives other features, the shape is the same.
    let features = |weights: &Path, out: &str| {
        let mut extract = bcreid();
        extract.arg("extract").arg("--weights").arg(weights).arg("--images").arg(data().join("query"));
        succeed(extract.arg("--out").arg(at(out)));
        Features::read(&at(out)).unwrap()
    };
    let own = features(&at("whole"), "own.safetensors");
    let file = bcreid::weights::read_tensors(&at("whole").join("weights.safetensors")).unwrap();
    let changed: Vec<(String, Vec<usize>, Vec<f32>)> = file
        .names()
        .map(|name| {
            let view = file.tensor(name).unwrap();
            let mut values = view.f32().unwrap().into_owned();
            if name == "bottleneck.weight" {
                values.iter_mut().enumerate().for_each(|(i, v)| *v *= 1.0 + i as f32);
            }
            (name.to_string(), view.shape().to_vec(), values)
        })
        .collect();
    let out: Vec<_> = changed
        .iter()
        .map(|(name, shape, values)| bcreid::weights::TensorOut::f32(name, shape, values))
        .collect();
    bcreid::weights::write_tensors(&at("changed.safetensors"), &out, &file.metadata().clone()).unwrap();
    let other = features(&at("changed.safetensors"), "other.safetensors");
    assert_eq!((own.len(), own.dim()), (other.len(), other.dim()));
    assert!((0..own.len()).all(|row| own.row(row) != other.row(row)));

    let looked = succeed(bcreid().arg("doctor").arg("--weights").arg(at("whole")));
    assert!(looked.contains("batch-norm neck") && looked.contains("values, layer neck"), "{looked}");
    // Their files state the layer, and features of two layers are not compared.
    assert_eq!(own.origin().layer.as_deref(), Some("neck"));
    let plain = features(&at("plain"), "plain.safetensors");
    assert_eq!(plain.origin().layer.as_deref(), Some("pool5"));
    let mut compare = bcreid();
    compare.arg("eval").arg("--query").arg(at("own.safetensors"));
    let error = fail(compare.arg("--gallery").arg(at("plain.safetensors")));
    assert!(error.contains("two layers (neck and pool5)"), "{error}");
    let mut converted = bcreid();
    converted.arg("features").arg(at("own.safetensors"));
    let said = succeed(converted.arg("--out").arg(at("own.arrow")));
    assert!(said.contains("values, layer neck"), "{said}");
    // A network without a neck cannot take its weights, and says what to do.
    let mut without = train(data(), &at("without"), &["model.neck=none"]);
    let error = fail(without.arg("--weights").arg(at("whole")));
    assert!(error.contains("bottleneck.") && error.contains("model.neck"), "{error}");
    let error = fail(&mut train(data(), &at("none"), &["loss.batch_contrastive.feature=neck"]));
    assert!(error.contains("set model.neck to batchnorm"), "{error}");
}

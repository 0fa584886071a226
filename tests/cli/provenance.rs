//! Provenance: what runs started from and were trained on is kept, shown, and part of the comparison of runs.

use crate::support::{bcreid, data, fail, interrupt, succeed, train};
use bcreid::export::onnx::proto::ModelProto;
use bcreid::export::tensorboard::proto::{Content, Event, What};
use bcreid::files::hex;
use bcreid::run::{Layout, RunProvenance};
use bcreid::weights::provenance::{Start, Training};
use bcreid::weights::{Features, NetworkFile, Provenance, TensorOut, read_tensors, write_tensors};
use prost::Message;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

fn resume(out: &Path) -> Command {
    let mut command = bcreid();
    command.arg("train").arg("--data").arg(data()).arg("--out").arg(out).arg("--resume");
    command
}

fn doctor(weights: &Path) -> String {
    succeed(bcreid().arg("doctor").arg("--weights").arg(weights))
}

fn report(runs: &[&Path], out: &Path) -> String {
    succeed(bcreid().arg("report").args(runs).arg("--force").arg("--out").arg(out));
    fs::read_to_string(out).unwrap()
}

fn provenance(run: &Path) -> RunProvenance {
    RunProvenance::read(&Layout::of(run)).unwrap().unwrap()
}

fn sha256(file: &Path) -> String {
    hex(&Sha256::digest(fs::read(file).unwrap()))
}

/// Writes a file of tensors anew with changed metadata.
fn with_metadata(file: &Path, change: impl FnOnce(&mut BTreeMap<String, String>)) {
    let bytes = {
        let old = read_tensors(file).unwrap();
        let tensors = old.names().map(|name| {
            let view = old.tensor(name).unwrap();
            TensorOut::f32(name, view.shape(), view.f32().unwrap().into_owned())
        });
        let tensors: Vec<_> = tensors.collect();
        let mut metadata = old.metadata().clone();
        change(&mut metadata);
        (tensors, metadata)
    };
    write_tensors(file, &bytes.0, &bytes.1).unwrap();
}

/// The text of a run's event file.
fn event_text(run: &Path) -> String {
    let files = fs::read_dir(run.join("tensorboard")).unwrap().map(|entry| entry.unwrap().path());
    let bytes = files.map(|file| fs::read(file).unwrap()).find(|bytes| !bytes.is_empty()).unwrap();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let event = Event::decode(&rest[12..12 + length]).unwrap();
        rest = &rest[12 + length + 4..];
        let Some(What::Summary(summary)) = event.what else { continue };
        for value in summary.value {
            let Some(Content::Tensor(text)) = value.content else { continue };
            let metadata = value.metadata.unwrap();
            assert_eq!(
                (metadata.plugin_data.unwrap().plugin_name.as_str(), metadata.data_class),
                ("text", 2)
            );
            assert_eq!((value.tag.as_str(), text.dtype, event.step), ("run/provenance", 7, 0));
            assert!(text.tensor_shape.is_some() && text.string_val.len() == 1);
            return String::from_utf8(text.string_val[0].clone()).unwrap();
        }
    }
    panic!("no text");
}

/// Two runs with equal settings, from nothing and from the weights of the first.
#[test]
fn runs_with_different_starts_are_not_the_same_and_every_file_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (random, again, tuned) = (at("random"), at("again"), at("tuned"));
    succeed(&mut train(data(), &random, &[]));
    succeed(&mut train(data(), &again, &[]));
    let weights = random.join("weights.safetensors");
    succeed(train(data(), &tuned, &[]).arg("--tensorboard").arg("--weights").arg(&random));

    // The run's own record.
    let own = provenance(&tuned);
    let Start::Weights(start) = &own.training.start else { panic!("{own:?}") };
    assert_eq!((start.file.as_str(), start.sha256.as_str()), ("weights.safetensors", &*sha256(&weights)));
    let set = own.training.data.as_ref().unwrap();
    assert_eq!((set.layout.as_str(), set.images, set.persons, set.cameras), ("market1501", 24, 6, Some(2)));
    assert!(own.began.is_some() && own.seconds.unwrap() > 0.0);
    let text = fs::read_to_string(tuned.join("provenance.json")).unwrap();
    let began = text.lines().find(|line| line.contains("\"began\"")).unwrap();
    assert!(began.ends_with("Z\",") && began.contains('T'), "RFC 3339: {began}");
    let first = provenance(&random).training;
    assert_eq!(first.start, Start::Random);
    assert_eq!(start.provenance, Provenance::Trained(first.clone().into()));

    // Weights and checkpoints hold the same, without a date: equal runs stay equal to the byte.
    let trained = Provenance::Trained(own.training.clone().into());
    for file in ["weights.safetensors", "checkpoints/step_0000000012.safetensors"] {
        let file = read_tensors(&tuned.join(file)).unwrap();
        assert_eq!(Provenance::of(&file), trained);
        assert!(!file.metadata()["provenance"].contains("began"));
    }
    assert_eq!(sha256(&weights), sha256(&again.join("weights.safetensors")));

    // Words for people.
    let said = doctor(&tuned);
    for words in [
        "  trained on: set (layout market1501): 24 images of 6 persons under 2 cameras\n",
        "  started from: weights.safetensors\n",
        &format!("    its SHA-256: {}\n", sha256(&weights)),
        "    started from: random weights\n",
        "  began: 20",
        "  time of training: ",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    let written = event_text(&tuned);
    assert!(written.contains("\n    started from: weights.safetensors\n"), "{written}");
    succeed(bcreid().arg("tensorboard").arg(&tuned));
    assert_eq!(event_text(&tuned), written);

    // Features and ONNX.
    let (features, onnx) = (at("q.safetensors"), at("tuned.onnx"));
    let mut extract = bcreid();
    extract.arg("extract").arg("--weights").arg(&tuned).arg("--out").arg(&features);
    succeed(extract.arg("--images").arg(data().join("query")));
    let named = Features::read(&features).unwrap().weights().unwrap().clone();
    let result = tuned.join("weights.safetensors");
    assert_eq!((named.sha256.as_str(), &named.provenance), (&*sha256(&result), &trained));
    succeed(bcreid().arg("export").arg("--weights").arg(&tuned).arg("--out").arg(&onnx));
    let model = ModelProto::decode(&*fs::read(&onnx).unwrap()).unwrap();
    let fact = |key: &str| model.metadata_props.iter().find(|fact| fact.key == key).unwrap().value.clone();
    assert_eq!(fact("weights_sha256"), sha256(&result));
    assert_eq!(Training::from_json(&fact("provenance")).unwrap(), own.training);
    assert!(model.doc_string.contains("started from: weights.safetensors"), "{}", model.doc_string);

    // The comparison.
    let page = report(&[&random, &again], &at("same.html"));
    assert!(page.contains("The runs have the same settings, initial weights and training images."));
    assert!(
        page.contains("random weights") && page.contains("24 images of 6 persons under 2 cameras, list ")
    );
    let page = report(&[&random, &tuned], &at("other.html"));
    assert!(!page.contains("have the same settings") && page.contains("Where the runs differ"));
    assert!(page.contains("<code>Started from</code>") && !page.contains("<code>Trained on</code>"));

    // The same settings and start on other images.
    let copy = crate::support::own_data(folder.path());
    let image = fs::read_dir(copy.join("bounding_box_train")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(image).unwrap();
    succeed(&mut train(&copy, &at("fewer"), &[]));
    let page = report(&[&random, &at("fewer")], &at("data.html"));
    assert!(page.contains("<code>Trained on</code>") && !page.contains("<code>Started from</code>"));
}

#[test]
fn a_resumed_run_keeps_its_beginning_and_adds_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let long = ["solver.iterations=150", "solver.lr_milestones=[60]", "run.checkpoint_every=7"];
    interrupt(train(data(), &out, &long), &out, 5, "-INT");
    assert!(!out.join("weights.safetensors").exists(), "the signal came too late");
    let mut before = provenance(&out);
    before.seconds = Some(1000.0);
    before.write(&Layout::of(&out)).unwrap();
    succeed(&mut resume(&out));
    let after = provenance(&out);
    assert_eq!((&after.training, after.began), (&before.training, before.began));
    assert!(after.seconds.unwrap() > 1000.0, "{after:?}");
}

/// Runs of earlier versions have neither the file nor the entry in their checkpoints and weights.
#[test]
fn runs_of_earlier_versions_are_resumed_and_shown_as_not_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let old = |name: &str| {
        let out = folder.path().join(name);
        succeed(&mut train(data(), &out, &[]));
        fs::remove_file(out.join("provenance.json")).unwrap();
        for file in ["weights.safetensors", "checkpoints/step_0000000012.safetensors"] {
            with_metadata(&out.join(file), |metadata| drop(metadata.remove("provenance").unwrap()));
        }
        out
    };
    let (one, other) = (old("one"), old("other"));
    let shown = doctor(&one);
    assert!(shown.contains("  provenance: not recorded\n") && shown.contains("  began: not recorded\n"));
    let page = report(&[&one, &other], &folder.path().join("a.html"));
    assert!(page.contains("The runs have the same settings. Whether they started from the same weights"));
    assert!(page.contains(">not recorded<"));
    let features = folder.path().join("q.safetensors");
    let mut extract = bcreid();
    extract.arg("extract").arg("--weights").arg(&one).arg("--images").arg(data().join("query"));
    succeed(extract.arg("--out").arg(&features));
    with_metadata_of_features(&features);
    assert_eq!(Features::read(&features).unwrap().weights(), None);
    // The images are compared with the checkpoint's, so they are recorded now; the start stays unknown.
    succeed(&mut resume(&one));
    let run = provenance(&one);
    assert_eq!((run.training.start, run.began, run.seconds), (Start::NotRecorded, None, None));
    assert_eq!(run.training.data.unwrap().images, 24);
    let said = doctor(&one);
    assert!(said.contains("started from: not recorded") && said.contains("24 images of 6 persons"), "{said}");
}

/// Removes the weight file from the metadata of features.
fn with_metadata_of_features(file: &Path) {
    let features = Features::read(file).unwrap().with_weights(None);
    features.write(file).unwrap();
    assert!(!read_tensors(file).unwrap().metadata().contains_key("weights"));
}

/// Claims of a stranger's files are shown within bounds and escaped, and harm nothing.
#[test]
fn strange_claims_are_harmless() {
    const NAME: &str = "<img src=x onerror=alert(1)>\\n![a](http://x.example/b)\\u001b[2Jbcreid: all is well";
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let run = at("run");
    succeed(&mut train(data(), &run, &[]));
    let weights = at("w.safetensors");
    let claim = |json: String| {
        fs::copy(run.join("weights.safetensors"), &weights).unwrap();
        with_metadata(&weights, |metadata| drop(metadata.insert("provenance".into(), json)));
    };
    let start = |name: &str| format!(r#"{{"start":{{"weights":{{"file":"{name}"}}}},"version":"{name}"}}"#);
    let harmless = |said: &str| {
        assert!(
            !said.contains('\u{1b}') && !said.lines().any(|line| line.starts_with("bcreid: all is well"))
        );
        assert!(said.lines().all(|line| line.len() < 1000), "{said}");
    };
    claim(start(NAME));
    let said = doctor(&weights);
    harmless(&said);
    assert!(said.contains("started from: <img src=x onerror=alert(1)>\\n![a]"), "{said}");
    for json in [start(&NAME.repeat(2000)), "x".repeat(300_000), "[".repeat(200_000), "{\"data\":7}".into()] {
        claim(json);
        harmless(&doctor(&weights));
        assert!(NetworkFile::open(&weights).unwrap().describe().contains("provenance: cannot be read"));
    }
    // It is still a good start; the new run's record is short.
    let tuned = at("tuned");
    let mut train = train(data(), &tuned, &[]);
    succeed(train.arg("--weights").arg(&weights));
    assert!(fs::metadata(tuned.join("provenance.json")).unwrap().len() < 10_000);

    fs::write(tuned.join("provenance.json"), start(NAME)).unwrap();
    let page = report(&[&run, &tuned], &at("page.html"));
    assert!(!page.contains("<img src=x") && page.contains("&lt;img src=x onerror=alert(1)"), "escaped");
    succeed(bcreid().arg("tensorboard").arg(&tuned));
    let text = event_text(&tuned);
    // A code block of Markdown: no line begins without four spaces.
    assert!(text.lines().all(|line| line.starts_with("    ")) && text.contains("![a]"), "{text}");
    for (text, words) in [("{", "damaged"), (&" ".repeat(2 << 20), "larger than 1 MiB")] {
        fs::write(tuned.join("provenance.json"), text).unwrap();
        let error = fail(bcreid().arg("report").arg(&tuned).arg("--out").arg(at("b.html")));
        assert!(error.contains("provenance.json: ") && error.contains(words), "{error}");
        assert!(fail(&mut resume(&tuned)).contains(words));
    }
}

//! An embedding behind pool5, from the settings to weights, features, maps and messages.

use crate::support::{bcreid, data, fail, stderr, succeed, train};
use bcreid::weights::{Features, read_tensors};
use std::path::Path;

/// TriNet's head and loss, in small.
const TRINET: &[&str] = &[
    "model.embedding=[24, 16]",
    "model.embedding_init=orthogonal",
    "data.sampler=pk",
    "loss.softmax.weight=0",
    "loss.batch_contrastive.weight=0",
    "loss.triplet.weight=1",
    "loss.triplet.soft=true",
    "loss.triplet.feature=embedding",
];

/// Names, shapes and bytes of all tensors of a run's weights.
fn tensors(run: &Path) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let file = read_tensors(&run.join("weights.safetensors")).unwrap();
    let own = |name: &str| {
        let view = file.get(name).unwrap();
        (name.to_string(), view.shape().to_vec(), view.bytes().to_vec())
    };
    file.names().map(own).collect()
}

/// Trained from weights without one, resumed bit for bit, part of the network of its weights.
#[test]
fn an_embedding_is_trained_and_belongs_to_the_features() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    succeed(&mut train(data(), &at("plain"), &[]));
    let from = |start: &str, out: &str, more: &[&str]| {
        let mut command = train(data(), &at(out), more);
        command.arg("--weights").arg(at(start));
        command
    };
    succeed(&mut from("plain", "whole", TRINET));
    succeed(&mut from("plain", "part", &[TRINET, &["solver.iterations=6"]].concat()));
    let mut resume = bcreid();
    resume.arg("train").arg("--data").arg(data()).arg("--out").arg(at("part"));
    succeed(resume.args(["--resume", "--iterations", "12"]));
    assert!(tensors(&at("part")) == tensors(&at("whole")), "a resumed run has the bits of a whole one");
    let shapes: Vec<(String, Vec<usize>)> =
        tensors(&at("whole")).into_iter().map(|(name, shape, _)| (name, shape)).collect();
    // Slim of width 8 has features of 256 values; the data set has 6 persons. The centers belong to pool5.
    for (name, shape) in [
        ("embedding.0.weight", &[24, 256][..]),
        ("embedding.1.running_var", &[24]),
        ("embedding.3.weight", &[16, 24]),
        ("embedding.3.bias", &[16]),
        ("fc.weight", &[6, 16]),
        ("centers", &[6, 256]),
    ] {
        assert!(shapes.contains(&(name.to_string(), shape.to_vec())), "{name} {shape:?}: {shapes:?}");
    }
    assert!(shapes.iter().all(|(name, _)| name != "embedding.0.bias"), "{shapes:?}");

    // Weights with an embedding bring it along; evaluation, features, maps and ONNX take the feature behind it.
    succeed(&mut from("whole", "further", &["loss.batch_contrastive.feature=embedding"]));
    assert!(tensors(&at("further")).iter().any(|(name, shape, _)| name == "centers" && *shape == [6, 16]));
    let mut extract = bcreid();
    extract.arg("extract").arg("--weights").arg(at("whole")).arg("--images").arg(data().join("query"));
    succeed(extract.arg("--out").arg(at("own.safetensors")));
    assert_eq!(Features::read(&at("own.safetensors")).unwrap().dim(), 16);
    succeed(bcreid().arg("eval").arg("--run").arg(at("whole")).arg("--data").arg(data()));
    let query = std::fs::read_dir(data().join("query")).unwrap().next().unwrap().unwrap().path();
    let mut maps = bcreid();
    maps.arg("activations").arg("--weights").arg(at("whole")).arg("--images").arg(query);
    succeed(maps.arg("--out").arg(at("maps")));
    let mut export = bcreid();
    export.arg("export").arg("--weights").arg(at("whole")).arg("--out").arg(at("network.onnx"));
    assert!(succeed(&mut export).contains("float32 [N, 16]"));
    let looked = succeed(bcreid().arg("doctor").arg("--weights").arg(at("whole")));
    assert!(looked.contains("embedding 24-16"), "{looked}");

    // Another embedding, or none, is refused, and the message says what to do.
    let refused = |setting: &str, words: &[&str]| {
        let error = fail(&mut from("whole", "refused", &[setting]));
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert!(!at("refused").exists());
    };
    refused("model.embedding=[]", &["embedding.*", "remove model.embedding from the settings"]);
    refused("model.embedding=[24, 8]", &["model.embedding is [24, 16] in the file", "[24, 8]"]);
    refused("model.embedding_relu=true", &["model.embedding_relu is false in the file"]);
}

#[test]
fn wrong_embeddings_are_refused_and_idle_settings_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let refused = |settings: &[&str], words: &[&str]| {
        let error = fail(&mut train(data(), &at("refused"), settings));
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert!(!at("refused").exists());
    };
    refused(&["model.embedding=[16, 0]"], &["model.embedding must be at most four widths of 1 to 8192"]);
    refused(&["model.embedding=[1, 1, 1, 1, 1]"], &["at most four"]);
    refused(&["model.embedding=512"], &["model.embedding is a list of whole numbers"]);
    refused(&["model.embedding_init=0"], &["model.embedding_init must be"]);
    refused(&["model.embedding_init=xavier"], &["model.embedding_init", "another word"]);
    for loss in ["triplet", "circle", "contrastive", "batch_contrastive"] {
        let settings = [&format!("loss.{loss}.weight=1")[..], &format!("loss.{loss}.feature=embedding")];
        refused(&settings, &[&format!("loss.{loss}.feature is the embedding's"), "set model.embedding"]);
    }
    refused(&["model.embedding_dim=512"], &["model.embedding"]);
    let output = train(data(), &at("idle"), &["model.embedding_batchnorm=true"]).output().unwrap();
    let note = "model.embedding_batchnorm = true has no effect with model.embedding = []";
    assert!(output.status.success() && stderr(&output).contains(note), "{}", stderr(&output));
}

//! Generalised-mean pooling and IBN-a, from the settings to weights, features, maps and messages.

use crate::support::{bcreid, data, fail, succeed, train};
use bcreid::config::Config;
use bcreid::weights::{Features, read_tensors};
use std::path::Path;
use std::process::Command;

/// The values of a tensor of a run's weights.
fn tensor(run: &Path, name: &str) -> Option<Vec<f32>> {
    let file = read_tensors(&run.join("weights.safetensors")).unwrap();
    file.get(name).map(|view| view.f32().unwrap().into_owned())
}

/// Trains 12 steps, and 6 steps that are resumed: the weights are the same, bit for bit.
fn trained_and_resumed(folder: &Path, name: &str, settings: &[&str], start: Option<&Path>) {
    let at = |name: &str| folder.join(name);
    let from = |out: &Path, settings: &[&str]| {
        let mut command = train(data(), out, settings);
        command.args(start.iter().flat_map(|start| ["--weights".as_ref(), start.as_os_str()]));
        command
    };
    succeed(&mut from(&at(name), settings));
    let part = at(&format!("{name}_part"));
    succeed(&mut from(&part, &[settings, &["solver.iterations=6"]].concat()));
    let mut resume = bcreid();
    resume.arg("train").arg("--data").arg(data()).arg("--out").arg(&part);
    succeed(resume.args(["--resume", "--iterations", "12"]));
    let [whole, part] = [at(name), part].map(|run| read_tensors(&run.join("weights.safetensors")).unwrap());
    assert!(whole.names().eq(part.names()));
    for name in whole.names() {
        assert!(whole.get(name).unwrap().bytes() == part.get(name).unwrap().bytes(), "{name}");
    }
}

/// Features, an evaluation, activation maps and an ONNX file of a run.
fn used(folder: &Path, run: &Path) -> Features {
    let mut extract = bcreid();
    extract.arg("extract").arg("--weights").arg(run).arg("--images").arg(data().join("query"));
    succeed(extract.arg("--out").arg(folder.join("f.safetensors")).arg("--force"));
    succeed(bcreid().arg("eval").arg("--run").arg(run).arg("--data").arg(data()));
    let mut images = std::fs::read_dir(data().join("query")).unwrap().map(|entry| entry.unwrap().path());
    let (first, second) = (images.next().unwrap(), images.next().unwrap());
    let mut maps = bcreid();
    maps.arg("activations").arg("--weights").arg(run).arg("--pair").arg(first).arg(second);
    succeed(maps.arg("--out").arg(folder.join("maps")).arg("--force"));
    let mut export = bcreid();
    export.arg("export").arg("--weights").arg(run).arg("--out").arg(folder.join("n.onnx"));
    succeed(export.arg("--force"));
    Features::read(&folder.join("f.safetensors")).unwrap()
}

fn refused(mut command: Command, words: &[&str]) {
    let error = fail(&mut command);
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

#[test]
fn the_exponent_of_a_generalised_mean_is_learnt_and_belongs_to_the_features() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    succeed(&mut train(data(), &at("plain"), &[]));
    trained_and_resumed(folder.path(), "gem", &["model.pooling=gem"], Some(&at("plain")));
    let p = tensor(&at("gem"), "pool.p").unwrap();
    assert!(p.len() == 1 && p[0] != 3.0 && (p[0] - 3.0).abs() < 1.0, "{p:?}");
    assert_eq!(tensor(&at("plain"), "pool.p"), None);
    assert_eq!(used(folder.path(), &at("gem")).dim(), 256);
    let looked = succeed(bcreid().arg("doctor").arg("--weights").arg(at("gem")));
    assert!(looked.contains("GeM pooling"), "{looked}");
    // The weights bring it along, and a network that pools by the mean cannot take them.
    let from = |settings: &[&str]| {
        let mut command = train(data(), &at("further"), settings);
        command.arg("--weights").arg(at("gem"));
        command
    };
    refused(
        from(&["model.pooling=average"]),
        &["model.pooling is \"gem\" in the file", "remove model.pooling"],
    );
    succeed(&mut from(&[]));
    assert!(tensor(&at("further"), "pool.p").is_some());
    refused(train(data(), &at("wrong"), &["model.pooling=max"]), &["model.pooling", "average, gem"]);
}

#[test]
fn ibn_a_is_trained_and_cannot_start_from_plain_weights() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    succeed(&mut train(data(), &at("plain"), &["solver.iterations=1"]));
    let ibn = &["model.ibn=true"];
    trained_and_resumed(folder.path(), "ibn", ibn, None);
    for stage in 1..=3 {
        let [scale, mean] = ["IN.weight", "BN.running_mean"]
            .map(|name| tensor(&at("ibn"), &format!("layer{stage}.0.bn1.{name}")).unwrap());
        assert_eq!((scale.len(), mean.len()), (4 << (stage - 1), 4 << (stage - 1)));
        assert!(scale.iter().any(|v| *v != 1.0) && mean.iter().any(|v| *v != 0.0));
    }
    assert!(tensor(&at("ibn"), "layer4.0.bn1.weight").is_some());
    assert_eq!(used(folder.path(), &at("ibn")).dim(), 256);
    let looked = succeed(bcreid().arg("doctor").arg("--weights").arg(at("ibn")));
    assert!(looked.contains("IBN-a"), "{looked}");
    let from = |start: &str, settings: &[&str]| {
        let mut command = train(data(), &at("refused"), settings);
        command.arg("--weights").arg(at(start));
        command
    };
    refused(from("plain", ibn), &["model.ibn is false in the file and true"]);
    refused(from("ibn", &["model.ibn=false"]), &["model.ibn is true in the file and false"]);
    refused(train(data(), &at("refused"), &["model.ibn=true", "model.width=1"]), &["model.width must be 2"]);
    assert!(!at("refused").exists());
}

/// Weight files state a layer only where a network has it, so that older files keep their fingerprints.
#[test]
fn a_layer_is_stated_only_by_networks_that_have_it() {
    let network = |settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(|s| s.to_string()).collect();
        let config = Config::resolve_text("", &settings).unwrap();
        (config.network_toml(), config)
    };
    let (plain, _) = network(&["model.embedding_relu=true"]);
    for key in ["ibn", "pooling", "embedding", "neck"] {
        assert!(!plain.contains(key), "{key}: {plain}");
    }
    let all =
        ["model.ibn=true", "model.pooling=gem", "model.embedding=[8, 4]", "model.embedding_init=orthogonal"];
    let (text, config) = network(&all);
    let back = Config::from_toml(&text).unwrap();
    assert_eq!((back.model.ibn, back.model.pooling), (true, config.model.pooling));
    assert_eq!(back.model.embedding, [8, 4]);
    // How an embedding starts is no part of a trained network.
    assert!(text.contains("embedding_bias = true") && !text.contains("embedding_init"), "{text}");
}

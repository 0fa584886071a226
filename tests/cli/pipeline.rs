//! The pipeline of train, extract, eval and query: each command reads the previous command's result.

use crate::support::{TINY, bcreid, data, succeed, train};
use bcreid::weights::Features;

#[test]
fn train_extract_eval_query() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    succeed(&mut train(data(), &at("run"), &[]));
    for file in
        ["config.toml", "metrics.jsonl", "weights.safetensors", "checkpoints/step_0000000012.safetensors"]
    {
        assert!(at("run").join(file).is_file(), "{file} is missing");
    }

    for (part, out) in [("query", "q.safetensors"), ("bounding_box_test", "g.safetensors")] {
        let mut extract = bcreid();
        extract.arg("extract").arg("--weights").arg(at("run"));
        succeed(extract.arg("--images").arg(data().join(part)).arg("--out").arg(at(out)));
    }
    let query = Features::read(&at("q.safetensors")).unwrap();
    assert_eq!(query.len(), 8, "one query for each of 4 persons and 2 cameras");
    for row in 0..query.len() {
        let length: f64 = query.row(row).iter().map(|v| f64::from(*v).powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-5, "row {row} has squared length {length}");
    }

    // The run evaluated on the data and its extracted features evaluated by themselves agree.
    let mut eval = bcreid();
    eval.arg("eval").arg("--run").arg(at("run")).arg("--data").arg(data()).arg("--json").arg(at("a.json"));
    let table = succeed(&mut eval);
    assert!(table.contains("mAP"), "{table}");
    let mut eval = bcreid();
    eval.arg("eval").arg("--query").arg(at("q.safetensors")).arg("--gallery").arg(at("g.safetensors"));
    succeed(eval.arg("--json").arg(at("b.json")));
    let json = |name: &str| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(at(name)).unwrap()).unwrap()
    };
    assert_eq!(json("a.json"), json("b.json"));
    for key in [
        "rank1",
        "rank5",
        "rank10",
        "rank20",
        "map_market",
        "map_sum",
        "minp",
        "queries",
        "valid_queries",
        "cmc",
    ] {
        assert!(json("a.json").get(key).is_some(), "{key} is missing in the JSON");
    }

    // An image of the gallery finds itself first.
    let gallery = Features::read(&at("g.safetensors")).unwrap();
    let image = &gallery.paths()[3];
    let mut look = bcreid();
    look.arg("query").arg("--run").arg(at("run")).args(["--image", image, "--top", "3"]);
    let ranked = succeed(look.arg("--gallery").arg(at("g.safetensors")));
    let first = ranked.lines().find(|l| l.trim_start().starts_with("1 ")).unwrap();
    assert!(first.contains(image.as_str()) && first.contains("0.0000"), "{ranked}");
}

#[test]
fn weights_start_another_run_and_bring_their_network_along() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    succeed(&mut train(data(), &first, &["model.wiring=caffe", "input.channels=bgr", "input.scale=1"]));
    let weights = first.join("weights.safetensors");
    let mut command = bcreid();
    command.arg("train").arg("--data").arg(data()).arg("--out").arg(&second).arg("--weights").arg(&weights);
    for setting in TINY.iter().chain(&["run.seed=5"]).filter(|setting| !setting.starts_with("model.arch")) {
        command.args(["--set", setting]);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("Caffe's wiring") && said.contains("input: BGR, (pixel x 1 -"), "{said}");
    let settings = std::fs::read_to_string(second.join("config.toml")).unwrap();
    for setting in ["arch = \"slim\"", "wiring = \"caffe\"", "channels = \"bgr\"", "scale = 1.0"] {
        assert!(settings.contains(setting), "{settings}");
    }
    let looked = succeed(bcreid().arg("doctor").arg("--weights").arg(&weights));
    for word in ["cpu: 1 thread,", "cuDNN: ", "slim of width 8, 1-1-1-1 blocks, Caffe's wiring", "BGR"] {
        assert!(looked.contains(word), "{looked}");
    }
}

#[test]
fn the_settings_are_listed_as_toml_that_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.toml");
    let printed = succeed(bcreid().args(["config", "--set", "loss.batch_contrastive.tau=0.7"]));
    std::fs::write(&file, &printed).unwrap();
    assert!(printed.contains("tau = 0.7"), "{printed}");
    assert_eq!(succeed(bcreid().arg("config").arg("--config").arg(&file)), printed);
}

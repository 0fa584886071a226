//! Parameter groups from the command line: factors, frozen layers, and the moving average of the weights.

use crate::support::{
    assert_same, bcreid, data, fail, interrupt, resume, stderr, stop_after, succeed, train,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The tensors of a file, by name.
fn tensors(file: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = bcreid::weights::read_tensors(file).unwrap();
    read.names().map(|name| (name.to_string(), read.get(name).unwrap().bytes().to_vec())).collect()
}

fn checkpoint(run: &Path, step: u64) -> BTreeMap<String, Vec<u8>> {
    tensors(&run.join(format!("checkpoints/step_{step:010}.safetensors")))
}

/// The names whose tensors differ.
fn changed(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    before.iter().filter(|(name, values)| after[*name] != **values).map(|(name, _)| name.clone()).collect()
}

/// Weights, states and running statistics of frozen layers keep their bits, then all move; a run that is killed before,
/// at or behind the boundary has the bits of one run.
#[cfg(unix)]
#[test]
fn frozen_layers_stay_until_their_iteration() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (kind, state) in [("sgd", "momentum"), ("adam", "exp_avg"), ("amsgrad", "max_exp_avg_sq")] {
        let optimizer = format!("solver.optimizer={kind}");
        let settings = [
            &optimizer,
            "model.embedding=[8]",
            "model.embedding_batchnorm=true",
            "model.neck=batchnorm",
            r#"solver.freeze=["conv1.*", "bn1.*", "layer*", "!layer4.*", "embedding.*", "bottleneck.*"]"#,
            "solver.freeze_iterations=6",
            "solver.lr=1e-3",
            "solver.iterations=12",
            "run.checkpoints_kept=9",
        ];
        let calm = at(kind);
        succeed(&mut train(data(), &calm, &settings));
        let [start, frozen, end] = [0, 6, 12].map(|step| checkpoint(&calm, step));
        let is_frozen = |name: &str| {
            let name = name.split_once('/').map_or(name, |(_, name)| name);
            let parts = ["conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "embedding.", "bottleneck."];
            parts.iter().any(|part| name.starts_with(part))
        };
        let moved = changed(&start, &frozen);
        assert!(moved.iter().all(|name| !is_frozen(name)), "{kind}: {moved:?}");
        for name in ["layer4.0.bn1.running_mean", "fc.weight", &format!("{state}/fc.weight")] {
            assert!(moved.iter().any(|moved| moved == name), "{kind}: {name} did not move");
        }
        let moved = changed(&frozen, &end);
        for name in [
            "conv1.weight",
            "bn1.running_var",
            "layer1.0.bn2.bias",
            "embedding.1.running_mean",
            "bottleneck.running_var",
            &format!("{state}/conv1.weight"),
        ] {
            assert!(moved.iter().any(|moved| moved == name), "{kind}: {name} did not move");
        }
        let stopped = at(&format!("{kind}-stopped"));
        // The checkpoints before, at and behind the boundary.
        for newest in [3, 6, 9] {
            stop_after(&calm, newest, &stopped);
            succeed(&mut resume(&stopped));
            assert_same(&calm, &stopped);
        }
    }
}

/// The first step of Adam behind the boundary is as large as a first step is: the rate, for each element.
#[test]
fn adam_counts_from_the_first_update() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let settings = [
        "solver.optimizer=adam",
        "solver.weight_decay=0",
        "solver.lr=1e-3",
        "solver.lr_milestones=[]",
        r#"solver.freeze=["conv1.weight"]"#,
        "solver.freeze_iterations=6",
        "run.checkpoint_every=1",
        "run.checkpoints_kept=99",
    ];
    succeed(&mut train(data(), &out, &settings));
    let values = |step: u64| -> Vec<f32> {
        let bytes = &checkpoint(&out, step)["conv1.weight"];
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    let steps: Vec<f32> = values(6).iter().zip(values(7)).map(|(a, b)| (a - b).abs()).collect();
    let largest = steps.iter().copied().fold(0.0, f32::max);
    assert!((largest / 1e-3 - 1.0).abs() < 1e-2, "{largest}");
}

#[test]
fn factors_change_their_parameters_alone_and_wrong_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let one = ["solver.iterations=1", "solver.lr_milestones=[]"];
    succeed(&mut train(data(), &at("plain"), &one));
    let factors = [
        r#"solver.lr_factors={ "layer1.*" = 0, "fc.*" = 3 }"#,
        r#"solver.decay_factors={ "conv1.weight" = 0 }"#,
    ];
    succeed(&mut train(data(), &at("factors"), &[&one[..], &factors].concat()));
    let (start, plain, factored) =
        (checkpoint(&at("plain"), 0), checkpoint(&at("plain"), 1), checkpoint(&at("factors"), 1));
    let moved = changed(&plain, &factored);
    let is_meant = |name: &String| {
        let bare = name.split_once('/').map_or(&name[..], |(_, bare)| bare);
        (bare.starts_with("layer1.") && !bare.contains("running_"))
            || bare == "conv1.weight"
            || (bare.starts_with("fc.") && bare == name)
    };
    assert!(moved.iter().all(is_meant), "{moved:?}");
    assert!(moved.contains(&"layer1.0.conv1.weight".into()) && moved.contains(&"conv1.weight".into()));
    assert_eq!(factored["layer1.0.conv1.weight"], start["layer1.0.conv1.weight"]);
    let of = |file: &BTreeMap<String, Vec<u8>>| {
        let bytes = &file["fc.weight"][..4];
        f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    };
    let ratio = (of(&factored) - of(&start)) / (of(&plain) - of(&start));
    assert!((ratio - 3.0).abs() < 1e-2, "{ratio}");
    // The settings come back from the run's file and from checkpoints.
    succeed(resume(&at("factors")).args(["--iterations", "2"]));

    for (setting, words) in [
        (r#"solver.lr_factors={ "layer5.*" = 1 }"#, "\"layer5.*\" matches no parameter of the network"),
        (r#"solver.lr_factors={ "fc.*" = -1 }"#, "must be finite factors of at least 0"),
        (r#"solver.lr_factors={ "fc.*" = "x" }"#, "solver.lr_factors is a table of names and factors"),
        ("solver.freeze=[1]", "solver.freeze is a list of texts, such as [\"layer1.*\", \"layer2.*\"]"),
        (r#"solver.freeze=["*"]"#, "leave no parameter to be trained"),
        ("solver.ema=1", "solver.ema must be at least 0 and below 1"),
    ] {
        let error = fail(&mut train(data(), &at("refused"), &[setting]));
        assert!(error.contains(words) && !error.contains('\n'), "{setting}: {error}");
        assert!(!at("refused").exists());
    }
    let output = train(data(), &at("idle"), &["solver.freeze_iterations=3"]).output().unwrap();
    assert!(stderr(&output).contains("solver.freeze_iterations = 3 has no effect"), "{}", stderr(&output));
}

/// The average is the result and is evaluated; the weights themselves train as without it.
#[cfg(unix)]
#[test]
fn the_average_is_the_result_and_resumes_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let common = ["solver.iterations=60", "run.checkpoint_every=7", "run.eval_every=20", "run.eval_on=test"];
    let averaged = [&common[..], &["solver.ema=0.9"]].concat();
    succeed(&mut train(data(), &at("plain"), &common));
    succeed(&mut train(data(), &at("calm"), &averaged));
    let metrics = |run: &str| fs::read(at(run).join("metrics.jsonl")).unwrap();
    assert!(metrics("plain") == metrics("calm"), "the average changes no step");
    let (last, result) = (checkpoint(&at("calm"), 60), tensors(&at("calm").join("weights.safetensors")));
    let plain = tensors(&at("plain").join("weights.safetensors"));
    for (name, values) in &result {
        assert!(last[name] == plain[name], "{name}: the weights train as without the average");
        // Running statistics and centers are those of the last step.
        match last.get(&format!("ema/{name}")) {
            Some(average) => assert!(values == average && *values != last[name], "{name}"),
            None => assert!(*values == last[name], "{name}"),
        }
    }
    let json = |file: &Path| -> serde_json::Value {
        let text = fs::read_to_string(file).unwrap();
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    };
    let weights = at("calm").join("weights.safetensors");
    let mut eval = bcreid();
    let eval =
        eval.args(["eval", "--json", "--run"]).arg(&weights).arg("--data").arg(data()).output().unwrap();
    let figures: serde_json::Value = serde_json::from_slice(&eval.stdout).unwrap();
    let validation = json(&at("calm").join("validation.jsonl"));
    assert_eq!((&validation["iterations"], &validation["map_sum"]), (&60.into(), &figures["map_sum"]));

    interrupt(train(data(), &at("killed"), &averaged), &at("killed"), 17, "-KILL");
    assert!(!at("killed").join("weights.safetensors").exists(), "the kill came too late");
    succeed(&mut resume(&at("killed")));
    assert_same(&at("calm"), &at("killed"));
    assert!(tensors(&at("killed").join("checkpoints/step_0000000060.safetensors")) == last);
}

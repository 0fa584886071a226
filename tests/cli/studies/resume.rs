//! Resuming a study that was interrupted, damaged or begun by an earlier version.

use super::{folders, made, study, weights};
use crate::support::{bcreid, data, fail, succeed};
use bcreid::weights::{Features, Origin};
use serde_json::Value;

/// An evaluation that is there is taken if it is the study's own, and made again if it is not.
#[test]
fn only_its_own_evaluations_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("study");
    let reproduce = || study(&["reproduce", "market1501", "--runs", "1"], &out);
    let whole = succeed(&mut reproduce());
    let kept = out.join("full/seed-0/evaluations/set");
    let (result, query) = (kept.join("result.json"), kept.join("query.safetensors"));
    let figures = std::fs::read_to_string(&result).unwrap();
    let changed = |key: &str, value: Value| {
        let mut json: Value = serde_json::from_str(&figures).unwrap();
        json[key] = value;
        std::fs::write(&result, json.to_string()).unwrap();
    };
    changed("rank1", 0.1234.into());
    assert!(succeed(&mut reproduce()).contains("12.34"), "it is only read");

    changed("protocol", serde_json::json!({"ignore_cameras": true}));
    assert_eq!(succeed(&mut reproduce()), whole);

    // Damage is repaired, or the error says how to repair it.
    std::fs::write(&result, "").unwrap();
    assert_eq!(succeed(&mut reproduce()), whole);
    let about = std::fs::read(out.join("study.json")).unwrap();
    std::fs::write(out.join("study.json"), "").unwrap();
    assert!(fail(&mut reproduce()).contains("study.json: the file is damaged"));
    std::fs::write(out.join("study.json"), about).unwrap();

    let features = Features::read(&query).unwrap();
    let foreign = Origin { network: Some("0".repeat(64)), ..features.origin().clone() };
    for other in [
        features.clone().with_origin(foreign),
        Features::new(
            features.features().to_vec(),
            features.dim(),
            features.pids().iter().map(|pid| pid + 1).collect(),
            features.camids().to_vec(),
            features.paths().to_vec(),
        )
        .unwrap()
        .with_origin(features.origin().clone()),
    ] {
        changed("rank1", 0.1234.into());
        other.write(&query).unwrap();
        assert_eq!(succeed(&mut reproduce()), whole);
    }

    // The same names in another folder may be other pictures.
    let mut json: Value = serde_json::from_str(&figures).unwrap();
    (json["rank1"], json["images"]) = (0.1234.into(), serde_json::json!(["/elsewhere/set"]));
    std::fs::write(&result, json.to_string()).unwrap();
    assert_eq!(succeed(&mut reproduce()), whole);

    // Whoever deletes checkpoints to save space keeps the result, but not for other settings.
    let run = out.join("full/seed-0");
    std::fs::remove_dir_all(run.join("checkpoints")).unwrap();
    assert_eq!(succeed(&mut reproduce()), whole);
    assert!(fail(reproduce().args(["--set", "loss.batch_contrastive.weight=7"])).contains("other settings"));
    std::fs::remove_file(run.join("config.toml")).unwrap();
    assert!(
        fail(reproduce().args(["--set", "loss.batch_contrastive.weight=7"]))
            .contains("weights.safetensors: what is there has other")
    );
    std::fs::copy(out.join("baseline/seed-0/weights.safetensors"), run.join("weights.safetensors")).unwrap();
    assert!(fail(&mut reproduce()).contains("weights.safetensors: what is there has other"));
}

/// A run that was stopped in the middle is continued, not begun again.
#[test]
fn a_stopped_comparison_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("study");
    let reproduce = || study(&["reproduce", "dukemtmc", "--runs", "1"], &out);
    let whole = succeed(&mut reproduce());
    let run = out.join("full/seed-0");
    for file in
        ["weights.safetensors", "evaluations/set/result.json", "checkpoints/step_0000000012.safetensors"]
    {
        std::fs::remove_file(run.join(file)).unwrap();
    }
    // Somebody looks at it meanwhile: figures of a checkpoint are not the result's.
    succeed(bcreid().args(["eval", "--run"]).arg(&run).arg("--data").arg(data()));
    assert_eq!(succeed(&mut reproduce()), whole);
}

/// A study that earlier versions began, which know neither named starts nor reductions, goes on.
#[test]
fn a_study_of_the_old_form_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("study");
    let start = weights(folder.path(), 1);
    let reproduce = |more: &[&str]| {
        let mut command = study(&["reproduce", "market1501", "--runs", "1"], &out);
        command.arg("--weights").arg(&start).args(more);
        command
    };
    let whole = succeed(&mut reproduce(&[]));
    let about = || -> Value {
        serde_json::from_str(&std::fs::read_to_string(out.join("study.json")).unwrap()).unwrap()
    };
    let mut older = about();
    older.as_object_mut().unwrap().retain(|key, _| ["images", "weights"].contains(&key.as_str()));
    std::fs::write(out.join("study.json"), older.to_string()).unwrap();
    assert_eq!(folders(&out), ["baseline", "full"]);
    // Their settings had no reduction; the loss was a sum.
    let before = made(&out, "baseline/seed-0");
    let config = out.join("baseline/seed-0/config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let older: String =
        text.lines().filter(|line| !line.starts_with("reduction")).map(|l| format!("{l}\n")).collect();
    assert_ne!(older, text);
    std::fs::write(&config, older).unwrap();
    assert_eq!(succeed(&mut reproduce(&[])), whole);
    assert_eq!(about()["counts"][0], 24, "it gets what it lacked");
    // With reductions beside it the baseline is the one that is there.
    succeed(&mut reproduce(&["--reduction", "sum,mean"]));
    succeed(&mut reproduce(&["--reduction", "mean", "--set", "loss.batch_contrastive.reduction=mean"]));
    assert_eq!(before, made(&out, "baseline/seed-0"));
    assert_eq!(folders(&out), ["baseline", "full", "full+reduction-mean"]);
}

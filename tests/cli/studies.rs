//! `bcreid reproduce` and `bcreid sweep` as a person runs them, on a set that takes seconds.

use crate::support::{TINY, bcreid, data, fail, stderr, succeed};
use bcreid::weights::{Features, Origin};
use std::path::Path;
use std::process::Command;

fn study(what: &[&str], out: &Path) -> Command {
    let mut command = bcreid();
    command.args(what).arg("--data").arg(data()).arg("--out").arg(out);
    TINY.iter().for_each(|setting| {
        command.args(["--set", setting]);
    });
    command
}

#[test]
fn the_paper_s_comparison_on_another_set() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("study");
    let reproduce = |runs: &str| study(&["reproduce", "market1501", "--runs", runs], &out);
    let first = reproduce("1").output().unwrap();
    assert!(first.status.success(), "{}", stderr(&first));
    assert!(stderr(&first).contains("not Market-1501"), "{}", stderr(&first));
    let text = String::from_utf8(first.stdout).unwrap();
    assert!(text.contains("baseline, here") && text.contains("one run each"), "{text}");
    assert!(!text.contains("quoted") && !text.contains("SpindleNet"), "{text}");

    // More runs are added to those that are there, which are not made again.
    let weights = out.join("full/seed-0/weights.safetensors");
    let made = std::fs::metadata(&weights).unwrap().modified().unwrap();
    let text = succeed(&mut reproduce("2"));
    assert!(text.contains("±") && text.contains("standard error"), "{text}");
    assert_eq!(std::fs::metadata(&weights).unwrap().modified().unwrap(), made);
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(out.join("result.json")).unwrap()).unwrap();
    let reports = |recipe: usize| json["recipes"][recipe]["reports"].as_array().unwrap();
    assert_eq!((reports(0).len(), reports(1).len(), json["comparable"].as_bool()), (2, 2, Some(false)));
    let of = |run: usize| reports(1)[run]["map_market"].as_f64().unwrap();
    let mean = json["summaries"][1]["map_market"]["mean"].as_f64().unwrap();
    assert!((mean - (of(0) + of(1)) / 2.0).abs() < 1e-12);
    assert!(std::fs::read_to_string(out.join("table.md")).unwrap().starts_with('|'));

    // The baseline is the run with lambda 0 and the same seed.
    let config = |run: &str| std::fs::read_to_string(out.join(run).join("config.toml")).unwrap();
    let differing: Vec<String> = config("baseline/seed-1")
        .lines()
        .zip(config("full/seed-1").lines())
        .filter(|(a, b)| a != b)
        .map(|(a, _)| a.to_string())
        .collect();
    assert_eq!(differing, ["lambda = 0.0"]);

    let error = fail(reproduce("1").args(["--set", "solver.rate=0.5"]));
    assert!(error.contains("other settings"), "{error}");
    let weights = out.join("full/seed-0/weights.safetensors");
    let error = fail(reproduce("1").arg("--weights").arg(&weights));
    assert!(error.contains("other images or starts from other weights"), "{error}");
    assert!(fail(reproduce("1").args(["--set", "loss.lambda=0"])).contains("above 0"));
    assert!(fail(&mut reproduce("0")).contains("1 to 100"));
    let error = fail(reproduce("2").args(["--set", "run.seed=9223372036854775807"]));
    assert!(error.contains("run.seed=9223372036854775807"), "{error}");
    let lock = std::fs::File::create(out.join("lock")).unwrap();
    lock.lock().unwrap();
    assert!(fail(&mut reproduce("2")).contains("another process is at work"));
}

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
    let changed = |key: &str, value: serde_json::Value| {
        let mut json: serde_json::Value = serde_json::from_str(&figures).unwrap();
        json[key] = value;
        std::fs::write(&result, json.to_string()).unwrap();
    };
    changed("rank1", 0.1234.into());
    assert!(succeed(&mut reproduce()).contains("12.34"), "it is only read");

    changed("protocol", serde_json::json!({"ignore_cameras": true}));
    assert_eq!(succeed(&mut reproduce()), whole);

    // Damage is mended, or there is a word on how.
    std::fs::write(&result, "").unwrap();
    assert_eq!(succeed(&mut reproduce()), whole);
    let about = std::fs::read(out.join("study.json")).unwrap();
    std::fs::write(out.join("study.json"), "").unwrap();
    assert!(fail(&mut reproduce()).contains("study.json: damaged"));
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
    let mut json: serde_json::Value = serde_json::from_str(&figures).unwrap();
    (json["rank1"], json["images"]) = (0.1234.into(), serde_json::json!(["/elsewhere/set"]));
    std::fs::write(&result, json.to_string()).unwrap();
    assert_eq!(succeed(&mut reproduce()), whole);

    // Whoever deletes checkpoints to save space keeps the result, but not for other settings.
    let run = out.join("full/seed-0");
    std::fs::remove_dir_all(run.join("checkpoints")).unwrap();
    assert_eq!(succeed(&mut reproduce()), whole);
    assert!(fail(reproduce().args(["--set", "loss.lambda=7"])).contains("other settings"));
    std::fs::remove_file(run.join("config.toml")).unwrap();
    assert!(
        fail(reproduce().args(["--set", "loss.lambda=7"]))
            .contains("weights.safetensors: this run has other")
    );
    std::fs::copy(out.join("baseline/seed-0/weights.safetensors"), run.join("weights.safetensors")).unwrap();
    assert!(fail(&mut reproduce()).contains("weights.safetensors: this run has other"));
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

#[test]
fn a_sweep_holds_persons_out() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("sweep");
    let sweep = |more: &[&str]| {
        let mut command = study(&["sweep", "--validation", "4"], &out);
        command.args(more);
        command
    };
    let text = succeed(&mut sweep(&["--lambda", "0,1", "--center-rate", "tied,0.5"]));
    for row in
        ["loss.lambda", "loss.center_rate", "tied", "Images: 4 queries", "2 persons of the training part"]
    {
        assert!(text.contains(row), "{row}\n{text}");
    }
    let svg = std::fs::read_to_string(out.join("sweep.svg")).unwrap();
    assert!(svg.starts_with("<svg") && out.join("sweep.png").is_file());
    // Persons who ask were not trained on.
    let kept = out.join("lambda-1/seed-0/evaluations/validation");
    let query = bcreid::weights::Features::read(&kept.join("query.safetensors")).unwrap();
    let weights =
        bcreid::weights::NetworkFile::open(&out.join("lambda-1/seed-0/weights.safetensors")).unwrap();
    let classes: Vec<i64> = serde_json::from_str(&weights.tensors().metadata()["classes"]).unwrap();
    assert!(query.pids().iter().all(|pid| !classes.contains(pid)), "{:?} {classes:?}", query.pids());

    // The recipe that both have in common was run once.
    assert!(out.join("lambda-1").is_dir() && !out.join("center_rate-0.5").exists());
    assert!(text.contains("random weights") && text.contains("solver.iterations"), "{text}");
    assert!(fail(&mut sweep(&["--lambda", "1,1.0"])).contains("1 and 1.0 are the same"));

    assert!(fail(&mut sweep(&[])).contains("nothing to sweep"));
    assert!(fail(&mut sweep(&["--lambda", "x"])).contains("loss.lambda"));
    let error = fail(&mut study(&["sweep", "--validation", "99", "--lambda", "1"], &out));
    assert!(error.contains("smaller --validation"), "{error}");
}

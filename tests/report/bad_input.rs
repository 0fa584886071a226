//! Wrong input: a one-line error that names what is wrong and how to fix it, and no file.

use crate::support::{bcreid, evaluate_run, fail, train};
use std::path::{Path, PathBuf};

/// Both commands must fail with all of `words`, and leave no file.
#[track_caller]
fn refused(runs: &[PathBuf], words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    for (command, name) in [(&["plot", "curves"][..], "f.svg"), (&["report"][..], "r.html")] {
        let out = folder.path().join(name);
        let error = fail(bcreid().args(command).args(runs).args(["--device", "cpu", "--out"]).arg(&out));
        for word in words {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
        assert!(!out.exists());
    }
}

#[test]
fn folders_that_are_no_runs() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    refused(&[at("nowhere")], &["nowhere", "not a run folder"]);
    std::fs::create_dir(at("empty")).unwrap();
    refused(&[at("empty")], &["empty", "not a run folder"]);
    std::fs::write(at("file"), "x").unwrap();
    refused(&[at("file")], &["file"]);
    let run = train(&at("run"), 1.0, 5);
    refused(&[run.clone(), run.clone()], &["given twice"]);
    let many: Vec<PathBuf> = (0..9).map(|i| train(&at(&format!("run{i}")), 1.0, 2)).collect();
    refused(&many, &["9 runs", "at most 8"]);
    std::fs::write(run.join("config.toml"), "a = = b\n").unwrap();
    refused(std::slice::from_ref(&run), &["config.toml", "not TOML"]);
    std::fs::write(run.join("config.toml"), [0xff, 0xfe, 0x00]).unwrap();
    refused(&[run], &["config.toml"]);
}

#[test]
fn metrics_that_are_missing_empty_or_not_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let run = train(&folder.path().join("run"), 1.0, 5);
    let metrics = run.join("metrics.jsonl");
    std::fs::write(&metrics, "{\"step\":0}\nrubbish\n").unwrap();
    refused(std::slice::from_ref(&run), &["metrics.jsonl", "line 2"]);
    std::fs::write(&metrics, "").unwrap();
    refused(std::slice::from_ref(&run), &["metrics.jsonl", "no step in it yet"]);
    std::fs::remove_file(&metrics).unwrap();
    refused(std::slice::from_ref(&run), &["metrics.jsonl", "bcreid train"]);
    std::fs::create_dir(&metrics).unwrap();
    refused(&[run], &["metrics.jsonl"]);
}

#[test]
fn names_and_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let run = train(&folder.path().join("run"), 1.0, 5);
    let at = |name: &str| folder.path().join(name);
    let plot = |figure: &str, out: &Path| {
        fail(bcreid().args(["plot", figure]).arg(&run).args(["--device", "cpu", "--out"]).arg(out))
    };
    assert!(plot("curves", &at("f.pdf")).contains(".svg or .png"));
    assert!(plot("curves", &at("none/f.svg")).contains("folder does not exist"));
    for figure in ["cmc", "distances", "roc"] {
        let error = plot(figure, &at("f.svg"));
        assert!(error.contains("bcreid eval --run") && error.contains("--data DIR"), "{error}");
    }
    let report = |more: &[&str], out: &Path| {
        fail(bcreid().arg("report").arg(&run).args(["--device", "cpu"]).args(more).arg("--out").arg(out))
    };
    assert!(report(&[], &at("r.svg")).contains(".html"));
    assert!(report(&["--queries", "0"], &at("r.html")).contains("1 to 200"));
    assert!(report(&["--images", "/nowhere/at/all"], &at("r.html")).contains("not a folder"));
}

#[test]
fn evaluations_that_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let run = train(&folder.path().join("run"), 1.0, 5);
    evaluate_run(&run, "set", 0.5, &folder.path().join("images"));
    let kept = run.join("evaluations/set");
    let report = || {
        fail(
            bcreid()
                .arg("report")
                .arg(&run)
                .args(["--device", "cpu", "--out"])
                .arg(folder.path().join("r.html")),
        )
    };
    let whole = std::fs::read(kept.join("query.safetensors")).unwrap();
    std::fs::write(kept.join("query.safetensors"), &whole[..whole.len() / 2]).unwrap();
    assert!(report().contains("query.safetensors"));
    std::fs::write(kept.join("result.json"), "{}").unwrap();
    assert!(report().contains("result.json"));
}

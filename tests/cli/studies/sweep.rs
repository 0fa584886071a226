//! `bcreid sweep`: settings and starts, one at a time and as a grid, on held-out identities.

use super::{folders, result, study, weights};
use crate::support::{fail, succeed};
use serde_json::Value;

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
    for row in [
        "loss.batch_contrastive.weight",
        "loss.batch_contrastive.center_rate",
        "tied",
        "Images: 4 queries",
        "2 persons of the training part",
    ] {
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
    assert!(fail(&mut sweep(&["--lambda", "x"])).contains("loss.batch_contrastive.weight"));
    let error = fail(&mut study(&["sweep", "--validation", "99", "--lambda", "1"], &out));
    assert!(error.contains("smaller --validation"), "{error}");
}

/// All combinations, each with its own baseline; a plot where there are numbers, else a sentence.
#[test]
fn a_sweep_of_combinations() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("sweep");
    let sweep = |more: &[&str]| {
        let mut command = study(&["sweep", "--validation", "4", "--grid"], &out);
        command.args(more);
        command
    };
    let text =
        succeed(&mut sweep(&["--vary", "solver.batch=4,8", "--reduction", "sum,mean", "--lambda", "1,2"]));
    assert_eq!(
        folders(&out),
        [
            "lambda-0+solver.batch-4",
            "lambda-0+solver.batch-8",
            "lambda-1+reduction-mean+solver.batch-4",
            "lambda-1+reduction-mean+solver.batch-8",
            "lambda-1+reduction-sum+solver.batch-4",
            "lambda-1+reduction-sum+solver.batch-8",
            "lambda-2+reduction-mean+solver.batch-4",
            "lambda-2+reduction-mean+solver.batch-8",
            "lambda-2+reduction-sum+solver.batch-4",
            "lambda-2+reduction-sum+solver.batch-8"
        ]
    );
    for words in [
        "loss.batch_contrastive.reduction",
        "solver.batch",
        "mAP gain",
        "reduction as in the table",
        "plot: ",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    let svg = std::fs::read_to_string(out.join("sweep.svg")).unwrap();
    assert!(svg.contains(">reduction sum, solver.batch 4<"), "{svg}");
    let json = result(&out);
    assert_eq!(
        (json["points"].as_array().unwrap().len(), json["recipes"].as_array().unwrap().len()),
        (10, 10)
    );
    let of_batch = |point: &&Value| point["baseline"] == "lambda-0+solver.batch-4";
    assert_eq!(json["points"].as_array().unwrap().iter().filter(of_batch).count(), 4);

    // The plot of the earlier call does not stay where this one has none.
    let text = succeed(&mut sweep(&[
        "--gradient",
        "paper,exact",
        "--vary",
        "data.flip=true,false",
        "--baseline",
        "none",
    ]));
    assert!(text.contains("There is no plot") && !text.contains("\nplot: "), "{text}");
    assert!(!out.join("sweep.svg").exists() && !out.join("sweep.png").exists());
    assert!(out.join("gradient-exact+data.flip-false").is_dir());
    assert!(std::fs::read_to_string(out.join("table.md")).unwrap().contains("There is no plot"));
    assert!(fail(&mut sweep(&["--vary", "run.seed=1,2"])).contains("--runs"));
    assert!(
        fail(&mut sweep(&["--tau", "1", "--vary", "loss.batch_contrastive.tau=1"])).contains("varied twice")
    );
}

/// Starts are swept like settings: each with the other settings as they are, lambda from the first of them.
#[test]
fn a_sweep_over_starts() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("sweep");
    let start = weights(folder.path(), 1);
    let mut command = study(&["sweep", "--validation", "4", "--lambda", "2", "--runs", "2"], &out);
    command.args(["--start", &format!("random,mine={}", start.display())]);
    let text = succeed(&mut command);
    assert_eq!(
        folders(&out),
        [
            "lambda-0+start-mine",
            "lambda-0+start-random",
            "lambda-2+start-random",
            "start-mine",
            "start-random"
        ]
    );
    for words in
        ["0 (baseline)", "mine (baseline)", "as they are and start random", "Start mine: the weights "]
    {
        assert!(text.contains(words), "{words}\n{text}");
    }
    let svg = std::fs::read_to_string(out.join("sweep.svg")).unwrap();
    assert!(svg.contains(">mine<") && svg.contains(">random<"), "{svg}");
}

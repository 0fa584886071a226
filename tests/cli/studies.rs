//! `bcreid reproduce` and `bcreid sweep` as a person runs them, on a set that takes seconds.

use crate::support::{TINY, bcreid, data, fail, stderr, succeed, train};
use bcreid::weights::{Features, Origin};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn study(what: &[&str], out: &Path) -> Command {
    let mut command = bcreid();
    command.args(what).arg("--data").arg(data()).arg("--out").arg(out);
    TINY.iter().for_each(|setting| {
        command.args(["--set", setting]);
    });
    command
}

/// What a study found.
fn result(out: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(out.join("result.json")).unwrap()).unwrap()
}

/// The mean average precision of a study's recipe.
fn mean_of(result: &Value, recipe: usize) -> f64 {
    result["recipes"][recipe]["summary"]["map_market"]["mean"].as_f64().unwrap()
}

/// The names of the recipes' folders, sorted.
fn folders(out: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<String> = folders.map(|e| e.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Weights to start from: those of a short run with this seed.
fn weights(folder: &Path, seed: u64) -> PathBuf {
    let run = folder.join(format!("run-{seed}"));
    succeed(&mut train(
        data(),
        &run,
        &[&format!("run.seed={seed}"), "solver.iterations=2", "solver.rate_drops=[]"],
    ));
    run.join("weights.safetensors")
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
    let json = result(&out);
    let reports = |recipe: usize| json["recipes"][recipe]["reports"].as_array().unwrap();
    assert_eq!((reports(0).len(), reports(1).len(), json["comparable"].as_bool()), (2, 2, Some(false)));
    let of = |run: usize| reports(1)[run]["map_market"].as_f64().unwrap();
    let gain = &json["comparisons"][0]["gains"]["map_market"];
    let difference = mean_of(&json, 1) - mean_of(&json, 0);
    assert!((gain["mean"].as_f64().unwrap() - difference).abs() < 1e-12);
    assert!((mean_of(&json, 1) - (of(0) + of(1)) / 2.0).abs() < 1e-12);
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

/// Starts and reductions side by side: one table, a gain each, and each start's baseline once.
#[test]
fn starts_and_reductions_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("study");
    let [first, second] = [1, 2].map(|seed| weights(folder.path(), seed));
    let reproduce = |starts: &str, more: &[&str]| {
        let mut command = study(&["reproduce", "market1501", "--runs", "2"], &out);
        command.args(["--start", starts]).args(more);
        command
    };
    let both = format!("random,{}", first.display());
    let text = succeed(&mut reproduce(&both, &["--reduction", "mean,sum"]));
    for words in [
        "baseline, start random, here",
        "baseline, start run-1, here",
        "batch-contrastive, reduction mean, start random, here",
        "batch-contrastive, reduction sum, start run-1, here",
        "The batch-contrastive loss (reduction sum, start run-1) over the baseline: rank-1 ",
        "2 x 2 - 2 = 2 degrees of freedom",
        "Start random: random weights",
        "run-1/weights.safetensors (source not stated in it; licence not stated in it)",
        "reduction as in the table, tau ",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    assert_eq!(
        folders(&out),
        [
            "baseline+start-random",
            "baseline+start-run-1",
            "full+reduction-mean+start-random",
            "full+reduction-mean+start-run-1",
            "full+reduction-sum+start-random",
            "full+reduction-sum+start-run-1"
        ]
    );
    let json = result(&out);
    assert_eq!(
        (json["comparisons"].as_array().unwrap().len(), json["recipes"].as_array().unwrap().len()),
        (4, 6)
    );
    let last = &json["comparisons"][3];
    assert_eq!(last["baseline"], "baseline+start-run-1");
    assert_eq!(last["full"], "full+reduction-sum+start-run-1");
    assert!(last["gains"]["rank1"]["standard_error"].is_number());
    // Runs of two starts are not the same runs, and two reductions are not one.
    let means: Vec<f64> = (0..6).map(|recipe| mean_of(&json, recipe)).collect();
    assert!(means[0] != means[1] && means[2] != means[3], "{means:?}");
    let config = |run: &str| std::fs::read_to_string(out.join(run).join("seed-0/config.toml")).unwrap();
    assert!(config("full+reduction-mean+start-run-1").contains("reduction = \"mean\""));

    // Another start joins, and nothing that is there is made again; a known name with other weights is refused.
    let made = std::fs::metadata(out.join("baseline+start-run-1/seed-0/weights.safetensors")).unwrap();
    let text = succeed(&mut reproduce(&format!("second={},{}", second.display(), first.display()), &[]));
    assert!(text.contains("batch-contrastive, start second, here"), "{text}");
    let still = std::fs::metadata(out.join("baseline+start-run-1/seed-0/weights.safetensors")).unwrap();
    assert_eq!(made.modified().unwrap(), still.modified().unwrap());
    for (starts, words) in [
        (format!("run-1={}", second.display()), "has other weights as start run-1"),
        (format!("third={}", second.display()), "knows the weights of start third as second"),
        (format!("{0},again={0}", first.display()), "run-1 and again are the same weights"),
        ("nowhere.safetensors".into(), "there is no file nowhere.safetensors; give random"),
    ] {
        let error = fail(&mut reproduce(&starts, &[]));
        assert!(error.contains(words), "{words}: {error}");
    }
    assert!(
        fail(&mut study(&["reproduce", "market1501", "--runs", "1"], &out)).contains("began with --start")
    );
    assert!(fail(&mut reproduce("random", &["--reduction", "mean,mean"])).contains("mean is given twice"));
    assert!(fail(&mut reproduce("random", &["--reduction", "median"])).contains("loss.reduction"));
    let both = reproduce("random", &["--weights", "x.safetensors"]).output().unwrap();
    let said = stderr(&both);
    assert!(
        !both.status.success() && said.contains("--weights") && said.contains("cannot be used with"),
        "{said}"
    );
    // Weights that do not fit are refused before the first run, not when their turn comes.
    let other = folder.path().join("other");
    let mut command = study(&["reproduce", "market1501"], &other);
    command.args(["--set", "model.width=12", "--start", &format!("random,{}", first.display())]);
    assert!(fail(&mut command).contains("another model") && !other.exists());
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
    let about: Value =
        serde_json::from_str(&std::fs::read_to_string(out.join("study.json")).unwrap()).unwrap();
    let keys: Vec<&String> = about.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["images", "weights"], "the form of earlier versions");
    assert_eq!(folders(&out), ["baseline", "full"]);
    // Their settings had no reduction; the loss was a sum.
    let made =
        |run: &str| std::fs::metadata(out.join(run).join("weights.safetensors")).unwrap().modified().unwrap();
    let before = made("baseline/seed-0");
    let config = out.join("baseline/seed-0/config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let older: String =
        text.lines().filter(|line| !line.starts_with("reduction")).map(|l| format!("{l}\n")).collect();
    assert_ne!(older, text);
    std::fs::write(&config, older).unwrap();
    assert_eq!(succeed(&mut reproduce(&[])), whole);
    // With reductions beside it the baseline is the one that is there.
    succeed(&mut reproduce(&["--reduction", "sum,mean"]));
    succeed(&mut reproduce(&["--reduction", "mean", "--set", "loss.reduction=mean"]));
    assert_eq!(before, made("baseline/seed-0"));
    assert_eq!(folders(&out), ["baseline", "full", "full+reduction-mean", "full+reduction-sum"]);
    let starts = format!("a={}", start.display());
    let error = fail(study(&["reproduce", "market1501", "--runs", "1"], &out).args(["--start", &starts]));
    assert!(error.contains("other images or starts from other weights"), "{error}");
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
    for words in ["loss.reduction", "solver.batch", "mAP gain", "reduction as in the table", "plot: "] {
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
    assert!(fail(&mut sweep(&["--tau", "1", "--vary", "loss.tau=1"])).contains("varied twice"));
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

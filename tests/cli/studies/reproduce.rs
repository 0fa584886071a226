//! `bcreid reproduce` with one start, and with several starts and reductions.

use super::{folders, made, mean_of, result, study, weights};
use crate::support::{fail, stderr, succeed};

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
    let before = made(&out, "full/seed-0");
    let text = succeed(&mut reproduce("2"));
    assert!(text.contains("±") && text.contains("standard error"), "{text}");
    assert_eq!(made(&out, "full/seed-0"), before);
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
    assert_eq!(differing, ["weight = 0.0"]);

    assert!(fail(reproduce("1").args(["--set", "loss.batch_contrastive.weight=0"])).contains("above 0"));
    assert!(fail(&mut reproduce("0")).contains("1 to 100"));
    let error = fail(reproduce("2").args(["--set", "run.seed=9223372036854775807"]));
    assert!(error.contains("run.seed=9223372036854775807"), "{error}");
    let lock = std::fs::File::create(out.join("lock")).unwrap();
    lock.lock().unwrap();
    assert!(fail(&mut reproduce("2")).contains("another process is working"));
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
        "run-1/weights.safetensors (trained on set (layout market1501): 24 images of 6 persons under 2 cameras, started",
        "reduction as in the table, margin tau ",
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
    let before = made(&out, "baseline+start-run-1/seed-0");
    let text = succeed(&mut reproduce(&format!("second={},{}", second.display(), first.display()), &[]));
    assert!(text.contains("batch-contrastive, start second, here"), "{text}");
    assert_eq!(made(&out, "baseline+start-run-1/seed-0"), before);
    for (starts, words) in [
        (format!("run-1={}", second.display()), "as start run-1, this call has weights with the fingerprint"),
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
    assert!(
        fail(&mut reproduce("random", &["--reduction", "median"]))
            .contains("loss.batch_contrastive.reduction")
    );
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

//! `bcreid reproduce --methods`.

use super::{folders, made, result};
use crate::support::{data, fail, stderr, succeed};
use std::path::Path;
use std::process::Command;

/// Settings that all methods of these tests share: a tiny network and few steps of a batch with pairs.
const SHARED: &str = "[model]\narch = \"slim\"\nwidth = 8\ndepths = [1, 1, 1, 1]\n[input]\nheight = 64\nwidth = 32\n\
    [solver]\niterations = 4\nbatch = 8\nlr_milestones = []\nlr_warmup = 0\n[data]\npad = 2\n";

fn methods(folder: &Path, names: &str, more: &[&str]) -> Command {
    let shared = folder.join("shared.toml");
    std::fs::write(&shared, SHARED).unwrap();
    let mut command = crate::support::bcreid();
    command.args(["reproduce", "market1501", "--data"]).arg(data()).arg("--out").arg(folder.join("study"));
    command.args(["--methods", names, "--config"]).arg(shared).args(more);
    command
}

#[test]
fn methods_are_trained_and_compared_with_the_baseline() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("study");
    let own = folder.path().join("own.toml");
    std::fs::write(&own, "# Mine, Me (2026): a triplet loss.\n[loss.triplet]\nweight = 1\n").unwrap();
    let names = format!("baseline,bot,mine={}", own.display());
    let text = succeed(&mut methods(folder.path(), &names, &["--runs", "2"]));
    for words in [
        "Baseline, Zhang & Xu (2018) [run here]",
        "Bag of tricks, Luo et al. (2019) [run here]",
        "Mine, Me (2026) [run here]",
        "Mine, Me (2026) over the baseline: rank-1 ",
        "2 x 2 - 2 = 2 degrees of freedom",
        "All methods: ",
        "Bag of tricks, Luo et al. (2019): model.last_stride = 1, model.neck = \"batchnorm\"",
        "Start: random weights",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    assert!(!text.contains("[quoted]"), "{text}");
    assert_eq!(folders(&out), ["baseline", "bot", "mine"]);
    let json = result(&out);
    assert_eq!(json["recipes"].as_array().unwrap().len(), 3);
    assert_eq!(json["comparisons"][1]["baseline"], "baseline");
    assert!(json["comparisons"][0]["gains"].is_null());
    let settings = std::fs::read_to_string(out.join("bot/seed-1/config.toml")).unwrap();
    for line in ["neck = \"batchnorm\"", "optimizer = \"adam\"", "iterations = 4", "arch = \"slim\""] {
        assert!(settings.contains(line), "{line}\n{settings}");
    }

    // A method is added to the study; the runs of the others are not made again.
    let before = made(&out, "bot/seed-0");
    let text = succeed(&mut methods(folder.path(), "bot,circle", &["--runs", "1"]));
    assert!(text.contains("No gains: the method baseline was not run"), "{text}");
    assert_eq!(made(&out, "bot/seed-0"), before);
    assert_eq!(folders(&out), ["baseline", "bot", "circle", "mine"]);
    assert!(out.join("earlier/1/result.json").is_file());
}

/// SVDNet's rounds, and the losses of AGW: two rounds of one iteration each for a restraint and a relaxation.
#[test]
fn methods_with_rounds_and_weighted_triplets_are_trained() {
    let folder = tempfile::tempdir().unwrap();
    let short =
        ["solver.svd_start=1", "solver.svd_restraint=1", "solver.svd_relaxation=1", "model.embedding=[16]"];
    let more: Vec<&str> = short.iter().flat_map(|setting| ["--set", setting]).collect();
    let text = succeed(&mut methods(folder.path(), "svdnet,agw", &[&more[..], &["--runs", "1"]].concat()));
    for words in ["SVDNet, Sun et al. (2017) [run here]", "AGW, Ye et al. (2021) [run here]"] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    let settings = |method: &str| {
        let file = folder.path().join("study").join(method).join("seed-0/config.toml");
        std::fs::read_to_string(file).unwrap()
    };
    let (svdnet, agw) = (settings("svdnet"), settings("agw"));
    assert!(svdnet.contains("svd_lr = [0.001") && svdnet.contains("embedding_bias = false"), "{svdnet}");
    assert!(agw.contains("mining = \"weighted\"") && agw.contains("pooling = \"gem\""), "{agw}");
}

#[test]
fn wrong_methods_are_refused_before_the_first_run() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |names: &str, more: &[&str], words: &str| {
        let error = fail(&mut methods(folder.path(), names, more));
        assert!(error.contains(words), "{words}\n{error}");
        assert!(!folder.path().join("study").exists(), "{error}");
    };
    refused(
        "baseline,bto",
        &[],
        "--methods bto: neither a file nor a recipe; the recipes are paper, baseline",
    );
    refused("bot,bot", &[], "two methods have the name bot");
    refused("bot,baseline", &["--set", "solver.nesterov=true"], "method bot: solver.nesterov");
    refused(
        "bot",
        &["--set", "solver.batch=6"],
        "method bot: solver.batch must be a multiple of data.pk_images",
    );
    let both = methods(folder.path(), "bot", &["--reduction", "sum"]).output().unwrap();
    assert_eq!(both.status.code(), Some(2), "{}", stderr(&both));
}

/// The recipes and their names are listed, and a recipe is as good as its file.
#[test]
fn recipes_are_known_by_name() {
    let list = succeed(crate::support::bcreid().args(["config", "--recipes"]));
    assert!(
        list.lines().any(|line| line.starts_with("bot ") && line.ends_with("Luo et al. (2019)")),
        "{list}"
    );
    let config = |file: &str| {
        succeed(
            crate::support::bcreid()
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .args(["config", "--config", file]),
        )
    };
    assert_eq!(config("bot"), config("configs/bot.toml"));
    let error = fail(crate::support::bcreid().args(["config", "--config", "nowhere.toml"]));
    assert!(error.contains("no file nowhere.toml") && error.contains("bot, agw, circle"), "{error}");
}

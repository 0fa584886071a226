//! `bcreid reproduce` and `bcreid sweep` on a small data set.

mod folder;
mod methods;
mod reproduce;
mod resume;
mod reuse;
mod sweep;

use crate::support::{TINY, bcreid, data, succeed, train};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

fn study(what: &[&str], out: &Path) -> Command {
    study_of(data(), what, out)
}

/// A study of another data set.
fn study_of(data: &Path, what: &[&str], out: &Path) -> Command {
    let mut command = bcreid();
    command.args(what).arg("--data").arg(data).arg("--out").arg(out);
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

/// The names of the recipes' folders, sorted; earlier results are beside them.
fn folders(out: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<String> = folders.map(|e| e.file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "earlier");
    names.sort();
    names
}

/// Weights to start from: those of a short run with this seed.
fn weights(folder: &Path, seed: u64) -> PathBuf {
    let run = folder.join(format!("run-{seed}"));
    succeed(&mut train(
        data(),
        &run,
        &[&format!("run.seed={seed}"), "solver.iterations=2", "solver.lr_milestones=[]"],
    ));
    run.join("weights.safetensors")
}

/// When a run's result was written.
fn made(out: &Path, run: &str) -> SystemTime {
    std::fs::metadata(out.join(run).join("weights.safetensors")).unwrap().modified().unwrap()
}

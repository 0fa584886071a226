//! `bcreid runs`, and runs that are trained longer.

use crate::support::{bcreid, data, fail, interrupt, lines, stderr, succeed, train};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

fn runs(folder: &Path) -> Command {
    let mut command = bcreid();
    command.arg("runs").arg(folder);
    command
}

fn eval(run: &Path) -> Command {
    let mut command = bcreid();
    command.arg("eval").arg("--run").arg(run).arg("--data").arg(data());
    command
}

fn resume(run: &Path, iterations: &str) -> Command {
    let mut command = bcreid();
    command.arg("train").arg("--data").arg(data()).arg("--out").arg(run);
    command.args(["--resume", "--iterations", iterations]);
    command
}

#[test]
fn runs_are_listed_with_states_and_results() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    succeed(&mut train(data(), &at("group/finished"), &[]));
    succeed(&mut eval(&at("group/finished")));
    let wild = ["solver.lr=1e30", "solver.lr_warmup=0", "run.checkpoint_every=1"];
    fail(&mut train(data(), &at("diverged"), &wild));
    let output = runs(folder.path()).arg("--json").output().unwrap();
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let states: Vec<&str> = list.as_array().unwrap().iter().map(|r| r["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["diverged", "finished"]);
    assert_eq!((&list[1]["done"], &list[1]["iterations"]), (&12.into(), &12.into()));
    let evaluation = &list[1]["evaluations"][0];
    let stored = fs::read_to_string(at("group/finished/evaluations/set/result.json")).unwrap();
    let stored: Value = serde_json::from_str(&stored).unwrap();
    assert_eq!((&evaluation["name"], &evaluation["rank1"]), (&"set".into(), &stored["rank1"]));
    let twice = runs(folder.path()).arg(at("group")).arg("--json").output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&twice.stdout).unwrap(), list);
    let table = String::from_utf8(runs(folder.path()).output().unwrap().stdout).unwrap();
    assert!(table.contains("group/finished") && table.contains("diverged"), "{table}");
    // One damaged run costs the others nothing, and the exit status tells.
    fs::write(at("diverged/config.toml"), "x").unwrap();
    let output = runs(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("not listed: config: "), "{}", stderr(&output));
    assert!(String::from_utf8(output.stdout).unwrap().contains("group/finished"));
    let empty = tempfile::tempdir().unwrap();
    assert!(fail(&mut runs(empty.path())).contains("no run (a folder with config.toml"));
}

#[cfg(unix)]
#[test]
fn a_run_that_is_trained_is_listed_as_running_and_then_as_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut child = train(data(), &run, &["solver.iterations=5000"]).spawn().unwrap();
    while lines(&run) < 4 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let state = || {
        let output = runs(&run).arg("--json").output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()[0]["state"].as_str().unwrap().to_string()
    };
    assert_eq!(state(), "running");
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    child.wait().unwrap();
    assert_eq!(state(), "stopped");
}

#[test]
fn an_evaluation_is_deleted_by_its_name_alone() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    succeed(&mut train(data(), &run, &[]));
    succeed(&mut eval(&run));
    succeed(eval(&run).arg("--ignore-cameras"));
    let delete = |name: &str| {
        let mut command = runs(&run);
        command.args(["--delete-evaluation", name]);
        command
    };
    for name in ["sets", "../checkpoints", "."] {
        let error = fail(&mut delete(name));
        assert!(error.contains("the run has set, set+ignore-cameras"), "{error}");
    }
    succeed(&mut delete("set"));
    assert!(!run.join("evaluations/set").exists());
    assert!(run.join("evaluations/set+ignore-cameras/result.json").is_file());
    assert!(fail(&mut delete("set")).contains("the run has set+ignore-cameras"));
    assert!(run.join("weights.safetensors").is_file());
    // A folder that is no run, and a link in the place of an evaluation.
    assert!(
        fail(bcreid().arg("runs").arg(folder.path()).args(["--delete-evaluation", "x"]))
            .contains("not a run")
    );
    #[cfg(unix)]
    {
        let victim = folder.path().join("victim");
        fs::rename(run.join("evaluations/set+ignore-cameras"), &victim).unwrap();
        std::os::unix::fs::symlink(&victim, run.join("evaluations/linked")).unwrap();
        assert!(fail(&mut delete("linked")).contains("a symbolic link"));
        assert!(victim.join("result.json").is_file());
    }
}

/// A run of 12 iterations that is trained to 20 has the bits of a run of 20.
#[test]
fn a_finished_run_is_trained_longer() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, longer) = (folder.path().join("whole"), folder.path().join("longer"));
    succeed(&mut train(data(), &whole, &["solver.iterations=20"]));
    succeed(&mut train(data(), &longer, &[]));
    let error = fail(&mut resume(&longer, "11"));
    assert!(error.contains("12 iterations are done already, and 11 are asked"), "{error}");
    let output = resume(&longer, "20").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("resuming after 12 of 20 iterations"), "{}", stderr(&output));
    for file in ["weights.safetensors", "metrics.jsonl", "config.toml"] {
        let read = |run: &Path| fs::read(run.join(file)).unwrap();
        assert!(read(&whole) == read(&longer), "{file} differs");
    }
    // Without a new number the run says that it is at its end.
    let mut again = bcreid();
    again.arg("train").arg("--data").arg(data()).arg("--out").arg(&longer).arg("--resume");
    let output = again.output().unwrap();
    assert!(
        output.status.success() && stderr(&output).contains("all 20 iterations are done; --iterations N")
    );
}

/// The other direction: a stopped run is ended where it is.
#[cfg(unix)]
#[test]
fn a_stopped_run_is_ended_earlier() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    interrupt(train(data(), &run, &["solver.iterations=5000"]), &run, 4, "-INT");
    let done = lines(&run).to_string();
    succeed(&mut resume(&run, &done));
    assert!(run.join("weights.safetensors").is_file());
    assert_eq!(lines(&run).to_string(), done);
    let alone = bcreid().args(["train", "--data", "x", "--out", "y", "--iterations", "5"]).output().unwrap();
    assert_eq!(alone.status.code(), Some(2));
}

//! Signals: the work is saved, nothing temporary is left, and the exit status is 128 plus the signal's number.

use crate::support::{bcreid, data, interrupt, lines, stderr, succeed, train};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The command with the default treatment of the hang-up signal, which these tests ignore if they run under nohup.
fn not_under_nohup(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec only `signal` is called, which POSIX allows there.
    unsafe {
        command.pre_exec(|| match libc::signal(libc::SIGHUP, libc::SIG_DFL) {
            libc::SIG_ERR => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        })
    }
}

/// As `timeout` does, which signals the process and its group.
#[test]
fn two_signals_at_once_are_one_wish() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut child = train(data(), &out, &["solver.iterations=5000"]).stderr(Stdio::null()).spawn().unwrap();
    for _ in 0..60_000 {
        if lines(&out) >= 4 {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // Two of one kind could become one on the way.
    let twice = format!("kill -INT {0}; kill -TERM {0}", child.id());
    assert!(Command::new("sh").args(["-c", &twice]).status().unwrap().success());
    // Two threads may take one each, so either can be the first.
    let code = child.wait().unwrap().code();
    assert!([Some(130), Some(143)].contains(&code), "{code:?}");
    let checkpoint = out.join("checkpoints").join(format!("step_{:010}.safetensors", lines(&out)));
    assert!(checkpoint.is_file(), "{} is missing", checkpoint.display());
}

#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let output = interrupt(train(data(), &out, &["solver.iterations=5000"]), &out, 4, "-INT");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("--resume") && said.contains("all saved"), "{said}");
    let checkpoints = std::fs::read_dir(out.join("checkpoints")).unwrap();
    let newest = checkpoints.map(|e| e.unwrap().file_name().into_string().unwrap()).max().unwrap();
    let step: usize = newest["step_".len()..newest.len() - ".safetensors".len()].parse().unwrap();
    assert_eq!(step, lines(&out), "{newest} is not the step it stopped at");
}

/// A closed terminal or a lost connection sends the hang-up signal.
#[test]
fn termination_and_hang_up_save_too() {
    for (signal, status) in [("-TERM", 143), ("-HUP", 129)] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run");
        let mut training = train(data(), &out, &["solver.iterations=5000"]);
        not_under_nohup(&mut training);
        let output = interrupt(training, &out, 4, signal);
        assert_eq!(output.status.code(), Some(status), "{}", stderr(&output));
        let checkpoint = out.join("checkpoints").join(format!("step_{:010}.safetensors", lines(&out)));
        assert!(checkpoint.is_file(), "{} is missing", checkpoint.display());
    }
}

#[test]
fn nohup_goes_on_after_a_hang_up() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let training = train(data(), &out, &["solver.iterations=60", "solver.lr_milestones=[]"]);
    let mut ignoring = Command::new("sh");
    ignoring
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(training.get_program())
        .args(training.get_args());
    let output = interrupt(ignoring, &out, 4, "-HUP");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(out.join("weights.safetensors").is_file());
}

#[test]
fn an_interrupted_extraction_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let slow =
        ["input.height=256", "input.width=128", "model.width=32", "solver.batch=2", "solver.iterations=1"];
    succeed(&mut train(data(), &run, &[&slow[..], &["solver.lr_milestones=[]"]].concat()));
    let features = folder.path().join("features");
    let inside = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
    for (name, signal, status) in
        [("f.npy", "-INT", 130), ("f.safetensors", "-TERM", 143), ("f.arrow", "-HUP", 129)]
    {
        std::fs::create_dir(&features).unwrap();
        let mut extract = bcreid();
        extract
            .args(["extract", "--batch", "1", "--weights"])
            .arg(&run)
            .arg("--images")
            .arg(data().join("query"));
        extract.arg("--out").arg(features.join(name)).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = not_under_nohup(&mut extract).spawn().unwrap();
        // The temporary file is there from the first batch on.
        for _ in 0..60_000 {
            if inside(&features) > 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(status), "{name}");
        assert_eq!(inside(&features), 0, "{name}");
        std::fs::remove_dir(&features).unwrap();
    }
}

//! Habits of the command line: the amount of messages, completions, manual pages, colours, the end of a training.

use crate::support::{bcreid, data, fail, stderr, succeed, train};
use std::fs;
use std::process::Command;

fn stdout(output: &std::process::Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn quiet_leaves_results_and_errors_and_verbose_adds_details() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, flag: &[&str]| {
        let output = train(data(), &folder.path().join(name), &[]).args(flag).output().unwrap();
        assert!(output.status.success());
        output
    };
    let quiet = run("quiet", &["--quiet"]);
    // A line about batches without pairs is a warning and stays.
    let other: Vec<String> =
        stderr(&quiet).lines().filter(|line| !line.starts_with("batches: ")).map(String::from).collect();
    assert_eq!(other, Vec::<String>::new());
    assert!(stdout(&quiet).starts_with("trained 12 iterations in 0:0"), "{}", stdout(&quiet));
    let normal = stderr(&run("normal", &[]));
    for words in ["device: cpu", "loss: softmax + 1 x batch-contrastive", "train 12/12", "next: bcreid eval"]
    {
        assert!(normal.contains(words), "{words}: {normal}");
    }
    assert!(!normal.contains("checkpoint saved"), "{normal}");
    let verbose = stderr(&run("verbose", &["--verbose"]));
    for words in ["checkpoint saved after 3 iterations", "checkpoint saved after 12", "decoding: 0."] {
        assert!(verbose.contains(words), "{words}: {verbose}");
    }
    // The time of decoding ends where training begins.
    let place = |words: &str| verbose.find(words).unwrap();
    assert!(place("decoding: 0.") < place("loss: softmax"), "{verbose}");
    // An error is an error.
    let error = fail(train(data(), &folder.path().join("quiet"), &[]).arg("--quiet"));
    assert!(error.contains("not empty"), "{error}");
    let both = train(data(), &folder.path().join("both"), &[]).args(["-q", "-v"]).output().unwrap();
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn the_end_of_a_training_names_losses_and_the_next_command() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("my run");
    let output = train(data(), &out, &[]).output().unwrap();
    let said = stdout(&output);
    assert!(said.contains("mean of the last 12 steps: loss ") && said.contains("distances "), "{said}");
    assert!(!said.contains("NaN"), "{said}");
    let said = stderr(&output);
    let next = said.lines().find_map(|line| line.strip_prefix("next: ")).unwrap();
    // The printed command is one that a shell understands, also with a space in the path.
    let program = env!("CARGO_BIN_EXE_bcreid");
    let line = next.replacen("bcreid", program, 1);
    let shell = Command::new("sh").args(["-c", &line]).output().unwrap();
    assert!(shell.status.success(), "{line}: {}", stderr(&shell));
    assert!(out.join("evaluations/set/result.json").is_file());
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    let help = stdout(&bcreid().arg("--help").output().unwrap());
    assert!(help.contains("Exit status: 0 success; 1 an error"), "{help}");
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .collect();
    assert!(commands.contains(&"train") && commands.len() > 15, "{commands:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&bcreid().args(["completions", shell]).output().unwrap());
        assert!(commands.iter().all(|name| script.contains(name)));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut man = bcreid();
    man.arg("man").arg("--out").arg(folder.path());
    succeed(&mut man);
    for name in &commands {
        let page = fs::read_to_string(folder.path().join(format!("bcreid-{name}.1"))).unwrap();
        assert!(page.contains(&format!(".TH bcreid-{name} 1")), "{name}");
    }
    let page = fs::read_to_string(folder.path().join("bcreid.1")).unwrap();
    assert!(page.contains("Exit status"), "{page}");
    assert!(fail(&mut man).contains("--force"));
    succeed(man.arg("--force"));
    #[cfg(unix)]
    {
        let (linked, victim) = (folder.path().join("linked"), folder.path().join("victim"));
        fs::create_dir(&linked).unwrap();
        fs::write(&victim, "dear").unwrap();
        std::os::unix::fs::symlink(&victim, linked.join("bcreid-train.1")).unwrap();
        let error = fail(bcreid().arg("man").arg("--force").arg("--out").arg(&linked));
        assert!(error.contains("bcreid-train.1: a symbolic link"), "{error}");
        assert_eq!(
            (fs::read_dir(&linked).unwrap().count(), fs::read_to_string(&victim).unwrap()),
            (1, "dear".into())
        );
    }
    let new = folder.path().join("new/man1");
    succeed(bcreid().arg("man").arg("--out").arg(&new));
    assert!(new.join("bcreid.1").is_file());
    // A file in its place is no folder.
    let error = fail(bcreid().arg("man").arg("--out").arg(new.join("bcreid.1")));
    assert!(error.contains("bcreid.1"), "{error}");
}

#[test]
fn bash_reads_its_completions() {
    let script = stdout(&bcreid().args(["completions", "bash"]).output().unwrap());
    let test = format!(
        "{script}\nCOMP_WORDS=(bcreid tra); COMP_CWORD=1; _bcreid bcreid tra bcreid; echo \"${{COMPREPLY[@]}}\""
    );
    let output = Command::new("bash").args(["-c", &test]).output().unwrap();
    assert_eq!(stdout(&output).trim(), "train", "{}", stderr(&output));
}

/// `script` runs the program on a terminal.
#[cfg(target_os = "linux")]
#[test]
fn no_color_means_none() {
    if Command::new("script").arg("--version").output().is_err() {
        eprintln!("skipped: this test needs the program script, of util-linux");
        return;
    }
    let help = |no_color: &str| {
        let line = format!("{} --help", env!("CARGO_BIN_EXE_bcreid"));
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").env_remove("CI");
        if no_color.is_empty() {
            command.env_remove("NO_COLOR");
        } else {
            command.env("NO_COLOR", no_color);
        }
        stdout(&command.output().unwrap())
    };
    assert!(help("").contains('\u{1b}'), "a terminal shows styles");
    assert!(!help("1").contains('\u{1b}'));
}

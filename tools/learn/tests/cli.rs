//! The command line: what a reader sees, and what each wrong input says.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// `bcreid-learn` with arguments, in a folder.
fn learn(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bcreid-learn"));
    command.args(arguments).current_dir(folder);
    command
}

fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let output = learn(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Standard output of an answer that fails, and standard error of an error.
fn fail(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A copy of the solution of exercise 1.1 with another body of `leaky_relu`.
fn answer_with(body: &str) -> String {
    format!(
        "pub fn leaky_relu(x: f32) -> f32 {{\n    {body}\n}}\n\n\
         pub fn leaky_relu_gradient(y: f32, dy: f32) -> f32 {{\n    if y < 0.0 {{ 0.1 * dy }} else {{ dy }}\n}}\n"
    )
}

#[test]
fn a_copy_of_the_readers_folder_has_its_own_answers() {
    let folder = tempfile::tempdir().unwrap();
    let (at, first) = (folder.path(), folder.path().join("first"));
    let first = first.to_str().unwrap();
    succeed(at, &["--folder", first, "start", "2.1"]);
    fs::rename(first, at.join("second")).unwrap();
    let hole = fail(&learn(at, &["--folder", "second", "check", "2.1"]));
    assert!(hole.contains("the hole is still open"), "{hole}");
}

#[test]
fn links_of_a_task_lead_to_files_of_the_repository() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    succeed(at, &["start", "13.1"]);
    let task = fs::read_to_string(at.join("learn/13.1/README.md")).unwrap();
    let links: Vec<&str> = task.split("](").skip(1).map(|rest| rest.split_once(')').unwrap().0).collect();
    assert_eq!(links.len(), 2, "{task}");
    assert!(links.iter().all(|link| Path::new(link).is_absolute() && Path::new(link).is_file()), "{links:?}");
}

#[test]
fn an_exercise_from_the_list_to_the_solution() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert!(succeed(at, &[]).contains("  1.1   A leaky ReLU on the CPU"));
    assert!(!at.join("learn").exists(), "a list writes nothing");
    let early = fail(&learn(at, &["solution", "1.1"]));
    assert!(early.contains("has not been tried") && early.contains("--show"), "{early}");
    assert!(succeed(at, &["solution", "1.1", "--show"]).contains("pub fn leaky_relu"));

    let started = succeed(at, &["start", "1.1"]);
    assert!(started.contains("learn/1.1/answer.rs: fill the hole"), "{started}");
    let task = fs::read_to_string(at.join("learn/1.1/README.md")).unwrap();
    assert!(
        task.starts_with("# Exercise 1.1: A leaky ReLU on the CPU\n") && task.contains("**Grader.**"),
        "{task}"
    );
    assert!(line(&succeed(at, &["list"]), "1.1").ends_with("  begun"));
    let hole = fail(&learn(at, &["check", "1.1"]));
    assert!(hole.contains("the hole is still open") && hole.contains("at answer.rs:3"), "{hole}");
    assert!(hole.contains("not passed: read the section \"The idea\" of"), "{hole}");
    let solution = succeed(at, &["solution", "1.1"]);

    fs::write(at.join("learn/1.1/answer.rs"), solution).unwrap();
    let passed = succeed(at, &["check", "1.1"]);
    assert!(passed.ends_with("\npassed\n") && passed.contains("  pass  NaN stays NaN"), "{passed}");
    assert!(line(&succeed(at, &["list"]), "1.1").ends_with("  passed"));

    let again = fail(&learn(at, &["start", "1.1"]));
    assert!(again.contains("learn/1.1/answer.rs: exists; --force overwrites"), "{again}");
    assert!(fs::read_to_string(at.join("learn/1.1/answer.rs")).unwrap().contains("if x < 0.0"));
    succeed(at, &["start", "1.1", "--force"]);
    assert!(fs::read_to_string(at.join("learn/1.1/answer.rs")).unwrap().contains("todo!"));
}

fn line(list: &str, number: &str) -> String {
    list.lines().find(|line| line.trim_start().starts_with(&format!("{number} "))).unwrap().to_string()
}

#[test]
fn an_answer_may_lie_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    succeed(at, &["start", "2.1", "--out", "mine/first"]);
    let answer = at.join("mine/first/answer.rs");
    assert!(answer.is_file());
    fail(&learn(at, &["check", "2.1"]));
    let solution = succeed(at, &["solution", "2.1"]);
    fs::write(answer, solution).unwrap();
    // The folder of `start`, a folder, a file.
    succeed(at, &["check", "2.1"]);
    fs::rename(at.join("mine/first"), at.join("moved")).unwrap();
    succeed(at, &["check", "2.1", "moved"]);
    succeed(at, &["check", "2.1", "moved/answer.rs"]);
    let gone = fail(&learn(at, &["check", "2.1"]));
    assert!(gone.contains("mine/first/answer.rs: no such file; bcreid learn start 2.1"), "{gone}");
    // A module that the answer uses comes along.
    succeed(at, &["start", "3.1"]);
    assert!(fs::read_to_string(at.join("learn/3.1/tape.rs")).unwrap().contains("pub struct Tape"));
    succeed(at, &["start", "7.1"]);
    assert!(at.join("learn/7.1/layer.rs").is_file() && at.join("learn/7.1/meter.rs").is_file());
    let task = fs::read_to_string(at.join("learn/7.1/README.md")).unwrap();
    assert!(
        task.contains("grades it.\n\nIt may use `layer.rs`, `meter.rs`, `microkernel.rs`: copies"),
        "{task}"
    );
}

/// An operation: functions in Rust and their kernels.
#[test]
fn an_answer_may_have_two_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let started = succeed(at, &["start", "14.1"]);
    assert!(started.contains("learn/14.1/answer.rs and learn/14.1/answer.cu: fill the hole"), "{started}");
    let task = fs::read_to_string(at.join("learn/14.1/README.md")).unwrap();
    assert!(task.contains("Your answer is `answer.rs` and `answer.cu`."), "{task}");
    assert!(at.join("learn/14.1/fatbin.rs").is_file());
    let solution = succeed(at, &["solution", "14.1", "--show"]);
    assert!(solution.starts_with("// ---- answer.rs\n") && solution.contains("\n// ---- answer.cu\n"));
    // Each of the two is protected, and each is needed; one of them stands for both.
    let kernels = at.join("learn/14.1/answer.cu");
    fs::remove_file(at.join("learn/14.1/answer.rs")).unwrap();
    let again = fail(&learn(at, &["start", "14.1"]));
    assert!(again.contains("learn/14.1/answer.cu: exists; --force overwrites"), "{again}");
    succeed(at, &["start", "14.1", "--force"]);
    fs::remove_file(&kernels).unwrap();
    for place in ["learn/14.1", "learn/14.1/answer.rs"] {
        let error = fail(&learn(at, &["check", "14.1", place]));
        assert!(error.contains("learn/14.1/answer.cu: no such file; bcreid learn start 14.1"), "{error}");
    }
    fs::write(&kernels, "extern \"C\" __global__ void k(float* y) { y[0] = z; }\n").unwrap();
    let said = fail(&learn(at, &["check", "14.1"]));
    assert!(said.contains("does not compile") && said.contains("answer.cu:1:"), "{said}");
}

#[test]
fn wrong_inputs_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (number, nearest) in
        [("1.9", "1.1 (A leaky ReLU on the CPU)"), ("offset", "2.1 (Offsets)"), ("99.1", "9.1 (Count)")]
    {
        let error = fail(&learn(at, &["check", number]));
        assert!(
            error.contains(&format!("no exercise {number}; the nearest: ")) && error.contains(nearest),
            "{error}"
        );
    }
    let error = fail(&learn(at, &["check", "1.1"]));
    assert!(error.contains("learn/1.1/answer.rs: no such file; bcreid learn start 1.1 makes it"), "{error}");
    fs::write(at.join("file"), "").unwrap();
    let error = fail(&learn(at, &["start", "1.1", "--out", "file/sub"]));
    assert!(error.contains("file/sub"), "{error}");
    fs::create_dir(at.join("learn")).unwrap();
    fs::write(at.join("learn/progress.toml"), "[").unwrap();
    let error = fail(&learn(at, &["list"]));
    assert!(error.contains("progress.toml") && error.contains("remove it"), "{error}");
    let output = learn(at, &["begin"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn a_missing_compiler_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    succeed(at, &["start", "1.1"]);
    let output = command(at, &["check", "1.1"]).env("RUSTC", "/nowhere/rustc").output().unwrap();
    let error = fail(&output);
    assert!(error.contains("/nowhere/rustc") && error.contains("https://rustup.rs"), "{error}");
    succeed(at, &["start", "1.2"]);
    let output = command(at, &["check", "1.2"]).env("CXX", "/nowhere/c++").output().unwrap();
    let error = fail(&output);
    assert!(error.contains("no C++ compiler: tried /nowhere/c++"), "{error}");
}

#[test]
fn answers_that_do_not_compile_show_the_compilers_messages() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("answer.rs"), answer_with("x +")).unwrap();
    let said = fail(&learn(at, &["check", "1.1", "answer.rs"]));
    assert!(said.contains("does not compile") && said.contains("--> answer.rs:3:1"), "{said}");
    fs::write(at.join("answer.rs"), "pub fn leaky(x: f32) -> f32 { x }\n").unwrap();
    let said = fail(&learn(at, &["check", "1.1", "answer.rs"]));
    assert!(said.contains("leaky_relu") && said.contains("these names and types"), "{said}");
    fs::write(at.join("answer.cu"), "extern \"C\" __global__ void k(float* y) { y[0] = z; }\n").unwrap();
    let said = fail(&learn(at, &["check", "1.2", "answer.cu"]));
    assert!(said.contains("does not compile") && said.contains("answer.cu:1:"), "{said}");
}

/// An answer can neither stop nor spoil the program.
#[test]
fn hostile_answers_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (body, message) in [
        ("loop { std::hint::black_box(x); }", "forward: not done after 1 seconds: look for a loop"),
        ("panic!(\"negative {x}\")", "forward: panic: negative -2, at answer.rs:2"),
        ("std::process::exit(x as i32)", "the answer ended the program"),
        ("std::process::abort()", "the answer ended the program"),
        ("leaky_relu(x + 1.0) + 1.0", "the stack overflowed"),
        ("vec![1u8; 1 << 40][x as usize] as f32", "more than 8 GiB of memory asked for"),
        (
            "[0.0f32; 2][(x + 7.0) as usize]",
            "forward: panic: index out of bounds: the len is 2 but the index is 5, at answer.rs:2",
        ),
    ] {
        fs::write(at.join("answer.rs"), answer_with(body)).unwrap();
        let said = fail(&learn(at, &["check", "1.1", "answer.rs", "--limit", "1"]));
        assert!(said.contains(message), "{body}: {said}");
    }
    // What an answer prints is shown, and not without an end.
    fs::write(at.join("answer.rs"), answer_with("loop { println!(\"x = {x}\"); }")).unwrap();
    let said = fail(&learn(at, &["check", "1.1", "answer.rs", "--limit", "1"]));
    assert!(said.contains("x = -2\n") && said.len() < 200_000, "{}", said.len());
}

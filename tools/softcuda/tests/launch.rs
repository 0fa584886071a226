//! `softcuda_launch --trace`: the picture of the book, and what is refused.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// `softcuda_launch` with these words, in the repository.
fn launch(words: &[&str]) -> Output {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples/softcuda_launch");
    assert!(program.is_file(), "not built: cargo build --release -p softcuda --examples");
    let mut command = Command::new(program);
    command.args(["--out", env!("CARGO_TARGET_TMPDIR")]).args(words);
    command.current_dir(repository()).stdin(Stdio::null()).output().unwrap()
}

/// The picture that a page's command with `--trace` draws.
fn drawn_by(page: &str) -> String {
    let text = std::fs::read_to_string(repository().join("docs/book/src").join(page)).unwrap();
    let command = text
        .split("```text\n")
        .filter_map(|block| block.split_once("\n```"))
        .find_map(|(block, _)| block.contains("--trace").then(|| block.replace("\\\n", "")))
        .expect("the page shows how a picture is made");
    let picture = scratch(page).with_extension("svg");
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    let words: Vec<&str> = words
        .into_iter()
        .map(|word| if word.ends_with(".svg") { picture.to_str().unwrap() } else { word })
        .collect();
    let output = launch(&words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read_to_string(&picture).unwrap()
}

#[test]
fn the_command_of_chapter_12_draws_its_figure() {
    let committed = std::fs::read_to_string(repository().join("docs/book/src/figures/block.svg")).unwrap();
    assert!(drawn_by("12-cuda.md") == committed, "the command draws another figure than figures/block.svg");
}

#[test]
fn the_command_of_chapter_13_shows_a_sector_for_each_lane() {
    let drawn = drawn_by("13-three-kernels.md");
    assert_eq!(drawn.matches(">32 sectors, 128 bytes<").count(), 32, "16 rows of x and of y");
}

#[test]
fn a_kernel_with_a_fault_is_drawn_up_to_the_fault() {
    let picture = scratch("race.svg");
    let file = picture.to_str().unwrap();
    let planted = "tools/softcuda/tests/kernels/planted.cu";
    let words = [
        "--trace",
        file,
        planted,
        "second_barrier_removed",
        "1",
        "64",
        "in=f32:64:count",
        "f32:64:unwritten",
    ];
    let output = launch(&words);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("races with the"), "{said}");
    let drawn = std::fs::read_to_string(&picture).unwrap();
    for expected in ["second_barrier_removed, block (0, 0, 0) of 64 threads", ">in</tspan>", ">tile</tspan>"]
    {
        assert!(drawn.contains(expected), "no {expected} in {drawn}");
    }
}

#[test]
fn a_wrong_request_for_a_picture_is_refused() {
    let softmax = "tools/softcuda/tests/kernels/softmax.cu";
    for (words, expected) in [
        (vec!["--trace", "x.png", softmax, "softmax", "2", "32"], "an SVG file ends in .svg"),
        (
            vec!["--trace", "x.svg", "--block", "2", softmax, "softmax", "2", "32"],
            "no such block; it has 2 x 1 x 1",
        ),
        (vec!["--trace", "x.svg", "--block", "a", softmax, "softmax", "2", "32"], "--block a: give a block"),
        (vec!["--block", "1", softmax, "softmax", "2", "32"], "--block needs --trace"),
        (vec!["--trace", "x.svg", "--stop", "0:0", softmax, "softmax", "2", "32"], "one of them at a time"),
        (vec![softmax, "softmax", "2", "32", "=f32:64:noise"], "argument 1: `=f32:64:noise` is neither"),
        (
            vec![
                "--trace",
                "/no such folder/x.svg",
                softmax,
                "softmax",
                "1",
                "32",
                "f32:32:0",
                "f32:32:0",
                "i32:32",
            ],
            "/no such folder/x.svg: ",
        ),
    ] {
        let output = launch(&words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{words:?}: {said}");
    }
    assert!(!repository().join("x.svg").exists());
}

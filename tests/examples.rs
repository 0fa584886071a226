//! The examples, run as a person runs them: each keeps what it promises, and says so in a line of its output.
//!
//! `cargo test` builds the examples before it runs this; so does `cargo build --release --examples`, which
//! `cargo test --test examples` needs first.

#[allow(dead_code)] // An example's refusal is not the program's.
#[path = "common/command.rs"]
mod command;
#[path = "common/omniglot.rs"]
mod omniglot;
#[allow(dead_code)] // The examples are processes of their own already.
#[path = "common/stand_ins.rs"]
mod stand_ins;

use bcreid::config::Config;
use bcreid::data::Dataset;
use bcreid::data::synth::Synth;
use bcreid::device::Device;
use bcreid::run::RunFolder;
use bcreid::train::{Observers, Start, Trainer};
use command::{stderr, succeed};
use std::env::consts::EXE_SUFFIX;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;

/// The program of an example. Cargo puts it beside the folder of the test's own.
#[track_caller]
fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).expect("target/PROFILE/deps/TEST");
    let program = profile.join("examples").join(format!("{name}{EXE_SUFFIX}"));
    assert!(
        program.is_file(),
        "{} is not there: cargo build --release --examples makes it (without --release for tests without), and so does \
         cargo test without --test",
        program.display()
    );
    Command::new(program)
}

/// Runs to success; the number between `before` and `after` in the one line that holds both.
#[track_caller]
fn number(command: &mut Command, before: &str, after: &str) -> f64 {
    let output = succeed(command);
    let find = |line: &str| Some(line.split_once(before)?.1.split_once(after)?.0.trim().parse::<f64>());
    let found: Vec<_> = output.lines().filter_map(find).collect();
    let [Ok(number)] = found[..] else { panic!("not one line with {before} and {after}:\n{output}") };
    number
}

/// The last line of what it says when it fails; no panic.
#[track_caller]
fn refusal(command: &mut Command, status: i32) -> String {
    let output = command.output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(status), "{command:?}\n{text}");
    assert!(!text.contains("panicked"), "{text}");
    text.lines().last().unwrap_or_default().to_string()
}

#[test]
fn the_small_tape_agrees_with_the_library() {
    let output = succeed(&mut example("tape"));
    let difference = number(&mut example("tape"), "largest difference:", "(allowed");
    assert!((0.0..=1e-5).contains(&difference), "{difference}");
    // The example shows that the second writer of a gradient adds to it.
    let writers = |mode: &str| output.lines().filter(|line| line.ends_with(mode)).count();
    assert_eq!((writers("Overwrite"), writers("Accumulate")), (10, 3), "{output}");
}

#[test]
fn the_perceptron_tells_the_spirals_apart() {
    let accuracy = number(&mut example("mlp"), "accuracy on 400 new points:", "%");
    assert!((95.0..=100.0).contains(&accuracy), "{accuracy}");
}

#[test]
fn the_loss_of_ones_own_is_checked_and_learns() {
    let rank_1 = number(&mut example("custom_loss"), "% before,", "% after");
    assert!((80.0..=100.0).contains(&rank_1), "{rank_1}");
}

#[test]
fn lenet_reads_characters_that_it_makes_up() {
    let accuracy = number(&mut example("lenet_omniglot"), "LeNet:", "%");
    assert!((80.0..=100.0).contains(&accuracy), "{accuracy}");
}

#[test]
fn lenet_reads_omniglot() {
    let folder = tempfile::tempdir().unwrap();
    let Some(root) = omniglot::unpack(folder.path()) else { return };
    let mut command = example("lenet_omniglot");
    let accuracy = number(command.arg(root.join("bounding_box_train")), "LeNet:", "%");
    assert!((80.0..=100.0).contains(&accuracy), "{accuracy}");
}

#[test]
fn lenet_says_what_is_wrong_with_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let line = refusal(example("lenet_omniglot").arg(folder.path().join("nowhere")), 1);
    assert!(line.starts_with("lenet_omniglot: ") && line.contains("nowhere"), "{line}");
    // One character, in a folder of its own as in Omniglot's archive.
    let character = folder.path().join("Greek/character01");
    std::fs::create_dir_all(&character).unwrap();
    for number in 1..=9 {
        std::fs::write(character.join(format!("0001_{number:02}.png")), b"not looked at").unwrap();
    }
    let line = refusal(example("lenet_omniglot").arg(folder.path()), 1);
    assert!(line.contains("characters with 8 drawings or more: 1, requested: 30"), "{line}");
}

/// The table of chapter 13 has the times of the newest evidence file of the GPU gate, and dashes without one. The lines
/// of a benchmark are made up here; tests/ops/lab/times.rs compares their form with that of the benchmark.
#[test]
fn the_lab_shows_the_times_of_the_evidence() {
    let folder = tempfile::tempdir().unwrap();
    // It compiles kernels where it runs; here those of an earlier run are found.
    let book = |folder: &Path| {
        let mut command = example("book");
        command.arg("lab").arg(folder).current_dir(env!("CARGO_TARGET_TMPDIR"));
        command
    };
    let table = || -> Vec<String> { succeed(&mut book(folder.path())).lines().map(String::from).collect() };
    let row = |table: &[String], kernel: &str| -> Vec<String> {
        let line = table.iter().find(|line| line.starts_with(&format!("{kernel} "))).unwrap();
        line.split_whitespace().map(String::from).collect()
    };
    let before = table();
    assert_eq!(before[0], "times in us; measured on: no GPU yet");
    let kernel = "l2_normalize_v2_tree";
    let [small, large] = [6, 8];
    assert_eq!((&*row(&before, kernel)[small], &*row(&before, kernel)[large]), ("-", "-"));

    let evidence = |name: &str, date: &str, device: &str, micros: [f64; 2]| {
        let lines = [
            format!("{device}: copies at 4000 GB/s, reads and writes counted; an empty kernel takes 2.10 us"),
            String::new(),
            "lab/l2_normalize at 32768 x 2048".into(),
            format!("{kernel:44} {:10.2}     3350      84%     160.30       1.00", micros[1]),
            String::new(),
            "lab/l2_normalize at 16 x 2048".into(),
            format!("{kernel:44} {:10.2}      100       3%       1.69       2.00", micros[0]),
        ];
        let checks = serde_json::json!([
            {"name": "doctor", "outcome": "passed"},
            {"name": "kernels", "outcome": "passed", "figures": {"table": lines}},
        ]);
        let content = serde_json::json!({"date": date, "checks": checks});
        std::fs::write(folder.path().join(name), content.to_string()).unwrap();
    };
    evidence("first.json", "2026-12-01T10:00:00Z", "A GPU", [3.5, 180.25]);
    let after = table();
    assert_eq!(after[0], "times in us; measured on: A GPU");
    assert_eq!((&*row(&after, kernel)[small], &*row(&after, kernel)[large]), ("3.50", "180.25"));
    // Counts and predictions stay, and so does a version without a time.
    assert_eq!(row(&after, kernel)[..small], row(&before, kernel)[..small]);
    let other = "l2_normalize_forward_f32";
    assert_eq!(row(&after, other), row(&before, other));

    // The newest file counts, whatever its name; a file that is damaged is named.
    evidence("before.json", "2026-12-02T10:00:00Z", "Another GPU", [3.25, 170.5]);
    assert_eq!(table()[0], "times in us; measured on: Another GPU");
    std::fs::write(folder.path().join("cut.json"), "{").unwrap();
    let line = refusal(&mut book(folder.path()), 1);
    assert!(line.starts_with("book: ") && line.contains("cut.json"), "{line}");
    let line = refusal(&mut book(&folder.path().join("nowhere")), 1);
    assert!(line.contains("nowhere: no such folder"), "{line}");
}

#[test]
fn a_device_that_is_not_there_is_an_error() {
    for name in ["tape", "mlp", "custom_loss", "lenet_omniglot"] {
        let line = refusal(example(name).args(["--device", "tpu"]), 1);
        assert!(line.starts_with(&format!("{name}: ")) && line.contains("device tpu: unknown"), "{line}");
    }
}

#[test]
fn training_images_come_from_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let (data, run) = (folder.path().join("data"), folder.path().join("run"));
    let set = Synth {
        train_ids: 4,
        test_ids: 2,
        cameras: 2,
        images_per_camera: 2..=2,
        distractors: 0,
        junk: 0,
        ..Synth::default()
    };
    let images = set.write(&data, |_, _| ()).unwrap().train;
    let settings = [
        "model.arch=slim",
        "model.width=8",
        "solver.iterations=1",
        "solver.batch=4",
        "solver.lr_milestones=[]",
    ];
    let config = Config::resolve_text("", &settings.map(String::from)).unwrap();
    let device = Device::cpu();
    let trainer =
        Trainer::new(&config, &Dataset::open(&data).unwrap(), Start::Random, &device, &|_, _| ()).unwrap();
    let run = RunFolder::create(&run, &config).unwrap();
    trainer.run(&run, &AtomicBool::new(false), Observers::none()).unwrap();

    let out = folder.path().join("images.safetensors");
    let checkpoint = run.checkpoints().join("step_0000000000.safetensors");
    let command = || {
        let mut command = example("training_images");
        command.arg(&data).arg(&checkpoint).arg(&out);
        command
    };
    assert_eq!(succeed(&mut command()), format!("{images} images: {}\n", out.display()));
    let line = refusal(&mut command(), 1);
    assert!(line.contains("is there already"), "{line}");
    let line = refusal(&mut example("training_images"), 2);
    assert!(line.starts_with("usage: training_images"), "{line}");
}

/// The same programs with `--device cuda`, on the stand-ins or on a GPU. The perceptron and LeNet do more arithmetic
/// than the stand-ins can do in good time.
#[test]
fn two_examples_run_on_a_cuda_device() {
    let Some(stand_ins) = stand_ins::stand_ins() else { return };
    for (name, before, after) in
        [("tape", "largest difference:", "(allowed"), ("custom_loss", "% before,", "% after")]
    {
        let mut command = example(name);
        command.args(["--device", "cuda"]).envs(stand_ins::environment(stand_ins));
        println!("{name}: {}", number(&mut command, before, after));
    }
}

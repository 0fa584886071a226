//! Files from strangers: one line of error, within limits of memory and time, and no file of the user is changed.

use crate::support::{TINY, bcreid, data, fail, limited, own_data, stderr, succeed, train};
use bcreid::config::Config;
use bcreid::weights::{network, read_tensors, write_tensors};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Settings of a network of gigabytes, as a file of a few hundred bytes may claim them.
const HUGE: [&str; 2] = ["model.width=1024", "model.depths=[64, 64, 64, 64]"];

/// A trained run of its own, with checkpoints.
fn run() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    succeed(&mut train(data(), &run, &[]));
    (folder, run)
}

/// A file of the user outside of the run.
struct Victim {
    path: PathBuf,
}

impl Victim {
    const CONTENT: &str = "dear";

    fn new(folder: &Path) -> Self {
        let path = folder.join("victim");
        fs::write(&path, Victim::CONTENT).unwrap();
        Victim { path }
    }

    fn behind(&self, link: &Path) {
        let _ = fs::remove_file(link);
        symlink(&self.path, link).unwrap();
    }

    #[track_caller]
    fn is_unchanged(&self) {
        assert_eq!(fs::read_to_string(&self.path).unwrap(), Victim::CONTENT);
    }
}

fn resume(run: &Path) -> Command {
    let mut command = bcreid();
    command.arg("train").arg("--data").arg(data()).arg("--out").arg(run).arg("--resume");
    command
}

#[test]
fn weights_that_claim_a_huge_network_take_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let settings: Vec<String> = TINY.iter().chain(&HUGE).map(|setting| setting.to_string()).collect();
    let config = Config::resolve_text("", &settings).unwrap();
    let weights = at("w.safetensors");
    write_tensors(&weights, &[], &network::metadata(config.to_toml())).unwrap();
    let command = |name: &str| {
        let mut command = bcreid();
        command.arg(name).arg("--weights").arg(&weights);
        command
    };
    let mut extract = command("extract");
    extract.arg("--images").arg(data().join("query")).arg("--out").arg(at("f.safetensors"));
    let mut export = command("export");
    export.arg("--out").arg(at("w.onnx"));
    let mut sweep = bcreid();
    sweep
        .args(["sweep", "--validation", "4", "--lambda", "1", "--start"])
        .arg(format!("random,{}", weights.display()));
    sweep.arg("--data").arg(data()).arg("--out").arg(at("study"));
    let mut training = train(data(), &at("run"), &HUGE);
    training.arg("--weights").arg(&weights);
    for command in [extract, export, training, sweep, command("doctor")] {
        let error = fail(&mut limited(&command));
        assert!(error.contains("conv1.weight [1024, 7, 7, 3] is missing"), "{command:?}: {error}");
    }
    assert!(!at("run").exists() && !at("f.safetensors").exists() && !at("w.onnx").exists());
}

#[test]
fn a_run_that_claims_a_huge_network_takes_no_memory() {
    let (_folder, run) = run();
    let settings: Vec<String> = TINY.iter().chain(&HUGE).map(|setting| setting.to_string()).collect();
    let config = Config::resolve_text("", &settings).unwrap();
    fs::write(run.join("config.toml"), config.to_toml()).unwrap();
    // The checkpoint's own settings agree with the run's, its tensors with neither.
    let newest = run.join("checkpoints/step_0000000012.safetensors");
    let mut metadata = read_tensors(&newest).unwrap().metadata().clone();
    metadata.insert("config".into(), config.to_toml());
    write_tensors(&newest, &[], &metadata).unwrap();
    let error = fail(&mut limited(&resume(&run)));
    assert!(error.contains("conv1.weight [1024, 7, 7, 3] is missing"), "{error}");
}

#[test]
fn nothing_is_written_through_links_in_a_run() {
    let (folder, run) = run();
    let victim = Victim::new(folder.path());
    for name in ["metrics.jsonl", "weights.safetensors", "skipped.txt", "provenance.json", "lock"] {
        let file = run.join(name);
        let kept = fs::read(&file).ok();
        victim.behind(&file);
        let error = fail(&mut resume(&run));
        assert!(error.contains(name) && error.contains("link"), "{error}");
        victim.is_unchanged();
        fs::remove_file(&file).unwrap();
        kept.iter().for_each(|kept| fs::write(&file, kept).unwrap());
    }
    let elsewhere = folder.path().join("elsewhere");
    for name in ["checkpoints", "tensorboard"] {
        let inner = run.join(name);
        let _ = fs::rename(&inner, &elsewhere);
        fs::create_dir_all(&elsewhere).unwrap();
        // By its name a file that a killed process of this program left.
        let leftover = elsewhere.join(".bcreid-0123456789ab.tmp");
        fs::write(&leftover, "dear").unwrap();
        symlink(&elsewhere, &inner).unwrap();
        let mut tensorboard = bcreid();
        tensorboard.arg("tensorboard").arg(&run);
        for command in [&mut resume(&run), &mut tensorboard] {
            let error = fail(command);
            assert!(error.contains(name) && error.contains("a symbolic link"), "{error}");
            assert!(leftover.exists());
        }
        fs::remove_file(&inner).unwrap();
        fs::remove_file(&leftover).unwrap();
        fs::rename(&elsewhere, &inner).unwrap();
    }
    succeed(&mut resume(&run));
    let mut eval = bcreid();
    eval.arg("eval").arg("--run").arg(&run).arg("--data").arg(data());
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, run.join("evaluations")).unwrap();
    let output = eval.output().unwrap();
    let said = stderr(&output);
    assert!(said.contains("evaluation not stored") && said.contains("a symbolic link"), "{said}");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

/// The name of an event file is the time at which the metrics were written.
#[test]
fn the_event_file_is_not_written_through_a_link() {
    let (folder, run) = run();
    let victim = Victim::new(folder.path());
    let mut tensorboard = bcreid();
    tensorboard.arg("tensorboard").arg(&run);
    succeed(&mut tensorboard);
    let events = fs::read_dir(run.join("tensorboard")).unwrap().next().unwrap().unwrap().path();
    victim.behind(&events);
    let error = fail(&mut tensorboard);
    assert!(error.contains("tfevents") && error.contains("a symbolic link"), "{error}");
    victim.is_unchanged();
}

#[test]
fn a_study_is_not_written_through_links() {
    let folder = tempfile::tempdir().unwrap();
    let victim = Victim::new(folder.path());
    let out = folder.path().join("study");
    let study = || {
        let mut command = bcreid();
        command.args(["reproduce", "market1501", "--runs", "1", "--data"]).arg(data());
        TINY.iter().for_each(|setting| {
            command.args(["--set", setting]);
        });
        command.arg("--out").arg(&out);
        command
    };
    succeed(&mut study());
    for name in ["result.json", "table.md", "study.json", "lock"] {
        let kept = fs::read(out.join(name)).unwrap();
        // A result with other figures would be moved away: the link has the content of the file.
        fs::write(&victim.path, &kept).unwrap();
        victim.behind(&out.join(name));
        let error = fail(&mut study());
        assert!(error.contains(name) && error.contains("link"), "{error}");
        assert_eq!(fs::read(&victim.path).unwrap(), kept);
        fs::remove_file(out.join(name)).unwrap();
        fs::write(out.join(name), &kept).unwrap();
    }
    let (run, elsewhere) = (out.join("baseline"), folder.path().join("elsewhere"));
    fs::rename(&run, &elsewhere).unwrap();
    symlink(&elsewhere, &run).unwrap();
    let error = fail(&mut study());
    assert!(error.contains("baseline") && error.contains("a symbolic link"), "{error}");
}

/// A link that the user names as an output is followed, and stays a link.
#[test]
fn a_link_that_the_user_gives_is_followed() {
    let (folder, run) = run();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("real.svg"), "old").unwrap();
    symlink(at("real.svg"), at("link.svg")).unwrap();
    succeed(bcreid().arg("plot").arg("curves").arg(&run).arg("--force").arg("--out").arg(at("link.svg")));
    assert!(at("link.svg").is_symlink());
    assert!(fs::read_to_string(at("real.svg")).unwrap().starts_with("<svg"));
}

/// A PNG file of zeros.
fn write_png(path: &Path, width: u32, height: u32, color: png::ColorType, depth: png::BitDepth) {
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.set_compression(png::Compression::Fastest);
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer().unwrap();
    let row = vec![0; color.samples() * width as usize * if depth == png::BitDepth::Sixteen { 2 } else { 1 }];
    (0..height).for_each(|_| std::io::Write::write_all(&mut stream, &row).unwrap());
    stream.finish().unwrap();
}

#[test]
fn large_pictures_share_bounded_memory() {
    let (folder, run) = run();
    let images = folder.path().join("images");
    fs::create_dir(&images).unwrap();
    let (out, large) = (folder.path().join("f.safetensors"), images.join("large.png"));
    let extract = |threads: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bcreid"));
        command.args(["--threads", threads, "extract", "--batch", "1", "--weights"]).arg(&run);
        command.arg("--images").arg(&images).arg("--out").arg(&out).arg("--force");
        command
    };
    write_png(&large, 10_000, 10_000, png::ColorType::Rgb, png::BitDepth::Sixteen);
    let error = fail(&mut limited(&extract("1")));
    assert!(error.contains("large.png: 10000 x 10000 pixels: needs") && error.contains("192 MiB"), "{error}");
    // Each of these alone fits; together they would not.
    for name in ["large.png", "second.png", "third.png"] {
        write_png(&images.join(name), 7000, 6500, png::ColorType::Grayscale, png::BitDepth::Sixteen);
    }
    succeed(&mut limited(&extract("3")));
}

/// A name with a line break, a terminal code and a mark that turns the direction of writing.
const FORGED: &str = "a\nbcreid: all is well\u{1b}[2J\u{202e}.jpg";

#[track_caller]
fn is_plain(text: &str) {
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    assert!(!text.lines().any(|line| line.starts_with("bcreid: all is well")), "{text}");
}

#[test]
fn names_do_not_forge_lines() {
    let folder = tempfile::tempdir().unwrap();
    let set = own_data(folder.path());
    let images = set.join("bounding_box_train");
    fs::write(images.join(format!("0001_c1s1_000001_00{FORGED}")), "x").unwrap();
    is_plain(&fail(&mut train(&set, &folder.path().join("run"), &[])));
    let run = folder.path().join(FORGED).with_extension("");
    fs::create_dir_all(&run).unwrap();
    let run = run.join("run");
    let output = train(&set, &run, &["data.bad_images=skip"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    is_plain(&stderr(&output));
    is_plain(&String::from_utf8(output.stdout).unwrap());
    let skipped = fs::read_to_string(run.join("skipped.txt")).unwrap();
    assert_eq!(skipped.lines().count(), 1, "{skipped}");
    is_plain(&skipped);

    let features = folder.path().join("f.safetensors");
    let mut extract = bcreid();
    extract.arg("extract").arg("--weights").arg(&run).arg("--images").arg(data().join("query"));
    is_plain(&succeed(extract.arg("--out").arg(&features)));
    let mut eval = bcreid();
    eval.arg("eval").arg("--run").arg(&run).arg("--data").arg(data());
    is_plain(&succeed(&mut eval));
    is_plain(&succeed(bcreid().arg("doctor").arg("--weights").arg(run.join("weights.safetensors"))));
    let page = folder.path().join("page.html");
    is_plain(&succeed(bcreid().arg("report").arg(&run).arg("--out").arg(&page)));
    is_plain(&fs::read_to_string(&page).unwrap());
    is_plain(&succeed(bcreid().arg("tensorboard").arg(&run)));
}
